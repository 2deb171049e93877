"""What operators see of a cluster, and why a request of theirs is refused."""

from collections.abc import Sequence
from typing import Literal

import msgspec


class InstanceView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An instance as the cluster sees it."""

    instance: str
    incarnation: str
    url: str
    since_ms: int
    state: Literal["serving", "draining", "evicted", "cut_off", "dead"]
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
    """A shard that was handed over to this instance, and how long its callers were held back."""

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


class LossView(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Rows of a shard that were committed and that the journal no longer has. Nobody serves the
    shard until an operator has accepted that."""

    shard: int
    first_seq: int
    """The first row that is lost."""
    last_seq: int
    """The last one, as far as the instance knew that noticed it."""
    entities: Sequence[str]
    """Entities that are known to have lost events: those that the instance had in memory."""
    noticed_by: str
    noticed_at_ms: int
    accepted_at_ms: int | None
    """``None`` while the shard waits."""
    accepted_by: str


OperationCode = Literal[
    "unknown_shard",
    "unknown_instance",
    "unknown_plan",
    "plan_stale",
    "shard_frozen",
    "no_rebalance",
    "no_loss",
    "conflict",
]


class OperationRefusedError(Exception):
    """The request cannot be carried out, and nothing was changed. ``str()`` is for operators."""

    def __init__(self, code: OperationCode, words: str) -> None:
        super().__init__(words)
        self.code: OperationCode = code
