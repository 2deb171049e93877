"""What operators see of a cluster and may ask of it: the words, and the one interface.

Whatever is asked is written to the database first, with who asked; the leader acts on what is
written there. So any instance takes any of these, and the loss of a leader loses none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from actors.placement.contract import OperatorLogEntry
from actors.placement.plan import Plan


class InstanceView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An instance as the cluster sees it."""

    instance: str
    incarnation: str
    url: str
    since_ms: int
    state: Literal["serving", "draining", "evicted", "dead"]
    heard_ms_ago: int
    """Since its last heartbeat."""
    shards: int
    rate: float
    """Commands a second over all its shards."""
    entities: int
    loop_lag_ms: float
    commit_age_ms: int | None
    """Since its last commit; ``None`` before the first."""


class ShardView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shard as the database and its owner's heartbeat have it."""

    shard: int
    epoch: int
    owner: str
    desired: str
    """Where it ought to be; another name than ``owner`` while it moves."""
    pinned_to: str | None
    frozen: str
    """Why it must stay where it is; empty if it need not."""
    rate: float
    entities: int


class Rebalance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A plan that was begun, and how far it got."""

    plan_id: str
    state: Literal["running", "done", "aborted"]
    begun_by: str
    begun_at_ms: int
    moves: int
    done: int
    open: int
    broken: Sequence[str]
    """Moves that cannot be made any more, and why, for people."""


class Handover(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A shard that another instance handed over to this one, and how long its callers were held
    back."""

    shard: int
    from_: str = msgspec.field(name="from")
    to: str
    at_ms: int
    pause_ms: float


class ClusterView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The cluster at a moment."""

    instances: Sequence[InstanceView]
    shards: Sequence[ShardView]
    leader: str
    """The instance that leads; empty while there is none."""
    term: int
    age_ms: int
    """How old the oldest part of this may be."""
    answered_by: str
    rebalance: Rebalance | None
    handovers: Sequence[Handover]
    """The last ones to the answering instance, newest first."""


OperationCode = Literal[
    "unknown_shard",
    "unknown_instance",
    "unknown_plan",
    "plan_stale",
    "shard_frozen",
    "no_rebalance",
    "conflict",
]


class OperationRefusedError(Exception):
    """What was asked cannot be done; nothing was changed. ``str()`` is for people."""

    def __init__(self, code: OperationCode, words: str) -> None:
        super().__init__(words)
        self.code: OperationCode = code


class Operations(Protocol):
    """Every method may raise :class:`OperationRefusedError` and
    :class:`~actors.journal.contract.JournalError`. ``who`` is written to the log with what was
    done."""

    async def view(self) -> ClusterView:
        """The cluster as it is."""

    async def plan(self) -> Plan:
        """What would make the shards even. It is kept for a while, to be applied by its id."""

    async def apply(self, plan_id: str, who: str) -> Rebalance:
        """Begin exactly that plan. ``unknown_plan``, or ``plan_stale`` if the cluster has changed
        since. Applied again while it runs, it answers how far it is."""

    async def abort(self, who: str) -> Rebalance:
        """Begin no more moves of the plan that runs; what moved stays. ``no_rebalance``."""

    async def move(self, shard: int, to: str, who: str) -> None:
        """Move one shard now, once. ``unknown_shard``, ``unknown_instance``, ``shard_frozen``."""

    async def pin(self, shard: int, instance: str, who: str) -> None:
        """Move it there and keep it there."""

    async def unpin(self, shard: int, who: str) -> None:
        """Let balance decide again."""

    async def freeze(self, shard: int, reason: str, who: str) -> None:
        """Keep it where it is, whatever the plan."""

    async def unfreeze(self, shard: int, who: str) -> None:
        """Let it move again."""

    async def drain(self, instance: str, who: str) -> None:
        """Move everything away from an instance, and give it nothing."""

    async def undrain(self, instance: str, who: str) -> None:
        """Give it shards again; also takes an eviction back."""

    async def evict(self, instance: str, who: str) -> None:
        """Take a sick instance's shards away without asking it."""

    async def note(self, who: str, what: str, detail: Mapping[str, Any]) -> None:
        """Write a line of the audit trail about a change that is made elsewhere."""

    async def log(self, limit: int, before_id: int | None) -> Sequence[OperatorLogEntry]:
        """The newest lines of the audit trail, newest first."""
