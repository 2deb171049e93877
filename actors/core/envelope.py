"""A message on its way through the runtime with the caller who waits for its reply, the mailbox it
waits in, and the deadlines of all callers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any, Final, Protocol

from actors.address import Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.errors import DeadlineExceededError
from actors.transport import Answer


class Probe:
    """A message that the runtime answers itself, in its turn, without the behaviour."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


LOOK_UP: Final = Probe("LOOK_UP")
"""Tell the outcome that is stored under the key, if there is one."""
QUERY: Final = Probe("QUERY")
"""Tell the state."""
PREPARE: Final = Probe("PREPARE")
"""Nothing is told: a command with the key comes soon."""


class Trace(Protocol):
    """One message of a trace, from mailbox to answer; its commit may end later."""

    def within(self) -> AbstractContextManager[Any]:
        """A context in which whatever begins, such as a saga's step, belongs to this message."""

    def turn(self, epoch: int) -> AbstractContextManager[Any]:
        """A context in which the shard's writer decides the message, under this epoch."""

    def submitted(self, lane: int, rows: int) -> None:
        """The decision's rows wait in this lane for its next batch."""

    def sent(self, batch: int, commits: int, rows: int) -> None:
        """The rows were sent in the lane's batch of this number, which has so many decisions and
        rows."""

    def committed(self, error: BaseException | None) -> None:
        """The rows are in the journal, or ``error`` says that they are not or that nobody knows."""

    def answered(self, future: asyncio.Future[Answer]) -> None:
        """The caller's future is done."""


class Tracer(Protocol):
    """Makes traces, for each message on the event loop. The task's context (:mod:`contextvars`) is
    the trace; between instances it travels as a W3C ``traceparent``."""

    def received(self, address: Address, command: Any) -> Trace | None:
        """The trace of a message that goes into a mailbox here; ``None`` if it has none."""

    def continued(self, traceparent: str) -> AbstractContextManager[Any]:
        """A context in which whatever begins belongs to the span of another instance that
        ``traceparent`` names."""

    def held(self, slot: int) -> None:
        """The current message waits, because the slot has no owner."""


@dataclass(slots=True, eq=False)
class Envelope:
    """One message in a mailbox, later in a lane or parked with a saga."""

    command: Any
    key: CommandKey | None = None
    future: asyncio.Future[Answer] | None = None
    """``None`` when nobody waits."""
    deadline: float = inf
    external: bool = False
    """It counts against the instance's bound; timers and sagas do not."""
    unchecked: bool = False
    """The journal is still being asked whether it knows the key."""
    settled: bool = False
    """Answered or refused: nothing is to be done for it any more."""
    next: Envelope | None = None
    trace: Trace | None = None
    """Who follows it, if anybody does."""

    @property
    def over(self) -> bool:
        """Whether it was answered, refused, or given up by its caller."""
        return self.settled or (self.future is not None and self.future.done())

    def answer(self, answer: Answer) -> None:
        """Let the caller know, unless it has given up or knows already."""
        future = self.future
        self.settled = True
        self.future = None
        if future is not None and not future.done():
            future.set_result(answer)

    def refuse(self, error: Exception) -> None:
        """Raise this at the caller, unless it has given up or knows already."""
        future = self.future
        self.settled = True
        self.future = None
        if future is not None and not future.done():
            future.set_exception(error)


BESIDE_MAX_S = 1.0
"""For how long an answer that is in the journal waits for the entity that was asked beside it."""


@dataclass(slots=True, eq=False)
class JointAnswer:
    """Stands for a caller whose answer waits for two entities: the one that has decided, and the
    one that was asked beside it."""

    envelope: Envelope
    other: asyncio.Future[Answer]
    expects: type
    own: Answer | None = None
    """Once it is in the journal."""
    _limit: asyncio.TimerHandle | None = None

    def answer(self, answer: Answer) -> None:
        """The decision is in the journal. The other entity is waited for a moment longer: who asked
        may reach it where this instance does not."""
        self.own = answer
        if self.other.done():
            self.told(self.other)
        else:
            loop = self.other.get_loop()
            self._limit = loop.call_later(BESIDE_MAX_S, self.other.cancel)

    def refuse(self, error: Exception) -> None:
        """The decision is not in the journal, or nobody knows."""
        self.envelope.refuse(error)

    def told(self, other: asyncio.Future[Answer]) -> None:
        """The other entity has answered, or was not reached."""
        failed = other.cancelled() or other.exception() is not None
        if self._limit is not None:
            self._limit.cancel()
        if self.own is not None:
            own, answer = self.own, None if failed else other.result()
            beside = (
                answer is not None
                and not answer.replayed
                and isinstance(answer.reply, self.expects)
            )
            self.envelope.answer(Answer(own.reply, own.replayed, beside))


Caller = Envelope | JointAnswer
"""Who gets an answer."""


@dataclass(slots=True, eq=False)
class Mailbox:
    """First in, first out. Links are in the envelopes, so that an idle entity costs nothing."""

    head: Envelope | None = field(default=None, init=False)
    _last: Envelope | None = field(default=None, init=False)
    size: int = field(default=0, init=False)

    def put(self, envelope: Envelope) -> None:
        """Append the envelope. The caller keeps the bounds."""
        if self._last is None:
            self.head = envelope
        else:
            self._last.next = envelope
        self._last = envelope
        self.size += 1

    def take(self) -> Envelope:
        """Remove the first envelope; the mailbox must not be empty."""
        envelope = self.head
        assert envelope is not None, "took from an empty mailbox"
        self.head = envelope.next
        envelope.next = None
        if self.head is None:
            self._last = None
        self.size -= 1
        return envelope

    def __iter__(self) -> Iterator[Envelope]:
        envelope = self.head
        while envelope is not None:
            following = envelope.next
            yield envelope
            envelope = following


def name_of(command: Any) -> str:
    """The name of a command, which says nothing of whose it is."""
    return repr(command) if isinstance(command, Probe) else type(command).__name__


TICK_S = 0.05
"""A hundredth of the default deadline: nobody notices, and at most twenty looks a second cost
nothing."""


class Deadlines:
    """Refuses callers whose deadline has passed, at most a tick late, never early, by a timing
    wheel (Varghese and Lauck, 1987) with one slot for each tick."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._loop = loop
        self._wheel: dict[int, list[Envelope]] = {}
        self._swept = int(clock.monotonic() / TICK_S)
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0
        """The tick at which somebody may be refused; ``_handle`` is for it."""
        self.exceeded = 0
        """Callers refused so far."""

    def watch(self, envelope: Envelope) -> None:
        """Refuse this caller once the deadline has passed."""
        if self._handle is None:
            self._swept = int(self._clock.monotonic() / TICK_S)
        tick = ceil(envelope.deadline / TICK_S)
        if tick <= self._swept:
            tick = self._swept + 1
        self._wheel.setdefault(tick, []).append(envelope)
        if self._handle is None or tick < self._due:
            self._sleep(tick)

    def _sweep(self) -> None:
        now = int(self._clock.monotonic() / TICK_S)
        for tick in range(self._swept + 1, now + 1):
            for envelope in self._wheel.pop(tick, ()):
                if not envelope.over:
                    self.exceeded += 1
                    envelope.refuse(DeadlineExceededError("no answer in time"))
        self._swept = max(self._swept, now)
        self._handle = None
        if self._wheel:
            self._sleep(min(self._wheel))

    def _sleep(self, tick: int) -> None:
        """Until this tick begins."""
        if self._handle is not None:
            self._handle.cancel()
        self._due = tick
        wait_s = tick * TICK_S - self._clock.monotonic()
        self._handle = self._loop.call_later(max(wait_s, 0.001), self._sweep)

    def close(self) -> None:
        """Refuse nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._wheel.clear()
