"""Routes a command to the owner of its entity, and tells whether shards have an owner that answers.

While a shard moves, its callers are held back until the new owner confirms that it serves the
shard; they notice a pause, not a refusal.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from typing import Any

from attrs import define, field

from actors.address import SLOT_COUNT, Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.cluster.directory import ShardDirectory
from actors.cluster.membership_view import MembershipView
from actors.core.envelope import LOOK_UP, Tracer
from actors.errors import (
    DeadlineExceededError,
    KeyInFlightError,
    NotOwnedError,
    OutcomeUnknownError,
    StaleError,
    UnavailableError,
)
from actors.peers import HOPS_MAX, MovedError
from actors.runtime import Runtime
from actors.tasks import Tasks
from actors.transport import Answer, Request, ShardOwner, Transport

ASK_TIMEOUT_S = 5.0
"""As :attr:`actors.core.context.Limits.ask_timeout_s`."""

HELD_MAX = 1_000
"""Callers held back at a time: a pause of 100 ms at 10,000 commands a second."""

HELD_MAX_S = 2.5
"""How long a caller is held back: many times a hand-over, and most of a takeover."""

RETRY_EVERY_S = 0.05
"""Between two tries when nothing new is known of the shard."""


@define(eq=False, slots=False)
class Router:
    """Asks entities anywhere in the cluster, as :class:`actors.runtime.Runtime` asks those here."""

    _instance: str
    _runtime: Runtime
    _links: Transport
    _directory: ShardDirectory
    _clock: Clock
    _tasks: Tasks
    tracer: Tracer | None = field(default=None, init=False)
    """Follows commands, if traces are on. Set it before the start."""
    held: int = field(default=0, init=False)
    """Callers that are held back now."""
    held_total: int = field(default=0, init=False)
    """Callers held back so far."""
    refused: int = field(default=0, init=False)
    """Callers refused so far because no owner was found in time."""
    sent_on: int = field(default=0, init=False)
    """Commands sent to other instances so far."""

    # -- asking --------------------------------------------------------------------------------

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        timeout_s: float | None = None,
        repeatable: bool = False,
    ) -> Awaitable[Answer]:
        """Ask the entity wherever it lives; raises as :meth:`actors.runtime.Runtime.ask`. A command
        that is ``repeatable``, or has a key, is sent again when its owner was lost before it
        answered."""
        wait_s = ASK_TIMEOUT_S if timeout_s is None else timeout_s
        again = repeatable or key is not None
        request = Request(address, command, self._clock.monotonic() + wait_s, key)
        if self._runtime.shards.epoch_of(address.slot):
            return self._here(request, again)
        return self._anywhere(request, again)

    def prepare(self, address: Address, key: CommandKey) -> None:
        """Say that another entity will ask this one soon, as
        :meth:`actors.runtime.Runtime.prepare`. Only those that live here need it: a distant one is
        read while what is decided here is on its way into the journal."""
        self._runtime.prepare(address, key)

    async def look_up(self, address: Address, key: CommandKey) -> Answer | None:
        """The answer that is stored under the key, as :meth:`actors.runtime.Runtime.look_up`."""
        answer = await self.ask(address, LOOK_UP, key=key)
        return answer if answer.replayed else None

    def forward(
        self, address: Address, command: Any, key: CommandKey | None = None
    ) -> asyncio.Future[Answer]:
        """Send a command of the runtime's own, as :meth:`actors.runtime.Runtime.ask_inside` does
        here."""
        if self._runtime.shards.holds(address.slot):
            return self._runtime.ask_inside(address, command, key)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        deadline = self._clock.monotonic() + ASK_TIMEOUT_S
        request = Request(address, command, deadline, key)
        self._tasks.spawn(self._forward(future, request), "saga-step")
        return future

    async def _forward(self, future: asyncio.Future[Answer], request: Request) -> None:
        try:
            answer = await self._anywhere(request, again=True)
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is the saga's, which tells them apart
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(answer)

    # -- routes --------------------------------------------------------------------------------

    async def _here(self, request: Request, again: bool) -> Answer:
        try:
            return await self._runtime.send(request)
        except NotOwnedError:
            return await self._anywhere(request, again)

    async def _anywhere(self, request: Request, again: bool) -> Answer:
        """Try the owner, hold the caller back while there is none, and try again."""
        slot = request.address.slot
        ends = min(request.deadline, self._clock.monotonic() + HELD_MAX_S)
        repeated = False
        while True:
            epoch = self._directory.owner(slot).epoch
            try:
                return await self._try(request)
            except NotOwnedError as error:
                refusal: UnavailableError = error
            except OutcomeUnknownError as error:
                if not again:
                    raise
                refusal, repeated = error, True
            except KeyInFlightError:
                if not repeated:
                    raise
                refusal = OutcomeUnknownError("the first try is still under way")
            except UnavailableError as error:
                if not repeated:
                    raise
                raise _uncertain(error) from error
            if self._clock.monotonic() >= ends or self.held >= HELD_MAX:
                self.refused += 1
                raise _uncertain(refusal) if repeated else refusal
            await self._hold(slot, epoch, ends)

    async def _hold(self, slot: int, epoch: int, ends: float) -> None:
        if self._directory.owner(slot).epoch > epoch:
            return
        self.held += 1
        self.held_total += 1
        if self.tracer is not None:
            self.tracer.held(slot)
        wait_s = min(RETRY_EVERY_S, max(ends - self._clock.monotonic(), 0.001))
        try:
            await self._directory.changed(slot, wait_s)
        finally:
            self.held -= 1

    async def _try(self, request: Request) -> Answer:
        """One try, of at most two hops."""
        slot = request.address.slot
        for hop in range(1, HOPS_MAX + 1):
            if request.deadline <= self._clock.monotonic():
                raise DeadlineExceededError("no owner in time")
            if self._runtime.shards.epoch_of(slot):
                return await self._runtime.send(request)
            self._runtime.shards.check_past(slot)
            owner = self._directory.owner(slot)
            if owner.instance in ("", self._instance):
                # Nobody can claim it then, so there is nothing to hold the caller back for.
                self._runtime.shards.check_journal(slot)
                raise NotOwnedError("nobody owns it now")
            self.sent_on += 1
            try:
                sent = Request(
                    request.address,
                    request.command,
                    request.deadline,
                    request.key,
                    hop,
                    owner.epoch,
                )
                return await self._links.ask(owner.instance, sent)
            except MovedError as moved:
                if not self._directory.learn(slot, moved.owner, moved.epoch):
                    raise
        raise NotOwnedError("it moves faster than it is followed")


def _uncertain(error: UnavailableError) -> OutcomeUnknownError:
    """The last of several tries says that nothing was done; of the first ones nobody knows."""
    return OutcomeUnknownError(f"tried again in vain: {error}", error.retry_after_s)


STALE_AFTER_S = 2.0
"""Since an owner last confirmed that it serves a shard; older replicas are not served."""


@define(eq=False, slots=False)
class ShardAvailability:
    """Whether shards have an owner that answers, and whether their view replicas are recent enough.
    ``released`` tells whether a shard was released just now, for another instance to claim."""

    _runtime: Runtime
    _directory: ShardDirectory
    _members: MembershipView
    _clock: Clock
    _released: Callable[[int], bool]
    _all_confirmed: bool = field(default=False, init=False)
    """Every owner has confirmed its shards once since the start."""

    # -- of replicas ---------------------------------------------------------------------------

    @property
    def regaining(self) -> bool:
        """Whether this instance stood still, and is finding out what happened meanwhile."""
        shards = self._runtime.shards
        if not shards.verified and (shards.looking or not shards.trustworthy):
            return shards.looking
        if self._directory.distrusted:
            self._directory.distrusted -= shards.by_number.keys()
        return bool(self._directory.distrusted)

    def check(self, shard: int) -> None:
        """Raises :class:`StaleError` unless the shard is served here or its owner was heard."""
        shards = self._runtime.shards
        if not shards.verified:
            self.check_here(shard)
        if shard not in shards.by_number and self._stale(shard, self._clock.monotonic()):
            raise StaleError("the owner was not heard for a while", 0.5)

    def check_here(self, shard: int) -> None:
        """Raises :class:`StaleError` after a pause, until the shard's lease is checked."""
        if not self._runtime.shards.trusts(shard):
            raise StaleError("this instance stood still and is looking around", 0.2)

    def stale(self, shards: Iterable[int]) -> frozenset[int]:
        """Those of these shards whose owner was not heard recently."""
        now_s = self._clock.monotonic()
        return frozenset(shard for shard in shards if self._stale(shard, now_s))

    def _stale(self, shard: int, now_s: float) -> bool:
        return self._directory.unconfirmed_s(shard, now_s) > STALE_AFTER_S

    # -- of owners -----------------------------------------------------------------------------

    def owner_of(self, shard: int) -> ShardOwner | None:
        """The owner as far as it is known, for refusals that redirect the caller."""
        if epoch := self._runtime.shards.epoch_of(shard):
            return ShardOwner(self._members.me.instance, epoch)
        known = self._directory.owner(shard)
        return known if known.instance else None

    def problem(self) -> str | None:
        """Why some shards have no owner that answers, in a few words; ``None`` if all have."""
        if (problem := self._runtime.health.problem()) is not None:
            return problem
        unserved = sum(not self._served(shard) for shard in range(SLOT_COUNT))
        if unserved:
            return f"{unserved} shards have no owner that is there"
        return self._unconfirmed()

    def _served(self, shard: int) -> bool:
        if self._runtime.shards.holds(shard) or shard in self._runtime.shards.waiting:
            return True
        owner = self._directory.owner(shard).instance
        if owner == self._members.me.instance:
            return self._released(shard)
        return bool(owner) and self._members.alive(owner)

    def _unconfirmed(self) -> str | None:
        """Until every owner was heard once; later silence sends nobody away."""
        if not self._all_confirmed:
            now_s = self._clock.monotonic()
            shards = self._runtime.shards
            unheard = sum(
                not shards.holds(n)
                and n not in shards.waiting
                and self._directory.unconfirmed_s(n, now_s) == inf
                for n in range(SLOT_COUNT)
            )
            if unheard:
                return f"{unheard} shards whose owners were not heard yet"
            self._all_confirmed = True
        return None
