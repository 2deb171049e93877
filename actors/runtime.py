"""The runtime: what an application asks, and what it is made of.

::

    ask -> mailbox of an activation -> writer of its shard: decide, evolve, draft -> lane -> journal
                                                                                |
    caller <- answer <------------- subscriptions, sagas, keys <- committed <---+

Read :mod:`actors.core.shard` for what a shard remembers, :mod:`actors.core.writer` for a turn,
:mod:`actors.core.lane` for group commit, :mod:`actors.ownership.owned_shards` for how shards come
and go.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.behaviour import Behaviour, CommandKey
from actors.clock import Clock, DatabaseClock
from actors.core.context import Limits, ShardContext
from actors.core.envelope import LOOK_UP, QUERY, Deadlines, Envelope, Tracer
from actors.core.sagas import Sagas, SendCommand
from actors.core.shard import Shard
from actors.errors import (
    KeyInFlightError,
    KeyReusedError,
    NotOwnedError,
    OverloadedError,
    StoppingError,
    UnavailableError,
)
from actors.health import Health
from actors.journal.contract import Journal
from actors.ownership.owned_shards import OwnedShards
from actors.subscription import Subscription
from actors.tasks import Tasks
from actors.transport import Answer, Request

DRAIN_CHECK_S = 0.01
"""Between two looks whether everything is answered while stopping."""

QUERIES_MAX = 1_000
"""Entities that :meth:`Runtime.load_state` asks for at a time: five load queries."""


class Runtime:
    """One instance's entities, on one event loop. ``incarnation`` names this run; ``lanes`` are
    connections that commit; ``ask_anywhere`` carries saga steps to owners elsewhere."""

    def __init__(
        self,
        *,
        instance: str,
        incarnation: str,
        behaviours: Sequence[Behaviour],
        journal: Journal,
        clock: Clock,
        limits: Limits | None = None,
        subscriptions: Sequence[Subscription] = (),
        lanes: int = 1,
        ask_anywhere: SendCommand | None = None,
    ) -> None:
        self._limits = limits if limits is not None else Limits()
        self._clock = clock = DatabaseClock.over(clock)
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(instance)
        self._context = ShardContext(
            {behaviour.kind: behaviour for behaviour in behaviours},
            clock,
            self._limits,
            subscriptions,
        )
        self.sagas = Sagas(self._context, ask_anywhere or self.ask_inside, self.ask_inside)
        """They carry on what an answer left to be done; ``ask_anywhere`` may be set later."""
        owner = (instance, incarnation)
        self.shards = OwnedShards(journal, self._context, self.sagas, self._tasks, owner, lanes)
        """Which shards are here, and how they come and go."""
        self._entities = self.shards.entities
        self._deadlines = Deadlines(clock, self._loop)
        self.health = Health(self._context, self.shards, self._deadlines, self.failed)
        """What is told of this runtime."""
        self.tracer: Tracer | None = None
        """Who follows messages, if anybody does; to be set before the start."""

    # -- life ----------------------------------------------------------------------------------

    async def start(self, shards: Collection[int] = range(SLOT_COUNT)) -> None:
        """Claim the shards from whoever has them, and serve. Raises
        :class:`~actors.journal.contract.JournalError`."""
        await self.shards.claim(shards)
        self.shards.start()
        self._tasks.spawn(self._keep_house(), "housekeeping")
        self.health.started = True

    def subscribe(self, subscription: Subscription) -> None:
        """Tell one more of what becomes true, after the others. To be called before the start."""
        self._context.subscriptions.append(subscription)

    async def stop(self, timeout_s: float) -> None:
        """Refuse new asks, answer what is queued, and end within ``timeout_s``."""
        self.health.stopping = True
        ends = self._clock.monotonic() + timeout_s
        while self.health.busy and self._clock.monotonic() < ends:  # noqa: ASYNC110 - many conditions
            await asyncio.sleep(DRAIN_CHECK_S)
        await self.shards.leave(StoppingError)
        await self._tasks.close()
        self.shards.answer_unfinished(StoppingError)
        self._entities.timers.close()
        self._context.pause_detector.close()
        self._deadlines.close()

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Done, with the error, when a broken invariant has ended it, and the process should."""
        return self._tasks.failed

    async def _keep_house(self) -> None:
        counters, save_resting = self._context.counters, self._entities.snapshots.save_resting
        while True:
            turns, began = counters.turns, self._clock.monotonic()
            await asyncio.sleep(self._limits.housekeeping_s)
            passed_s = self._clock.monotonic() - began
            self._context.drain_rate = (counters.turns - turns) / passed_s if passed_s > 0 else 0.0
            left, saved = self._limits.timers_disarmed_max, 0
            for shard in list(self.shards.by_number.values()):
                left -= self._entities.sweep(shard, left)
                saved += save_resting(shard, self._limits.saved_max - saved)

    # -- asking --------------------------------------------------------------------------------

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        timeout_s: float | None = None,
    ) -> asyncio.Future[Answer]:
        """Send a command; the future gets the answer after its effects are in the journal, or an
        error of :mod:`actors.errors`, at the latest after ``timeout_s``. With a key the answer is
        stored, and a repeat gets it with ``replayed`` set."""
        wait_s = self._limits.ask_timeout_s if timeout_s is None else timeout_s
        return self._ask(address, command, key, self._clock.monotonic() + wait_s)

    def prepare(self, address: Address, key: CommandKey) -> None:
        """Say that the entity will be asked soon, with this key, if it is here: then what the
        journal has of both is read meanwhile."""
        shard = self.shards.by_number.get(address.slot)
        if shard is not None and not (shard.frozen or shard.journal.away):
            self._entities.prepare(shard, address, key)

    def send(self, request: Request) -> asyncio.Future[Answer]:
        """As :meth:`ask`, for a request that another instance or a router sends on."""
        return self._ask(request.address, request.command, request.key, request.deadline)

    def _ask(
        self, address: Address, command: Any, key: CommandKey | None, deadline: float
    ) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = self._loop.create_future()
        envelope = Envelope(command, key, future, deadline, True)
        self._post(address, envelope, future)
        if not envelope.settled:
            self._deadlines.watch(envelope)
        return future

    def ask_inside(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        """Send a command of the runtime's own to an entity here, without bounds, also while
        stopping."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._post(address, Envelope(command, key, future), future)
        return future

    def _post(self, address: Address, envelope: Envelope, future: asyncio.Future[Answer]) -> None:
        if self.tracer is not None:
            trace = envelope.trace = self.tracer.received(address, envelope.command)
            if trace is not None:
                future.add_done_callback(trace.answered)
        slot = address.slot
        try:
            shard = self.shards.by_number.get(slot)
            if envelope.external:
                self._check_open(slot, shard)
            if shard is None:
                raise NotOwnedError
            self._entities.post(shard, address, envelope)
        except (UnavailableError, KeyInFlightError, KeyReusedError) as error:
            self._context.counters.refused += 1
            envelope.refuse(error)

    def _check_open(self, slot: int, shard: Shard | None) -> None:
        if self.health.stopping:
            raise StoppingError
        if shard is None or shard.journal.away:
            self.shards.check_journal(slot)
        if self._context.counters.waiting >= self._limits.mailboxes_max:
            raise OverloadedError("too much is waiting", self._context.retry_after_s())

    async def look_up(self, address: Address, key: CommandKey) -> Answer | None:
        """The answer that is stored under the key, if there is one. Raises as an ask does, and
        :class:`~actors.errors.KeyReusedError` and :class:`~actors.errors.KeyInFlightError`."""
        answer = await self.ask(address, LOOK_UP, key=key)
        return answer if answer.replayed else None

    async def load_state(self, addresses: Iterable[Address]) -> list[Any]:
        """The entities' states, newest decisions included, in order. Raises as an ask does, of
        several errors one that passes."""
        wanted = list(addresses)
        states: list[Any] = []
        for start in range(0, len(wanted), QUERIES_MAX):
            chunk = wanted[start : start + QUERIES_MAX]
            asked = [self.ask(address, QUERY) for address in chunk]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            errors = [answer for answer in answers if isinstance(answer, BaseException)]
            if errors:
                raise next((e for e in errors if isinstance(e, UnavailableError)), errors[0])
            states += [answer.reply for answer in answers if isinstance(answer, Answer)]
        return states

    def behaviour(self, kind: str) -> Behaviour:
        """The behaviour of this kind of entity. Raises :class:`KeyError`."""
        return self._context.behaviours[kind]
