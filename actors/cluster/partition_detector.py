"""Notices that this instance is cut off from all others, or from the journal.

Its shards may be taken over then. Writes are fenced; reads are refused from here on until the
journal has confirmed who owns the shards.
"""

import asyncio
import logging

from attrs import define

from actors.clock import Clock
from actors.cluster.allocator import ShardTable
from actors.cluster.control import ControlChannel
from actors.cluster.membership_view import MembershipView
from actors.runtime import Runtime

log = logging.getLogger(__name__)

ISOLATED_AFTER_S = 1.5
"""Without any answer: three heartbeats, and less than it takes to be considered dead."""

CHECK_EVERY_S = 0.25


@define(eq=False)
class PartitionDetector:
    """Makes the runtime check its leases once each time this instance becomes isolated."""

    _runtime: Runtime
    _members: MembershipView
    _control: ControlChannel
    _table: ShardTable
    _clock: Clock

    async def run(self) -> None:
        """Check until cancelled."""
        was_isolated = False
        while True:
            me = self._members.me.instance
            isolated = self._isolated() or self._members.cut_off(me)
            if isolated and not was_isolated:
                log.warning("cut off: asking the journal whose the shards are")
                self._runtime.shards.doubt()
            was_isolated = isolated
            await asyncio.sleep(CHECK_EVERY_S)

    def _isolated(self) -> bool:
        """Never while no other instance is known: nobody would take anything over."""
        heard = (self._table.read_s, self._members.heard_s)
        last_s = max((at_s for at_s in heard if at_s is not None), default=None)
        if last_s is None or self._clock.monotonic() - last_s <= ISOLATED_AFTER_S:
            return False
        me = self._members.me.instance
        others = [one.instance for one in self._members.members() if one.instance != me]
        return bool(others) and not any(self._control.connected(name) for name in others)
