"""Notices that this instance hears nobody: neither a store, nor another instance.

Then others may take it for dead and its shards over, and nothing tells it so; a look at the leases
that hangs says so only when it has timed out. Writes are fenced whatever happens; this is for what
is only read, which is not told any more until the journal has said whose the shards are.
"""

from __future__ import annotations

import asyncio
import logging

from actors.clock import Clock
from actors.cluster.allocator import ShardAllocator
from actors.cluster.links import Links
from actors.cluster.roster import Roster
from actors.runtime import Runtime

log = logging.getLogger(__name__)

ALONE_MAX_S = 1.5
"""Without any word from a store before what is here is doubted, if no link speaks either: three
looks at the table, and less than it takes to be taken for dead (``roster.SILENT_MAX_S``, a plan and
a claim). A link that is cut is given up by both sides after the same silence, so it does not make
this side the later one."""

CHECK_EVERY_S = 0.25


class PartitionDetector:
    """One instance's."""

    def __init__(
        self,
        runtime: Runtime,
        roster: Roster,
        links: Links,
        allocator: ShardAllocator,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._roster = roster
        self._links = links
        self._allocator = allocator
        self._clock = clock

    async def run(self) -> None:
        """Look, for ever."""
        was_alone = False
        while True:
            alone = self._alone()
            if alone and not was_alone:
                log.warning("nobody is heard: asking the journal whose the shards are")
                self._runtime.doubt()
            was_alone = alone
            await asyncio.sleep(CHECK_EVERY_S)

    def _alone(self) -> bool:
        """An instance that knows of no other is not: nobody would take anything over."""
        heard = (self._allocator.looked_s, self._roster.heard_s)
        last_s = max((at_s for at_s in heard if at_s is not None), default=None)
        if last_s is None or self._clock.monotonic() - last_s <= ALONE_MAX_S:
            return False
        me = self._roster.me.instance
        others = [one.instance for one in self._roster.members() if one.instance != me]
        return bool(others) and not any(self._links.hears(name) for name in others)
