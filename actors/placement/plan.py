"""A plan: the way from where the shards are to where they should be, as data. To resume one after a
crash or an abort, make a new one: it begins where the old one got to."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from statistics import median
from typing import Literal

import msgspec
from msgspec.structs import asdict

from actors.placement.assignment import Held
from actors.placement.inputs import Node, Pause, Rules, ShardState
from actors.placement.planner import Placement, place

Reason = Literal["unowned", "dead", "evicted", "under_way", "pinned", "draining", "count", "rate"]
"""Why a shard moves, in the order in which moves are made: first those that nobody serves."""

ORDER: tuple[Reason, ...] = (
    "unowned", "dead", "evicted", "under_way", "pinned", "draining", "count", "rate",
)  # fmt: skip
TAKEOVERS: frozenset[Reason] = frozenset({"unowned", "dead", "evicted"})
"""Reasons of moves without a source that takes part."""

CHANGES_TOLD_MAX = 3
"""As many as a person reads in one line; the rest is a number."""


class ObservedNode(msgspec.Struct, frozen=True):
    """What a plan depends on of an instance."""

    instance: str
    incarnation: str
    weight: float
    state: str


class ObservedShard(msgspec.Struct, frozen=True):
    """What a plan depends on of a shard."""

    shard: int
    epoch: int
    owner: str
    desired: str
    pinned_to: str | None
    frozen: bool


class ObservedState(msgspec.Struct, frozen=True):
    """What a plan is based on, in order; loads and silence differ a second later."""

    nodes: tuple[ObservedNode, ...]
    shards: tuple[ObservedShard, ...]

    @property
    def digest(self) -> str:
        """The digest of all of it."""
        return digest_of(self)


class InstanceLoad(msgspec.Struct, frozen=True, rename="camel"):
    """What one instance has."""

    instance: str
    state: str
    weight: float
    shards: int
    entities: int
    rate: float
    """Commands a second."""


class Load(msgspec.Struct, frozen=True, rename="camel"):
    """What all have. The ratios compare the fullest instance, by its weight, with the mean of
    those that may be given shards: 1.0 is even. 0 if there is nothing to compare."""

    instances: tuple[InstanceLoad, ...]
    worst_to_mean_shards: float
    worst_to_mean_rate: float
    unserved: int
    """Shards on no instance that answers."""


class Move(msgspec.Struct, frozen=True, rename="camel"):
    """One shard from one instance to another."""

    shard: int
    epoch: int
    """As it was when the plan was made, and has to be when it is claimed."""
    from_: str = msgspec.field(name="from")
    """Empty for a shard that nobody ever had."""
    to: str
    reason: Reason
    expected_pause_ms: float
    """How long callers will be held back; 0 for a takeover, which ends a pause."""
    overrides: str = ""
    """The freeze that does not hold, because nobody serves the shard."""

    @property
    def takeover(self) -> bool:
        """Nobody hands the shard over: its target claims it at once, without warming up."""
        return self.reason in TAKEOVERS


class Withdrawal(msgspec.Struct, frozen=True, rename="camel"):
    """A move under way that is not wanted any more: ``desired`` has to be the owner again."""

    shard: int
    epoch: int
    owner: str
    desired: str


class Plan(msgspec.Struct, frozen=True, rename="camel"):
    """All moves to the target. Encodes to JSON and back, to be kept or shown."""

    plan_id: str
    """The same for the same moves in the same cluster."""
    based_on: str
    """The digest of :attr:`basis`."""
    moves: tuple[Move, ...]
    """In the order in which they should be made."""
    withdrawals: tuple[Withdrawal, ...]
    """To be written before any move; they cost nothing."""
    held: tuple[Held, ...]
    """What is not where it should be and waits for something."""
    load_before: Load
    load_after: Load
    basis: ObservedState

    @property
    def empty(self) -> bool:
        """There is nothing to do."""
        return not self.moves and not self.withdrawals


def make_plan(
    nodes: Sequence[Node],
    shards: Sequence[ShardState],
    rules: Rules | None = None,
    pauses: Sequence[Pause] = (),
) -> Plan:
    """Plan the way to the target. ``nodes`` may leave out dead instances; ``pauses`` are measured
    ones. Some milliseconds of computing."""
    placement = place(nodes, shards, rules or Rules())
    target = placement.target
    expected = _expectations(pauses, rules or Rules())
    by_name = {node.instance: node for node in nodes}
    moves = [
        _move(state, placement, by_name, expected)
        for state in shards
        if target.get(state.shard, state.owner) != state.owner
    ]
    moves.sort(key=lambda move: (ORDER.index(move.reason), move.shard))
    withdrawals = [
        Withdrawal(s.shard, s.epoch, s.owner, s.desired)
        for s in sorted(shards, key=lambda state: state.shard)
        if s.owner and s.desired not in ("", s.owner) and target.get(s.shard) == s.owner
    ]
    basis = observe(nodes, shards)
    steps = [(move.shard, move.from_, move.to, move.reason) for move in moves]
    return Plan(
        plan_id=digest_of((basis.digest, steps, withdrawals)),
        based_on=basis.digest,
        moves=tuple(moves),
        withdrawals=tuple(withdrawals),
        held=placement.held,
        load_before=load_of(nodes, shards, owners(shards)),
        load_after=load_of(nodes, shards, target),
        basis=basis,
    )


def _move(
    state: ShardState,
    placement: Placement,
    nodes: Mapping[str, Node],
    expected: Mapping[int | None, float],
) -> Move:
    reason = _reason(state, placement, nodes)
    takeover = reason in TAKEOVERS
    pause_ms = 0.0 if takeover else expected.get(state.shard, expected[None])
    return Move(
        shard=state.shard,
        epoch=state.epoch,
        from_=state.owner,
        to=placement.target[state.shard],
        reason=reason,
        expected_pause_ms=pause_ms,
        overrides=state.frozen if takeover else "",
    )


def _reason(state: ShardState, placement: Placement, nodes: Mapping[str, Node]) -> Reason:
    to = placement.target[state.shard]
    owner = nodes.get(state.owner)
    if not state.owner:
        return "unowned"
    if owner is None or not owner.serves:
        return "evicted" if owner is not None and owner.evicted else "dead"
    if state.desired == to:
        return "under_way"
    if state.pinned_to == to:
        return "pinned"
    if owner.draining:
        return "draining"
    return "rate" if placement.moved_by[state.shard] == "rate" else "count"


def _expectations(pauses: Sequence[Pause], rules: Rules) -> dict[int | None, float]:
    """The median of each shard's own pauses, and for all others the median of all."""
    own: dict[int, list[float]] = {}
    for pause in pauses:
        own.setdefault(pause.shard, []).append(pause.pause_ms)
    everyone = [pause.pause_ms for pause in pauses] or [rules.pause_guess_ms]
    expected: dict[int | None, float] = {s: round(median(ms), 1) for s, ms in own.items()}
    expected[None] = round(median(everyone), 1)
    return expected


def stale_reason(plan: Plan, nodes: Sequence[Node], shards: Sequence[ShardState]) -> str | None:
    """Why the plan must not be begun any more, for people; ``None`` if it may be. While it runs ask
    :func:`actors.placement.progress.progress`."""
    return difference(plan.basis, observe(nodes, shards))


def observe(nodes: Sequence[Node], shards: Sequence[ShardState]) -> ObservedState:
    """The same for the same cluster, in whatever order it is given."""
    marks = (ObservedNode(n.instance, n.incarnation, n.weight, n.state) for n in nodes)
    states = (
        ObservedShard(s.shard, s.epoch, s.owner, s.desired, s.pinned_to, bool(s.frozen))
        for s in shards
    )
    return ObservedState(
        tuple(sorted(marks, key=lambda mark: mark.instance)),
        tuple(sorted(states, key=lambda state: state.shard)),
    )


def digest_of(value: object) -> str:
    """16 hexadecimal digits, short enough to be copied by hand. Against mistakes, not attacks."""
    return blake2b(msgspec.json.encode(value), digest_size=8).hexdigest()


def difference(then: ObservedState, now: ObservedState) -> str | None:
    """What changed, for people; ``None`` if nothing did."""
    changes = [*_changes("instance", then.nodes, now.nodes)]
    changes += _changes("shard", then.shards, now.shards)
    if not changes:
        return None
    more = len(changes) - CHANGES_TOLD_MAX
    return "; ".join(changes[:CHANGES_TOLD_MAX]) + (f"; and {more} more" if more > 0 else "")


def _changes(
    key: str,
    then: Sequence[ObservedNode | ObservedShard],
    now: Sequence[ObservedNode | ObservedShard],
) -> Iterator[str]:
    old, new = ({getattr(one, key): asdict(one) for one in seen} for seen in (then, now))
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"{key} {name} is gone"
        elif name not in old:
            yield f"{key} {name} is new"
        elif old[name] != new[name]:
            fields = (
                f"{field} {value or 'none'} -> {new[name][field] or 'none'}"
                for field, value in old[name].items()
                if value != new[name][field]
            )
            yield f"{key} {name}: {', '.join(fields)}"


def load_of(nodes: Sequence[Node], shards: Sequence[ShardState], where: Mapping[int, str]) -> Load:
    """The load of every instance, if each shard were where the mapping has it."""
    serving = {node.instance for node in nodes if node.serves}
    placed: dict[str, list[ShardState]] = {node.instance: [] for node in nodes}
    for state in sorted(shards, key=lambda s: s.shard):
        if where.get(state.shard) in serving:
            placed[where[state.shard]].append(state)
    rows = tuple(
        InstanceLoad(
            instance=node.instance,
            state=node.state,
            weight=node.weight,
            shards=len(placed[node.instance]),
            entities=sum(s.entities for s in placed[node.instance]),
            rate=round(sum(s.rate for s in placed[node.instance]), 3),
        )
        for node in sorted(nodes, key=lambda n: n.instance)
    )
    usable = {node.instance for node in nodes if node.usable}
    candidates = [row for row in rows if row.instance in usable]
    return Load(
        instances=rows,
        worst_to_mean_shards=_ratio([(row.shards, row.weight) for row in candidates]),
        worst_to_mean_rate=_ratio([(row.rate, row.weight) for row in candidates]),
        unserved=len(shards) - sum(row.shards for row in rows),
    )


def owners(shards: Sequence[ShardState]) -> dict[int, str]:
    """Where every shard is now."""
    return {state.shard: state.owner for state in shards if state.owner}


def _ratio(loads: Sequence[tuple[float, float]]) -> float:
    total = sum(load for load, _ in loads)
    if total == 0:
        return 0.0
    mean = total / sum(weight for _, weight in loads)
    return round(max(load / weight for load, weight in loads) / mean, 3)
