"""What a process gives its cluster node: the application, the stores, and options."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from actors.address import Address
from actors.behaviour import Behaviour
from actors.core.context import Limits
from actors.election.candidacy import Times
from actors.election.contract import Election
from actors.journal.contract import Journal
from actors.membership.contract import Membership
from actors.placement.contract import OperationStore, PlacementStore
from actors.placement.inputs import Rules
from actors.subscription import Subscription

TIMES = Times(
    renew_every_s=0.6,
    call_timeout_s=0.4,
    hold_s=1.8,
    row_lease_s=2.2,
    key_ttl_s=2.7,
    fallback_after_s=4.0,
)
"""Shorter than the defaults: a lost leader is replaced within about 3.3 s, without Redis within
4.6 s, and the shards of an instance that is lost together with it wait for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The entities, and callbacks. All are called synchronously, on the loop of the instance."""

    behaviours: Sequence[Behaviour]
    subscriptions: Sequence[Subscription]
    """Learn what this instance decides, and what others decide of the kinds in ``replicated``."""
    replicated: Mapping[str, bool]
    """Kinds of entities with views, and whether the view wants states or only events."""
    on_gained: Callable[[Collection[int]], None] = lambda shards: None
    """Called with the shards that are served here from now on."""
    on_message: Callable[[str, bytes], None] = lambda topic, body: None
    """Called with the topic and body of each :meth:`actors.cluster.control.ControlChannel.send` of
    another instance."""
    hot: Callable[[int], Sequence[Address]] = lambda shard: ()
    """Names the entities of a shard that callers will want at once: they are read before the shard
    moves here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The databases that all instances share."""

    journal: Journal
    placement: PlacementStore
    operations: OperationStore
    membership: Membership
    standby: Membership
    """Stands in while the membership store is out of reach."""
    election: Election

    async def close(self) -> None:
        """Close all connections."""
        await self.placement.close()
        await self.operations.close()
        await self.membership.close()
        await self.standby.close()
        await self.election.close()
        await self.journal.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterOptions:
    """Tuning of one node."""

    limits: Limits = field(default_factory=Limits)
    """Bounds of the runtime."""
    lanes: int = 1
    """Journal connections that commit."""
    times: Times = TIMES
    """Of the leader's election."""
    rules: Rules = field(default_factory=Rules)
    """Which differences are worth moving a shard, and how many move at once."""
