"""How an instance is doing: whether it is ready, and the newest run of its name."""

import asyncio
import logging

from actors.clock import Clock
from actors.cluster.node import ClusterNode
from actors.journal.contract import Journal, JournalError
from actors.membership.contract import Member
from actors.placement.contract import PlacementStore
from actors.tasks import Tasks
from booking.instance.background import ViewLoader
from booking.services import Readiness

log = logging.getLogger(__name__)

JOURNAL_PING_TIMEOUT_S = 1.0
"""A journal that needs longer to say hello serves nobody within their deadline."""

READY_WAIT_S = 20.0
"""How long a start waits until every shard has an owner; then it listens all the same."""

READY_CHECK_S = 0.02


class ReadinessCheck:
    """The checks of ``/readyz``. Membership is none of them: without Redis every owner goes on
    serving."""

    def __init__(
        self, node: ClusterNode, views: ViewLoader, journal: Journal, clock: Clock
    ) -> None:
        self._node = node
        self._views = views
        self._journal = journal
        self._clock = clock
        self._complete = False
        """Every shard was served and every view loaded, once."""
        self.draining = False

    async def wait(self) -> None:
        """Until requests can be answered, or for as long as a start may take."""
        ends = self._clock.monotonic() + READY_WAIT_S
        while (problem := self.problem()) is not None:
            if self._clock.monotonic() >= ends:
                log.warning("listening, but not ready yet: %s", problem)
                return
            await asyncio.sleep(READY_CHECK_S)

    async def __call__(self) -> Readiness:
        """For ``/readyz``."""
        return Readiness(
            {
                "journal": await self._journal_problem(),
                "shards": self.problem(),
                "draining": "draining" if self.draining else None,
            }
        )

    def problem(self) -> str | None:
        """Why this instance should get no requests, in a few words. Until it knew everything once,
        whatever is missing; afterwards only what is its own."""
        if (problem := self._node.runtime.health.problem()) is not None or self._complete:
            return problem
        if (problem := self._node.availability.problem()) is not None:
            return problem
        missing = self._views.missing()
        self._complete = not missing
        return f"{missing} views not loaded" if missing else None

    async def _journal_problem(self) -> str | None:
        try:
            async with asyncio.timeout(JOURNAL_PING_TIMEOUT_S):
                await self._journal.ping()
        except JournalError as error:
            return f"out of reach: {error}"
        except TimeoutError:
            return "out of reach"
        return self._node.runtime.shards.journal_refusal or None


class SupersededError(Exception):
    """A later run of this instance has taken its shards over. ``str()`` is one line."""


class Succession:
    """Finds out whether a later run replaced this one: then :attr:`superseded` has the error."""

    def __init__(self, member: Member, placement: PlacementStore, tasks: Tasks) -> None:
        self._member = member
        self._placement = placement
        self._tasks = tasks
        self.superseded: asyncio.Future[BaseException]
        self.superseded = asyncio.get_running_loop().create_future()

    def lost(self, shard: int) -> None:
        """Somebody claimed the shard without asking; to be found out who."""
        if not self.superseded.done():
            self._tasks.spawn(self._look_who_has(shard), f"lost-{shard}")

    async def _look_who_has(self, shard: int) -> None:
        try:
            placed = (await self._placement.shards())[shard]
        except JournalError as error:
            log.warning("shard %d is lost, and the journal does not say to whom: %s", shard, error)
            return
        mine = placed.owner == self._member.instance
        if mine and placed.incarnation != self._member.incarnation:
            line = f"a later run of {placed.owner} has taken over (shard {shard})"
            if not self.superseded.done():
                self.superseded.set_result(SupersededError(line))
