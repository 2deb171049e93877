"""The keys of one shard: which commands are under way, and what the last ones answered.

A key is held by an envelope on its way, or by a saga that was unfinished when its entity was loaded
(:class:`SagaHold`). That keeps a command from being decided twice under one epoch; under later ones
the journal knows the outcome.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from actors.behaviour import CommandKey
from actors.core.envelope import Envelope
from actors.errors import KeyInFlightError, KeyReusedError


@dataclass(slots=True, eq=False)
class SagaHold:
    """A saga that stores the outcome of this key when it settles."""

    key: CommandKey


class Known(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A stored outcome."""

    fingerprint: bytes
    reply: Any


class KeyBook:
    """Keys and outcomes of one shard. Bounded by the mailboxes and ``outcomes_max``."""

    __slots__ = ("_awaited", "_holders", "_known", "_outcomes_max")

    def __init__(self, outcomes_max: int) -> None:
        self._holders: dict[bytes, Envelope | SagaHold] = {}
        self._known: dict[bytes, Known] = {}
        self._awaited: dict[bytes, bool] = {}
        """Keys that will be used soon, and whether the journal has said that it has none."""
        self._outcomes_max = outcomes_max

    def prepare(self, key: CommandKey) -> bool:
        """Whether the journal is to be asked for the key before it comes."""
        if key.id in self._known or key.id in self._holders or key.id in self._awaited:
            return False
        self._awaited[key.id] = False
        if len(self._awaited) > self._outcomes_max:
            del self._awaited[next(iter(self._awaited))]
        return True

    def prepared(self, command: bytes) -> None:
        """The journal has no outcome of a key, which nothing has used since it was asked: only
        this shard's owner could store one."""
        if command in self._awaited:
            self._awaited[command] = True

    def admit(self, key: CommandKey, envelope: Envelope) -> Known | None:
        """The outcome in memory, if any; else the envelope holds the key from now on, and the
        journal has to be asked (``envelope.unchecked``).

        Raises :class:`KeyReusedError` and :class:`KeyInFlightError`.
        """
        known = self._known.get(key.id)
        if known is not None:
            if known.fingerprint != key.fingerprint:
                raise KeyReusedError
            return known
        holder = self._holders.get(key.id)
        if holder is not None:
            assert holder.key is not None
            raise KeyInFlightError if holder.key.fingerprint == key.fingerprint else KeyReusedError
        envelope.unchecked = not self._awaited.pop(key.id, False)
        self._holders[key.id] = envelope
        return None

    def held_by(self, key: CommandKey, envelope: Envelope) -> bool:
        """Whether this envelope is the one that holds the key."""
        return self._holders.get(key.id) is envelope

    def release(self, envelope: Envelope) -> None:
        """Let go of the key of an envelope that ends without an outcome."""
        key = envelope.key
        if key is not None and self._holders.get(key.id) is envelope:
            del self._holders[key.id]

    def hold_for_saga(self, key: CommandKey) -> None:
        """Hold the key for a saga that was found unfinished, whoever holds it now."""
        self._awaited.pop(key.id, None)
        if key.id not in self._known:
            self._holders[key.id] = SagaHold(key)

    def store(self, key: CommandKey, reply: Any) -> None:
        """Keep an outcome that is in the journal, and let go of its key."""
        self._holders.pop(key.id, None)
        self._awaited.pop(key.id, None)
        self.remember(key.id, key.fingerprint, reply)

    def remember(self, command: bytes, fingerprint: bytes, reply: Any) -> None:
        """Keep an outcome in memory, and forget the oldest beyond the bound."""
        self._known[command] = Known(fingerprint, reply)
        if len(self._known) > self._outcomes_max:
            del self._known[next(iter(self._known))]
