"""The runtime: what an application asks, and what it is made of.

::

    ask -> mailbox of an activation -> writer of its shard: decide, evolve, draft -> lane -> journal
                                                                                |
    caller <- answer <------------------------ views, sagas, keys <- committed -+

Read :mod:`actors.core.writer` for a turn, :mod:`actors.core.lane` for group commit,
:mod:`actors.core.shard` for what a shard remembers, :mod:`actors.ownership.owned_shards` for how
shards come and go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.behaviour import Behaviour, CommandKey
from actors.clock import Clock
from actors.core.context import NoObserver, Observer, ReplicationListener, ShardContext
from actors.core.deadlines import Deadlines
from actors.core.envelope import BEGIN, QUERY, Envelope
from actors.core.limits import Limits
from actors.core.loader import Loader
from actors.core.replay import Folded
from actors.core.sagas import Asker, Sagas
from actors.core.statistics import RuntimeStatistics
from actors.core.tracing import Tracer
from actors.errors import (
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OverloadedError,
    StoppingError,
    UnavailableError,
)
from actors.journal.contract import Journal, Lease
from actors.ownership.owned_shards import Ownership
from actors.tasks import Tasks
from actors.transport import Answer

__all__ = ["Limits", "Observer", "Runtime", "RuntimeStatistics"]

DRAIN_CHECK_S = 0.01
"""Between two looks whether everything is answered while stopping."""

QUERIES_MAX = 1_000
"""Entities that :meth:`Runtime.load_state` asks for at a time: five load queries."""


class Runtime:
    """One instance's entities. Create and use it on one event loop.

    ``incarnation`` names this run and is never used twice. ``lanes`` is the number of journal
    connections that commit. ``ask_anywhere`` carries the steps of sagas to the owners of their
    targets; without it every target is here.
    """

    def __init__(
        self,
        *,
        instance: str,
        incarnation: str,
        behaviours: Sequence[Behaviour],
        journal: Journal,
        clock: Clock,
        limits: Limits | None = None,
        observer: Observer | None = None,
        lanes: int = 1,
        ask_anywhere: Asker | None = None,
    ) -> None:
        self._limits = limits if limits is not None else Limits()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(instance)
        self._owned = Ownership(journal, instance, incarnation, self._tasks, lanes)
        self._context = ShardContext(
            {behaviour.kind: behaviour for behaviour in behaviours},
            clock,
            self._limits,
            observer if observer is not None else NoObserver(),
            self._owned,
            self._owned.parts,
        )
        for part in self._owned.parts:
            lost = partial(self._owned.journal_lost, part)
            part.loader = Loader(part.journal, self._limits, lost)
        self._context.sagas = Sagas(self._context, ask_anywhere or self.ask_inside, self.ask_inside)
        self._owned.enter(self._context)
        self._deadlines = Deadlines(clock, self._loop)
        self.tracer: Tracer | None = None
        """Who follows messages, if anybody does; to be set before the start."""
        self._started = False
        self._stopping = False

    # -- life ----------------------------------------------------------------------------------

    async def start(self, shards: Collection[int] = range(SLOT_COUNT)) -> None:
        """Claim the shards from whoever has them, and serve. Entities with timers or unfinished
        sagas are loaded in the background, within the recovery budget.

        Raises :class:`~actors.journal.contract.JournalError`.
        """
        await self._owned.claim(shards)
        self._owned.start()
        self._context.pause_detector.start(self._owned.stood_still)
        for part in self._owned.parts:
            for number in range(self._limits.loaders):
                self._tasks.spawn(part.loader.run(), f"loader-{part.number}-{number}")
        self._tasks.spawn(self._keep_house(), "housekeeping")
        self._started = True

    async def claim(self, shards: Collection[int]) -> None:
        """Take shards from whoever has them while running, such as those that were lost. The
        views learn of their entities as these are loaded.

        Raises :class:`~actors.journal.contract.JournalError`.
        """
        await self._owned.claim(shards)

    async def adopt(
        self,
        claim: Callable[[], Awaitable[Sequence[Lease]]],
        warm: Mapping[Address, Folded] | None = None,
        *,
        part: int = 0,
    ) -> list[int]:
        """Serve the shards that ``claim`` gets from this part of the journal; returns which.
        ``warm`` is what :meth:`preload` read of them. Raises
        :class:`~actors.journal.contract.JournalError`."""
        return await self._owned.adopt(self._owned.parts[part], claim, warm)

    async def preload(self, addresses: Sequence[Address]) -> dict[Address, Folded]:
        """Read entities of a shard that is about to come, so that only what happens until then is
        to be read when it does. Raises :class:`~actors.journal.contract.JournalError`."""
        if not addresses:
            return {}
        loader = self._owned.part_of(addresses[0].slot).loader
        return await loader.preload(addresses, self._context.behaviours)

    async def release(self, shard: int, limit_s: float) -> bool:
        """Let go of a shard in good order; false if it did not come to rest in time and is served
        on. Raises :class:`~actors.errors.NotOwnedError`."""
        return await self._owned.release(shard, limit_s)

    def listen(self, tap: ReplicationListener) -> None:
        """Have what becomes true carried to other instances too. To be called before the start."""
        self._context.tap = tap

    async def stop(self, timeout_s: float) -> None:
        """Refuse new asks, answer what is queued, and end within ``timeout_s``; whoever still
        waits then is refused."""
        self._stopping = True
        ends = self._clock.monotonic() + timeout_s
        while self._busy and self._clock.monotonic() < ends:  # noqa: ASYNC110 - many conditions
            await asyncio.sleep(DRAIN_CHECK_S)
        self._owned.leave(StoppingError)
        await self._tasks.close()
        self._owned.answer_unfinished(StoppingError)
        self._context.timers.close()
        self._context.pause_detector.close()
        self._deadlines.close()

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Done when a broken invariant of the runtime itself, the journal or an observer has
        ended it; the result is the error. The process should end then."""
        return self._tasks.failed

    @property
    def _busy(self) -> bool:
        return (
            self._context.counters.waiting > 0
            or any(lane.pending for lane in self._owned.lanes)
            or any(not waiter.over for waiter in self._parked())
        ) and not self.failed.done()

    def _parked(self) -> Iterable[Envelope]:
        for shard in self._owned.shards.values():
            for waiting in shard.parked.values():
                yield from waiting

    async def _keep_house(self) -> None:
        counters = self._context.counters
        while True:
            turns, began = counters.turns, self._clock.monotonic()
            await asyncio.sleep(self._limits.housekeeping_s)
            passed_s = self._clock.monotonic() - began
            self._context.drain_rate = (counters.turns - turns) / passed_s if passed_s > 0 else 0.0
            left = self._limits.timers_disarmed_max
            for shard in self._owned.shards.values():
                left -= shard.sweep(0 if shard.part.away else left)

    # -- asking --------------------------------------------------------------------------------

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        timeout_s: float | None = None,
    ) -> asyncio.Future[Answer]:
        """Send a command; the future gets the answer after its effects are in the journal.

        The future's errors are those of :mod:`actors.errors`, at the latest
        :class:`~actors.errors.DeadlineExceededError` after ``timeout_s``. With a key the answer
        is stored, and a repeat gets it with ``replayed`` set.
        """
        if timeout_s is None:
            timeout_s = self._limits.ask_timeout_s
        future: asyncio.Future[Answer] = self._loop.create_future()
        envelope = Envelope(command, key, future, self._clock.monotonic() + timeout_s, True)
        if self.tracer is not None:
            _follow(self.tracer, address, envelope, future)
        self._post(address, envelope)
        if not envelope.settled:
            self._deadlines.watch(envelope)
        return future

    def ask_inside(self, address: Address, command: Any) -> asyncio.Future[Answer]:
        """Send a command of the runtime's own sagas to an entity of this instance: not subject to
        the bounds for callers, and not refused while stopping."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        envelope = Envelope(command, None, future)
        if self.tracer is not None:
            _follow(self.tracer, address, envelope, future)
        self._post(address, envelope)
        return future

    def _post(self, address: Address, envelope: Envelope) -> None:
        try:
            if envelope.external:
                self._check_open(address.slot)
            shard = self._owned.shards.get(address.slot)
            if shard is None:
                raise NotOwnedError
            shard.post(address, envelope)
        except (UnavailableError, KeyInFlightError, KeyReusedError) as error:
            self._context.counters.refused += 1
            envelope.refuse(error)

    def _check_open(self, slot: int) -> None:
        if self._stopping:
            raise StoppingError
        self.check_journal(slot)
        if self._context.counters.waiting >= self._limits.mailboxes_max:
            raise OverloadedError("too much is waiting", self._context.retry_after_s())

    async def begin(self, address: Address, key: CommandKey) -> Answer | None:
        """Begin an operation of several steps that ends with an :meth:`ask` with this key.

        Returns the stored answer if there is one; else the key is in flight, for at most
        ``Limits.begun_ttl_s``. Raises as an ask does, and
        :class:`~actors.errors.KeyReusedError` and :class:`~actors.errors.KeyInFlightError`.
        """
        answer = await self.ask(address, BEGIN, key=key)
        return answer if answer.replayed else None

    def abandon(self, address: Address, key: CommandKey) -> None:
        """Take the mark of :meth:`begin` back, so that a repeat may begin at once."""
        shard = self._owned.shards.get(address.slot)
        if shard is not None:
            shard.keys.abandon(key)

    async def load_state(self, addresses: Iterable[Address]) -> list[Any]:
        """The entities' states, newest decisions included, in order. Raises as an ask does."""
        wanted = list(addresses)
        states: list[Any] = []
        for start in range(0, len(wanted), QUERIES_MAX):
            chunk = wanted[start : start + QUERIES_MAX]
            asked = [self.ask(address, QUERY) for address in chunk]
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                states.append(answer.reply)
        return states

    # -- shards --------------------------------------------------------------------------------

    def epoch_of(self, shard: int) -> int:
        """The epoch under which this instance serves the shard now; 0 if it does not."""
        held = self._owned.shards.get(shard)
        return 0 if held is None or held.frozen else held.epoch

    def holds(self, shard: int) -> bool:
        """Whether it is here, also if it is on the move already."""
        return shard in self._owned.shards

    def epochs(self) -> dict[int, int]:
        """Of all shards that are served here."""
        return {n: shard.epoch for n, shard in self._owned.shards.items() if not shard.frozen}

    def turns(self) -> dict[int, tuple[int, int]]:
        """Of each shard: messages decided since it was claimed, and entities in memory."""
        return {n: (shard.turns, len(shard.activations)) for n, shard in self._owned.shards.items()}

    @property
    def claiming(self) -> frozenset[int]:
        """Shards that were ours a moment ago and are being claimed again."""
        return frozenset(self._owned.pending)

    def doubt(self) -> None:
        """Others may have taken shards over. Decide and tell nothing until the journal has said
        whose they are."""
        self._owned.doubt()

    @property
    def trustworthy(self) -> bool:
        """False after this process stood still, and after :meth:`doubt`, until the journal has said
        whose the shards are; what is in memory must not be told before."""
        if self._context.pause_detector.jumped(self._clock.monotonic()):
            return False
        return not any(part.unverified for part in self._owned.parts)

    def parted(self, shards: Iterable[int]) -> dict[int, list[int]]:
        """These by the part of the journal that they are in, without parts that are away."""
        found: dict[int, list[int]] = {}
        for shard in shards:
            part = self._owned.part_of(shard)
            if not part.away:
                found.setdefault(part.number, []).append(shard)
        return found

    def check_journal(self, shard: int) -> None:
        """Raises :class:`~actors.errors.JournalUnavailableError` while the shard's database is
        away."""
        if self._owned.part_of(shard).away:
            raise self._owned.unavailable()

    @property
    def journal_away(self) -> bool:
        """Of its databases, if there are several, at least one."""
        return any(part.away for part in self._owned.parts)

    @property
    def commit_age_s(self) -> float | None:
        """Since the last commit; ``None`` before the first."""
        return _age(self._clock.monotonic(), self._context.counters.last_commit)

    @property
    def lag_s(self) -> float:
        """How late the event loop runs what is due."""
        return self._context.pause_detector.lag_s

    def behaviour(self, kind: str) -> Behaviour:
        """The behaviour of this kind of entity. Raises :class:`KeyError`."""
        return self._context.behaviours[kind]

    # -- health --------------------------------------------------------------------------------

    @property
    def lost_shards(self) -> frozenset[int]:
        """Shards that another instance claimed."""
        return frozenset(self._owned.lost)

    def problem(self) -> str | None:
        """Why this runtime does not serve as it should, in a few words; ``None`` if it does. One
        database of several that is away is none: others would serve its shards no better."""
        owned = self._owned
        unclaimed = sum(not owned.part_of(number).away for number in owned.pending)
        problems = {
            "ended by a failure": self.failed.done(),
            "stopping": self._stopping,
            "not started": not self._started,
            "the journal is out of reach": all(part.away for part in owned.parts),
            f"{unclaimed} shards not claimed": bool(unclaimed),
        }
        return next((words for words, wrong in problems.items() if wrong), None)

    @property
    def healthy(self) -> bool:
        return self.problem() is None

    def statistics(self) -> RuntimeStatistics:
        """Counts and gauges at this moment."""
        counters, lanes, shards = self._context.counters, self._owned.lanes, self._owned.shards
        return RuntimeStatistics(
            shards=len(shards),
            lost_shards=tuple(sorted(self._owned.lost)),
            entities=self._context.pool.size,
            mailbox_depth=counters.waiting,
            queued_commits=sum(lane.pending for lane in lanes),
            in_flight=sum(lane.callers for lane in lanes)
            + sum(not waiter.over for waiter in self._parked()),
            turns=counters.turns,
            batches=sum(lane.batches for lane in lanes),
            rows=counters.rows,
            last_commit_age_s=_age(self._clock.monotonic(), counters.last_commit),
            fenced=counters.fenced,
            crashes=counters.crashes,
            refused=counters.refused,
            deadlines_exceeded=self._deadlines.exceeded,
            loads=counters.loads,
            timers=sum(len(shard.timers) for shard in shards.values()),
            sagas=counters.sagas,
            epochs={number: shard.epoch for number, shard in sorted(shards.items())},
        )


def _age(now: float, then: float | None) -> float | None:
    return None if then is None else now - then


def _follow(
    tracer: Tracer, address: Address, envelope: Envelope, future: asyncio.Future[Answer]
) -> None:
    trace = envelope.trace = tracer.received(address, envelope.command)
    if trace is not None:
        future.add_done_callback(trace.answered)
