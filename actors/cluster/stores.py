"""Everything outside that a node is connected to."""

from __future__ import annotations

import msgspec

from actors.election.contract import Election
from actors.journal.contract import Journal
from actors.membership.contract import Membership
from actors.placement.stores.contract import PlacementStore
from actors.placement.stores.operations import OperationStore


class Stores(msgspec.Struct):
    """Where the truth lies, and where the instances meet."""

    journal: Journal
    placement: PlacementStore
    operations: OperationStore
    membership: Membership
    standby: Membership
    """For while the membership's own store is out of reach."""
    election: Election

    async def close(self) -> None:
        """Close them all."""
        await self.placement.close()
        await self.operations.close()
        await self.membership.close()
        await self.standby.close()
        await self.election.close()
        await self.journal.close()
