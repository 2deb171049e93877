"""The stored placement: who leads, where each shard should be, what operators want and did.

It lives beside the leases in the journal's database, because it is worth something only where one
statement can make a write depend on a term and on an epoch. The implementations in
:mod:`actors.placement.postgres` and :mod:`actors.placement.partitioned`, and the tests' in-memory
twin, pass the same tests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from actors.journal.contract import Lease
from actors.placement.inputs import ShardState
from actors.placement.plan import Plan

Via = Literal["", "redis", "postgres"]
"""How a leader holds its place; empty if there never was one."""

PlanState = Literal["shown", "running", "done", "aborted"]
PlanKind = Literal["rebalance", "move"]


class Leadership(msgspec.Struct, frozen=True):
    """The leader's row as it was read."""

    term: int
    holder: str
    """The incarnation that leads or led last; empty if there never was one."""
    via: Via
    expires_at: datetime
    """By the database's clock: to be compared with itself, never with a clock of ours."""
    expired: bool
    """Whether that was over when the row was read."""

    def same_as(self, other: Leadership) -> bool:
        """Nobody renewed or took it between the two readings."""
        return (self.term, self.expires_at) == (other.term, other.expires_at)


class PlacedShard(ShardState, frozen=True, kw_only=True):
    """A shard as the database has it; rate and entities are for the owner's heartbeat to say."""

    incarnation: str
    desired_term: int


class WriteResult(msgspec.Struct, frozen=True):
    """What became of a plan's writes."""

    current: bool
    """False: the term is over, nothing was written, and the writer is leader no more."""
    shards: frozenset[int] = frozenset()
    """The accepted ones; the epoch of the others is not the one seen."""


class OperatorLogEntry(msgspec.Struct, frozen=True):
    """An entry of the operators' log."""

    id: int
    at_ms: int
    """By the database's clock."""
    who: str
    what: str
    detail: dict[str, Any]


class StoredLoss(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a shard that were committed and that its journal no longer has. Times are by the
    clock of the shard's database."""

    shard: int
    seq: int
    """The last row that was committed, as far as the instance knew."""
    kept_seq: int
    """The last row before it that is still there."""
    entities: tuple[str, ...]
    """Entities that are known to have lost events."""
    instance: str
    """Who noticed it."""
    noticed_at_ms: int
    accepted_at_ms: int | None
    accepted_by: str


class DesiredState(msgspec.Struct, frozen=True):
    """What an operator wants of an instance, whichever run of it."""

    draining: bool = False
    evicted: bool = False


class PlanOutcome(msgspec.Struct, frozen=True):
    """How far a plan had got when it ended; only stored, as the cluster moves on."""

    done: int
    open: int
    """Moves that were not made any more."""
    broken: tuple[str, ...]
    """Moves that could not be made, and why, for people."""


class StoredPlan(msgspec.Struct, frozen=True):
    """A plan, and what became of it."""

    plan: Plan
    kind: PlanKind
    state: PlanState
    begun_by: str = ""
    begun_at_ms: int = 0
    outcome: PlanOutcome | None = None
    """``None`` until it has ended, and of plans that ended under releases that kept none."""


class TermStore(Protocol):
    """The leader's row. Every method may raise :class:`~actors.journal.contract.JournalError`, and
    then may have been carried out or not."""

    async def leadership(self) -> Leadership:
        """The row as it is."""

    async def raise_term(
        self, holder: str, via: Via, lease_s: float, seen: Leadership
    ) -> int | None:
        """Begin the next term and hold it for ``lease_s``, if the row is still the one seen;
        returns the new term, or ``None`` if somebody was faster. Whether the row may be taken is
        for the caller to know."""

    async def renew_term(self, term: int, via: Via, lease_s: float) -> bool:
        """Hold it for ``lease_s`` from now; false if the term is over."""

    async def yield_term(self, term: int) -> None:
        """Let the next one in at once. Does nothing if the term is over."""


class PlacementStore(TermStore, Protocol):
    """Every method may raise :class:`~actors.journal.contract.JournalError`; none retries by
    itself."""

    async def shards(self) -> list[PlacedShard]:
        """All shards, by number."""

    async def write_desired(self, term: int, desired: Mapping[int, tuple[int, str]]) -> WriteResult:
        """Say where shards should be: ``{shard: (epoch seen, instance)}``. Under a term that is
        over nothing is written; of the rest each shard whose epoch is still the one seen."""

    async def claim(
        self, wanted: Sequence[tuple[int, int]], owner: str, incarnation: str
    ) -> list[Lease]:
        """As :meth:`actors.journal.contract.Journal.claim`, and only shards that should be this
        owner's and that no later run of it has, by the order of their first claims: for taking
        over. An owner in doubt claims its own again with the journal's."""

    async def pin(self, shard: int, instance: str | None, who: str) -> None:
        """Want a shard on this instance (``None``: nowhere in particular), and log it."""

    async def freeze(self, shard: int, reason: str | None, who: str) -> None:
        """Keep a shard where it is, for a reason (``None``: let it move again), and log it."""

    async def losses(self) -> list[StoredLoss]:
        """Everything that was found lost, newest first."""

    async def accept_losses(self, shards: Collection[int], who: str) -> None:
        """Let these shards be claimed again, without what they have lost, and log it."""

    async def log(self, who: str, what: str, detail: Mapping[str, Any]) -> int:
        """Log a change that is made elsewhere; returns the entry's id."""

    async def logged(self, limit: int, before_id: int | None = None) -> list[OperatorLogEntry]:
        """The newest entries, newest first, below ``before_id`` if given."""

    async def close(self) -> None:
        """Close every connection. The store cannot be used again."""


class OperationStore(Protocol):
    """What operators asked of instances, and their plans.

    Every method may raise :class:`~actors.journal.contract.JournalError`; none retries by itself.
    Who asked is written to the operators' log in the statement that makes the change.
    """

    async def desired_states(self) -> Mapping[str, DesiredState]:
        """By instance; those of which nothing is wanted are left out."""

    async def desire(self, instance: str, state: DesiredState, who: str, what: str) -> None:
        """Want this of an instance from now on; ``what`` is the word for the log."""

    async def show(self, plan: Plan, kind: PlanKind) -> None:
        """Keep a plan under its id, to be begun, unless it runs. Old ones nobody began are
        deleted."""

    async def begin(self, plan_id: str, who: str) -> bool:
        """Run a plan that was shown; false if it is not there or was begun before."""

    async def end(
        self, plan_id: str, state: Literal["done", "aborted"], who: str, outcome: PlanOutcome
    ) -> bool:
        """End a plan; false if it did not run."""

    async def plan(self, plan_id: str) -> StoredPlan | None:
        """The plan with this id."""

    async def running(self) -> list[StoredPlan]:
        """The plans that run, oldest first."""

    async def latest(self) -> StoredPlan | None:
        """The rebalance that was begun last, whatever its state."""

    async def close(self) -> None:
        """Close every connection. The store cannot be used again."""
