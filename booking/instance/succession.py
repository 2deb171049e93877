"""Whether a later run of this instance has taken its place: there is nothing left to do then."""

from __future__ import annotations

import asyncio
import logging

from actors.journal.contract import JournalError
from actors.membership.contract import Member
from actors.placement.stores.contract import PlacementStore
from actors.tasks import Tasks

log = logging.getLogger(__name__)


class SupersededError(Exception):
    """A later run of this instance has taken its shards over. ``str()`` is one line."""


class Succession:
    """One instance's. :attr:`superseded` is done with a :class:`SupersededError` when it is so."""

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
