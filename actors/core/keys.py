"""The keys of one shard: which commands are under way, and what the last ones answered.

A key is held by exactly one of: an envelope on its way, an operation of several steps
(:class:`Begun`), or a saga that was unfinished when its entity was loaded (:class:`SagaHold`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.behaviour import CommandKey
from actors.core.envelope import BEGIN, Envelope
from actors.errors import KeyInFlightError, KeyReusedError, OverloadedError


@dataclass(slots=True, eq=False)
class Begun:
    """An operation of several steps, whose last step stores the outcome."""

    key: CommandKey
    ends: float
    """Until when it keeps the key, on the monotonic clock."""


@dataclass(slots=True, eq=False)
class SagaHold:
    """A saga that stores the outcome of this key when it settles."""

    key: CommandKey


@dataclass(slots=True, eq=False)
class Known:
    """A stored outcome."""

    fingerprint: bytes
    reply: Any


class KeyBook:
    """Keys and outcomes of one shard. Bounded by the mailboxes, ``begun_max`` and
    ``outcomes_max``."""

    __slots__ = ("_begun_max", "_holders", "_known", "_outcomes_max", "begun")

    def __init__(self, outcomes_max: int, begun_max: int) -> None:
        self._holders: dict[bytes, Envelope | Begun | SagaHold] = {}
        self._known: dict[bytes, Known] = {}
        self._outcomes_max = outcomes_max
        self._begun_max = begun_max
        self.begun: dict[bytes, Begun] = {}

    def admit(self, key: CommandKey, envelope: Envelope, now: float) -> Known | None:
        """The outcome in memory, if any; else the envelope holds the key from now on, and
        ``envelope.unchecked`` says whether the journal has to be asked.

        Raises :class:`KeyReusedError` and :class:`KeyInFlightError`.
        """
        known = self._known.get(key.id)
        if known is not None:
            if known.fingerprint != key.fingerprint:
                raise KeyReusedError
            return known
        holder = self._holders.get(key.id)
        if holder is None:
            envelope.unchecked = True
        else:
            self._succeed(holder, key, envelope, now)
        self._holders[key.id] = envelope
        return None

    def _succeed(
        self, holder: Envelope | Begun | SagaHold, key: CommandKey, envelope: Envelope, now: float
    ) -> None:
        """Take a begun operation's key over: by its last step, or after its time."""
        assert holder.key is not None
        if holder.key.fingerprint != key.fingerprint:
            raise KeyReusedError
        last_step = envelope.command is not BEGIN
        if not isinstance(holder, Begun) or not (last_step or holder.ends <= now):
            raise KeyInFlightError
        del self.begun[key.id]

    def held_by(self, key: CommandKey, envelope: Envelope) -> bool:
        """Whether this envelope is the one that holds the key."""
        return self._holders.get(key.id) is envelope

    def release(self, envelope: Envelope) -> None:
        """Let go of the key of an envelope that ends without an outcome."""
        key = envelope.key
        if key is not None and self._holders.get(key.id) is envelope:
            del self._holders[key.id]

    def begin(self, key: CommandKey, ends: float) -> None:
        """Hold the key for an operation of several steps until ``ends``."""
        if len(self.begun) >= self._begun_max:
            raise OverloadedError("too many operations under way")
        self._holders[key.id] = self.begun[key.id] = Begun(key, ends)

    def abandon(self, key: CommandKey) -> None:
        """Let go of a begun operation that will not come to its last step."""
        if self.begun.pop(key.id, None) is not None:
            del self._holders[key.id]

    def expire(self, now: float) -> None:
        """Let go of begun operations past their time."""
        for begun in [begun for begun in self.begun.values() if begun.ends <= now]:
            self.abandon(begun.key)

    def hold_for_saga(self, key: CommandKey) -> None:
        """Hold the key for a saga that was found unfinished, whoever holds it now."""
        if key.id not in self._known:
            self.begun.pop(key.id, None)
            self._holders[key.id] = SagaHold(key)

    def store(self, key: CommandKey, reply: Any) -> None:
        """Keep an outcome that is in the journal, and let go of its key."""
        self._holders.pop(key.id, None)
        self.begun.pop(key.id, None)
        self.remember(key.id, key.fingerprint, reply)

    def remember(self, command: bytes, fingerprint: bytes, reply: Any) -> Known:
        """Keep an outcome in memory, and forget the oldest beyond the bound."""
        known = self._known[command] = Known(fingerprint, reply)
        if len(self._known) > self._outcomes_max:
            del self._known[next(iter(self._known))]
        return known
