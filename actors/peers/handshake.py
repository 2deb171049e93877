"""The handshake: two instances prove to each other that they know the cluster's secret.

::

    client                               server
    Hello(version, name, nonce, cluster)    ->
                                   <-    Challenge(version, name, nonce, cluster)
    Proof(mac)                     ->                                       checked first
                                   <-    Proof(mac)                         checked too

Either side turns another cluster's instance away as soon as that has said its name, whatever secret
it knows. Each mac is keyed BLAKE2b over the sender's side and all that was said, so it is valid for
this pair of incarnations, these nonces and this direction only. It keeps strangers out. It neither
hides nor seals what follows: for that the network has to be private, or the address one of TLS.
"""

from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal, TypeVar

import aiohttp
import msgspec
from aiohttp import web
from attrs import define, field

from actors.membership.contract import Member
from actors.membership.foreign import ForeignInstances
from actors.peers.protocol import VERSION, Challenge, Hello, Proof, decode_handshake, encode

NONCE_BYTES = 16
"""Never drawn twice in the life of a secret."""
MAC_BYTES = 32
SECRET_BYTES_MIN = 16
"""A proof that is overheard can be tested against guesses at leisure: 128 bits resist that."""
NAME_MAX = 200
"""Characters of an instance or an incarnation."""

NOT_OURS = 1008
"""Close code "policy violation": the proof is wrong, or another cluster is named."""
NOT_UNDERSTOOD = 1002
"""Close code "protocol error": another version, or not this protocol at all."""

Side = Literal["connects", "listens"]
IsPrevious = Callable[[str, str], bool]
"""Whether an instance, given its name and this run of it, is a member of the release before, whose
greeting does not name its cluster."""
Nonces = Callable[[int], bytes]
"""Draws that many random bytes, as :func:`secrets.token_bytes`."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse
_Expected = TypeVar("_Expected", Hello, Challenge, Proof)


class HandshakeError(Exception):
    """The other side is no member of this cluster; ``code`` is the websocket's close code."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Secret:
    """The cluster's secret, never printed. During a rotation there are several: a server accepts
    any and replies with the same, a client tries them in turn."""

    def __init__(self, secret: bytes, *others: bytes) -> None:
        """Raises :class:`ValueError` if a secret is too short."""
        secrets = (secret, *others)
        if any(len(one) < SECRET_BYTES_MIN for one in secrets):
            raise ValueError(f"the cluster's secret needs at least {SECRET_BYTES_MIN} bytes")
        self._keys = [
            blake2b(one, digest_size=64, person=b"peer-link-key").digest() for one in secrets
        ]

    def proof(self, side: Side, hello: Hello, challenge: Challenge, which: int = 0) -> Proof:
        """What this side sends to prove that it knows the secret with this index."""
        said = msgspec.msgpack.encode(_said(side, hello, challenge))
        key = self._keys[which % len(self._keys)]
        return Proof(blake2b(said, key=key, digest_size=MAC_BYTES).digest())

    def check(self, side: Side, hello: Hello, challenge: Challenge, proof: Proof) -> int:
        """The index of the secret that this side knows. Raises :class:`HandshakeError` if it knows
        none."""
        for which in range(len(self._keys)):
            if compare_digest(self.proof(side, hello, challenge, which).mac, proof.mac):
                return which
        raise HandshakeError(NOT_OURS, "the cluster's secret is not the same")


def _said(side: Side, hello: Hello, challenge: Challenge) -> list[object]:
    """What a proof is over; the clusters only if both sides name them."""
    first, second = (
        [tag, one.version, one.instance, one.incarnation, one.nonce]
        for tag, one in ((1, hello), (2, challenge))
    )
    named = hello.cluster and challenge.cluster
    return [side, first, second, *((hello.cluster, challenge.cluster) if named else ())]


@define(eq=False)
class Handshake:
    """One instance's side of it: ``member`` is the instance itself. Instances of other clusters are
    ``foreign``."""

    member: Member
    _secret: Secret
    _nonces: Nonces
    _is_previous: IsPrevious
    _foreign: ForeignInstances
    _which: int = field(default=0, init=False)
    """The secret that the next client handshake tries."""

    async def connect(self, socket: Socket, wanted: str) -> Challenge:
        """Introduce this instance as a client of the wanted one. Raises :class:`HandshakeError`."""
        member = self.member
        nonce = self._nonces(NONCE_BYTES)
        hello = Hello(VERSION, member.instance, member.incarnation, nonce, member.cluster)
        await socket.send_bytes(encode(hello))
        challenge = await _receive(socket, Challenge)
        self._check(challenge)
        if challenge.instance != wanted:
            # The address is out of date: another instance listens there now.
            raise HandshakeError(NOT_UNDERSTOOD, f"{wanted} is wanted, not {challenge.instance}")
        proof = self._secret.proof("connects", hello, challenge, self._which)
        await socket.send_bytes(encode(proof))
        # Unless all goes well, the next attempt tries the next secret.
        self._which += 1
        self._secret.check("listens", hello, challenge, await _receive(socket, Proof))
        self._which -= 1
        return challenge

    async def accept(self, socket: Socket) -> Hello:
        """Let a client in, and return its introduction. Raises :class:`HandshakeError`."""
        hello = await _receive(socket, Hello)
        self._check(hello)
        member, nonce = self.member, self._nonces(NONCE_BYTES)
        challenge = Challenge(VERSION, member.instance, member.incarnation, nonce, member.cluster)
        await socket.send_bytes(encode(challenge))
        which = self._secret.check("connects", hello, challenge, await _receive(socket, Proof))
        await socket.send_bytes(encode(self._secret.proof("listens", hello, challenge, which)))
        return hello

    def _check(self, received: Hello | Challenge) -> None:
        _check(received)
        instance, cluster = received.instance, received.cluster
        if self.member.cluster in ("", cluster):
            return
        if cluster:
            self._foreign.met(instance, cluster, "on a link")
            raise HandshakeError(NOT_OURS, f"{instance} is of another deployment ({cluster})")
        if not self._is_previous(instance, received.incarnation):
            # Of another deployment, or one of ours that this instance has not heard of yet.
            raise HandshakeError(NOT_OURS, f"{instance} names no cluster and is no member here")


async def _receive(socket: Socket, expected: type[_Expected]) -> _Expected:
    """The next message; if the other side closes the link instead, its reason is raised."""
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.BINARY:
        code = socket.close_code or NOT_UNDERSTOOD
        reason = message.extra if isinstance(message.extra, str) else ""
        raise HandshakeError(code, reason[:100] or "the link was closed while greeting")
    try:
        received = decode_handshake(message.data)
    except msgspec.DecodeError as error:
        raise HandshakeError(NOT_UNDERSTOOD, "not a greeting") from error
    if not isinstance(received, expected):
        raise HandshakeError(NOT_UNDERSTOOD, "a greeting out of turn")
    return received


def _check(received: Hello | Challenge) -> None:
    if received.version != VERSION:
        detail = f"version {VERSION} is spoken here, not {received.version}"
        raise HandshakeError(NOT_UNDERSTOOD, detail)
    if len(received.nonce) != NONCE_BYTES or not 0 < len(received.instance) <= NAME_MAX:
        raise HandshakeError(NOT_UNDERSTOOD, "a name or nonce of a wrong length")
    if not 0 < len(received.incarnation) <= NAME_MAX:
        raise HandshakeError(NOT_UNDERSTOOD, "an incarnation of a wrong length")
    if len(received.cluster) > NAME_MAX:
        raise HandshakeError(NOT_UNDERSTOOD, "a cluster's name of a wrong length")
