"""What an instance does besides answering: loops of one duty each, which outlive any trouble."""

import asyncio
import logging
from collections.abc import Collection

from actors.address import Address
from actors.cluster.node import ClusterNode
from actors.errors import EntityCrashedError, UnavailableError
from actors.journal.contract import Journal, JournalError
from booking.catalogue.contract import CatalogueStore
from booking.entities import ledger_address, queue_address
from booking.instance.views import Views
from booking.seats.view import SeatMaps

log = logging.getLogger(__name__)

CATALOGUE_POLL_S = 1.0
"""An import shows within this time; the question is one indexed row."""

LOADED_TOGETHER_MAX = 200
"""Entities asked for at once at the start, as many as one load query takes."""

LOAD_AGAIN_S = 0.2
"""Before views that could not be loaded are tried again."""

OUTCOME_SEGMENT_MS = 24 * 3600 * 1000
"""The promised time, for which an outcome is kept whatever the database's clock does, and two to
three times as long if that is right."""
JOURNAL_SEGMENT_MS = 30 * 24 * 3600 * 1000
"""A year without an archive is 12 partitions: each is asked for an entity without a snapshot."""
TURN_EVERY_S = 600.0


class ViewLoader:
    """Has the entities that views are made of in memory: those of this instance's shards by its
    runtime, which tells the views of them, and copies of all others."""

    def __init__(self, node: ClusterNode, seats: SeatMaps, queues: Collection[str]) -> None:
        self._node = node
        self._seats = seats
        self._queues = queues
        self._gained: asyncio.Queue[Collection[int]] = asyncio.Queue()

    def shown(self) -> list[Address]:
        """Every entity that a view is made of."""
        ledgers = [ledger_address(schedule) for schedule in self._seats.catalogue.schedules]
        return ledgers + [queue_address(name) for name in self._queues]

    def missing(self) -> int:
        """How many of them are not known here yet, but for those that nobody may serve."""
        ready, waiting = self._node.replication.replicas.ready, self._node.runtime.shards.waiting
        return sum(each.slot not in waiting and not ready(each) for each in self.shown())

    def gained(self, shards: Collection[int]) -> None:
        """These shards are this instance's now: what it knew of them as a copy may be behind."""
        self._gained.put_nowait(shards)

    async def load(self, addresses: Collection[Address]) -> None:
        """Have these in memory; raises as :meth:`actors.runtime.Runtime.load_state`."""
        here = [each for each in addresses if self._node.runtime.shards.holds(each.slot)]
        self._node.replication.replicas.track(addresses)
        for first in range(0, len(here), LOADED_TOGETHER_MAX):
            try:
                await self._node.runtime.load_state(here[first : first + LOADED_TOGETHER_MAX])
            except EntityCrashedError as error:
                # The runtime reads it again by itself, and tells the views of it then.
                log.error("%s cannot be shown yet", error)

    async def run(self) -> None:
        """Load what is shown of each shard that is gained."""
        while True:
            shards = await self._gained.get()
            try:
                await self.load([each for each in self.shown() if each.slot in shards])
            except UnavailableError as error:
                # Lost again, or the journal is away; whoever has them by then does this too.
                log.info("the views of %d shards wait: %s", len(shards), error)
                await asyncio.sleep(LOAD_AGAIN_S)
                held = {n for n in shards if self._node.runtime.shards.holds(n)}
                if held:
                    self.gained(held)


class CatalogueWatch:
    """Takes over a changed catalogue."""

    def __init__(self, catalogue: CatalogueStore, views: Views, loader: ViewLoader) -> None:
        self._catalogue = catalogue
        self._views = views
        self._loader = loader

    async def run(self) -> None:
        """Look every :data:`CATALOGUE_POLL_S`, for ever."""
        while True:
            await asyncio.sleep(CATALOGUE_POLL_S)
            try:
                await self._look()
            except JournalError as error:
                log.warning("the catalogue cannot be read, the last one stays: %s", error)
            except UnavailableError as error:
                log.warning("the seats of new dates cannot be loaded yet: %s", error)

    async def _look(self) -> None:
        if await self._catalogue.version() == self._views.seats.catalogue.version:
            return
        known = set(self._loader.shown())
        self._views.use(await self._catalogue.load())
        log.info("catalogue version %d", self._views.seats.catalogue.version)
        await self._loader.load([each for each in self._loader.shown() if each not in known])


class SegmentRotation:
    """Begins segments of the journal and of outcomes by the journal's clock, and forgets outcomes
    that are older than anybody was promised."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def run(self) -> None:
        """Look every :data:`TURN_EVERY_S`, for ever."""
        while True:
            await asyncio.sleep(TURN_EVERY_S)
            try:
                if await self._journal.turn_outcomes(OUTCOME_SEGMENT_MS):
                    log.info("the oldest stored outcomes are forgotten")
                if await self._journal.turn_journal(JOURNAL_SEGMENT_MS):
                    log.info("the journal goes on in another segment")
            except JournalError as error:
                log.warning("segments stay as they are for now: %s", error)
