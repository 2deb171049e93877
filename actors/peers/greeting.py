"""How two instances prove to each other that they know the cluster's secret.

::

    who connects                         who listens
    Hello(version, name, nonce)    ->
                                   <-    Challenge(version, name, nonce)
    Proof(mac)                     ->                                       checked first
                                   <-    Proof(mac)                         checked too

Each mac is keyed BLAKE2b over the side that speaks and everything that was said, so it is good for
this pair of incarnations, these nonces and this direction, and for nothing else. It keeps
strangers out. It does not hide or seal what follows: for that the network has to be private, or
the address one of TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal

import msgspec

from actors.peers.frames import VERSION, Challenge, Hello, Proof

NONCE_BYTES = 16
"""Never drawn twice in the life of a secret."""
MAC_BYTES = 32
SECRET_BYTES_MIN = 16
"""A proof can be tried against guesses at leisure by who overhears it: 128 bits resist that."""
NAME_MAX = 200
"""Characters of an instance or an incarnation."""

Side = Literal["connects", "listens"]
Nonces = Callable[[int], bytes]
"""That many random bytes, as :func:`secrets.token_bytes` draws them."""

WRONG_SECRET = 1008
"""Close code "policy violation": the proof is wrong."""
NOT_UNDERSTOOD = 1002
"""Close code "protocol error": another version, or not this protocol at all."""


class TurnedAwayError(Exception):
    """The other side is not one of us; ``code`` is the websocket's close code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Secret:
    """The cluster's secret, only ever used as a key. Says nothing of it when it is printed.

    While secrets are changed an instance knows several. Who listens takes any of them and answers
    with the one that was used; who connects tries them in turn, one with each attempt.
    """

    def __init__(self, secret: bytes, *others: bytes) -> None:
        """Raises :class:`ValueError` if one is too short."""
        secrets = (secret, *others)
        if any(len(one) < SECRET_BYTES_MIN for one in secrets):
            raise ValueError(f"the cluster's secret needs at least {SECRET_BYTES_MIN} bytes")
        self._keys = [
            blake2b(one, digest_size=64, person=b"peer-link-key").digest() for one in secrets
        ]

    def __len__(self) -> int:
        return len(self._keys)

    def proof(self, side: Side, hello: Hello, challenge: Challenge, which: int = 0) -> Proof:
        """What this side says to prove that it knows the secret of this place."""
        said = msgspec.msgpack.encode([side, hello, challenge])
        key = self._keys[which % len(self._keys)]
        return Proof(blake2b(said, key=key, digest_size=MAC_BYTES).digest())

    def check(self, side: Side, hello: Hello, challenge: Challenge, said: Proof) -> int:
        """The place of the secret that this side knows. Raises :class:`TurnedAwayError` if it
        knows none."""
        for which in range(len(self._keys)):
            if compare_digest(self.proof(side, hello, challenge, which).mac, said.mac):
                return which
        raise TurnedAwayError(WRONG_SECRET, "the cluster's secret is not the same")


def check_words(said: Hello | Challenge) -> None:
    """Raises :class:`TurnedAwayError` unless both sides speak the same version, sensibly."""
    if said.version != VERSION:
        words = f"version {VERSION} is spoken here, not {said.version}"
        raise TurnedAwayError(NOT_UNDERSTOOD, words)
    if len(said.nonce) != NONCE_BYTES or not 0 < len(said.instance) <= NAME_MAX:
        raise TurnedAwayError(NOT_UNDERSTOOD, "a name or nonce of a wrong length")
    if not 0 < len(said.incarnation) <= NAME_MAX:
        raise TurnedAwayError(NOT_UNDERSTOOD, "an incarnation of a wrong length")
