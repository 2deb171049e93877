"""The leader's loop: runs for leader, renews, and gives up by itself.

The decisions are :class:`actors.election.candidacy.Candidacy`'s. The planner gives
:attr:`Leader.term` to each write, and nothing is written under a term that is over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Literal, TypeVar

import msgspec
from attrs import define, field

from actors.clock import Clock
from actors.election.candidacy import Candidacy, Times
from actors.election.contract import Election, ElectionError
from actors.journal.contract import JournalError
from actors.placement.contract import TermStore, Via
from actors.tasks import comes

log = logging.getLogger(__name__)

T = TypeVar("T")
Store = Literal["redis", "journal"]

PAUSE_MIN_S = 0.05
"""Between two rounds, also when one took longer than a renewal."""


class _Answer(Enum):
    NONE = "none"


_NONE: Final = _Answer.NONE
"""The store could not be reached: what was asked may have been done or not."""


class LeaderView(msgspec.Struct, frozen=True):
    """Who leads, as this instance knows."""

    holder: str
    """The incarnation; empty if there never was a leader."""
    term: int
    via: Via
    mine: bool
    """It is this one, now."""
    redis_reached: bool
    journal_reached: bool


@define(eq=False)
class Leader:
    """One instance's candidacy. :meth:`run` is to be spawned by a supervised group.

    ``on_elected(term)`` and ``on_deposed()`` are called in turns and return at once; :attr:`term`
    ends on time also when the call comes late. While ``fit()`` is false it neither leads nor tries
    to. Raises ``ValueError`` if the time-outs do not fit the election's.
    """

    _election: Election
    _store: TermStore
    _incarnation: str
    _clock: Clock
    _on_elected: Callable[[int], None] = field(kw_only=True)
    _on_deposed: Callable[[], None] = field(default=lambda: None, kw_only=True)
    _fit: Callable[[], bool] = field(default=lambda: True, kw_only=True)
    _times: Times = field(kw_only=True)
    _candidacy: Candidacy = field(init=False)
    _told: int | None = field(default=None, init=False)
    """The term that was told to ``on_elected`` and not yet taken back."""
    _stopping: asyncio.Event = field(factory=asyncio.Event, init=False)
    _reached: dict[Store, bool] = field(init=False)

    @_times.default
    def _usual_times(self) -> Times:
        return Times(key_ttl_s=self._election.ttl_s)

    def __attrs_post_init__(self) -> None:
        if self._times.key_ttl_s != self._election.ttl_s:
            raise ValueError(
                f"the election grants {self._election.ttl_s} s, the leader counts on "
                f"{self._times.key_ttl_s} s"
            )
        self._candidacy = Candidacy(self._incarnation, self._times, self._clock.monotonic())
        self._reached = {"redis": True, "journal": True}

    @property
    def term(self) -> int | None:
        """The term in which this instance leads at this moment; ``None`` if it does not."""
        return self._candidacy.term if self._leads() else None

    def view(self) -> LeaderView:
        """For people and figures; as old as the last round."""
        mine = self._candidacy
        reached = (self._reached["redis"], self._reached["journal"])
        if self._leads():
            assert mine.term is not None
            return LeaderView(self._incarnation, mine.term, mine.via, True, *reached)
        row = mine.row
        if row is None:
            return LeaderView("", 0, "", False, *reached)
        return LeaderView(row.holder, row.term, row.via, False, *reached)

    async def run(self) -> None:
        """Take part until :meth:`stop`, then give back what is held."""
        try:
            while not self._stopping.is_set():
                began_s = self._clock.monotonic()
                if not self._fit():
                    await self._step_down("the journal does not answer it")
                else:
                    await (self._run_for_it() if self._candidacy.term is None else self._renew())
                await self._settle()
                await self._wait_until(began_s + self._times.renew_every_s)
            await self._step_down("stopping")
        finally:
            # When cancelled it does not tell the stores, but leads no more either.
            self._candidacy.step_down()
            self._tell_deposed()

    def stop(self) -> None:
        """Let :meth:`run` release the key and the row and return, within a few calls' time-outs."""
        self._stopping.set()

    async def _run_for_it(self) -> None:
        mine = self._candidacy
        row = await self._ask("journal", self._store.leadership())
        mine.saw(None if row is _NONE else row, self._clock.monotonic())
        if row is _NONE or not mine.free(self._clock.monotonic()):
            if await self._ask("redis", self._election.leader()) is not _NONE:
                mine.heard(self._clock.monotonic())
            return
        await self._campaign()
        road = mine.road(self._clock.monotonic())
        if not road:
            return
        sent_s = self._clock.monotonic()
        raised = self._store.raise_term(self._incarnation, road, self._times.row_lease_s, row)
        term = await self._ask("journal", raised)
        if term is None and road == "redis":
            # Somebody was faster: theirs is the row, so theirs be the key. If the answer was lost,
            # the row may be ours, and the next round will tell.
            mine.step_down()
            await self._resign()
        elif term is not None and term is not _NONE:
            mine.won(term, road, sent_s)

    async def _renew(self) -> None:
        await asyncio.gather(self._campaign(), self._keep())

    async def _campaign(self) -> None:
        sent_s = self._clock.monotonic()
        granted = await self._ask("redis", self._election.campaign(self._incarnation))
        if granted is not _NONE:
            self._candidacy.campaigned(granted, sent_s, self._clock.monotonic())

    async def _keep(self) -> None:
        mine = self._candidacy
        assert mine.term is not None
        sent_s = self._clock.monotonic()
        lease_s = self._times.row_lease_s
        kept = await self._ask("journal", self._store.renew_term(mine.term, mine.via, lease_s))
        if kept is not _NONE:
            mine.kept(kept, sent_s)

    async def _wait_until(self, next_s: float) -> None:
        """Until the next round, but not beyond the end of leading."""
        next_s = max(next_s, self._clock.monotonic() + PAUSE_MIN_S)
        if self._leads() and self._candidacy.until_s < next_s:
            await self._sleep_until(self._candidacy.until_s)
            await self._settle()
        await self._sleep_until(next_s)

    async def _sleep_until(self, then_s: float) -> None:
        await comes(self._stopping, then_s - self._clock.monotonic())

    def _leads(self) -> bool:
        return self._candidacy.leads(self._clock.monotonic())

    async def _settle(self) -> None:
        """Say what became of the last round."""
        term = self._candidacy.term
        if term is None:
            return
        if not self._leads():
            await self._step_down("its time is over")
        elif self._told is None:
            log.info("elected leader: term %d via %s", term, self._candidacy.via)
            self._told = term
            self._on_elected(term)

    async def _step_down(self, why: str) -> None:
        """Be leader no more, and let the next one in at once if the stores can be reached."""
        term = self._candidacy.step_down()
        if term is None:
            return
        log.info("leader no more: term %d, %s", term, why)
        self._tell_deposed()
        await asyncio.gather(self._ask("journal", self._store.yield_term(term)), self._resign())

    async def _resign(self) -> None:
        await self._ask("redis", self._election.resign(self._incarnation))

    def _tell_deposed(self) -> None:
        if self._told is not None:
            self._told = None
            self._on_deposed()

    async def _ask(self, store: Store, answer: Awaitable[T]) -> T | _Answer:
        """The answer, or that there was none in time."""
        try:
            async with asyncio.timeout(self._times.call_timeout_s):
                given = await answer
        except (ElectionError, JournalError, TimeoutError) as error:
            if self._reached[store]:
                log.warning("election: %s is out of reach: %s", store, error or "no answer in time")
            self._reached[store] = False
            return _NONE
        if not self._reached[store]:
            log.info("election: %s is back", store)
        self._reached[store] = True
        return given
