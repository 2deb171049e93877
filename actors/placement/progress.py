"""How far a plan has got, and which of its moves may run now."""

from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.plan import Move, Plan


class ObsoleteMove(msgspec.Struct, frozen=True):
    """A move that cannot be made any more."""

    move: Move
    why: str


class Progress(msgspec.Struct, frozen=True):
    """The moves of a plan, each in one of three groups."""

    done: tuple[Move, ...]
    open: tuple[Move, ...]
    """To be made, or being made."""
    broken: tuple[ObsoleteMove, ...]
    """Overtaken by events; a new plan knows better."""


def progress(plan: Plan, nodes: Sequence[Node], shards: Sequence[ShardState]) -> Progress:
    """Compare a plan that was begun with the cluster as it is now."""
    states = {state.shard: state for state in shards}
    by_name = {node.instance: node for node in nodes}
    done: list[Move] = []
    open_moves: list[Move] = []
    broken: list[ObsoleteMove] = []
    for move in plan.moves:
        state = states.get(move.shard)
        if state is not None and state.owner == move.to:
            done.append(move)
        elif (why := _obstacle(move, state, by_name.get(move.to))) is not None:
            broken.append(ObsoleteMove(move, why))
        else:
            open_moves.append(move)
    return Progress(tuple(done), tuple(open_moves), tuple(broken))


def _obstacle(move: Move, state: ShardState | None, target: Node | None) -> str | None:
    if state is None:
        return "there is no such shard any more"
    if (state.owner, state.epoch) != (move.from_, move.epoch):
        return f"claimed by {state.owner} (epoch {move.epoch} -> {state.epoch})"
    if target is None or not target.usable:
        return f"{move.to} is {'gone' if target is None else target.state}"
    if state.frozen and not move.takeover:
        return f"frozen: {state.frozen}"
    if state.pinned_to not in (None, move.to) and move.reason == "pinned":
        return f"pinned to {state.pinned_to}"
    return None


def next_moves(
    moves: Sequence[Move], in_flight: Collection[Move], rules: Rules | None = None
) -> list[Move]:
    """The moves to begin now, of those still open. Takeovers come first and do not wait; an
    instance that takes over is given no hand-overs meanwhile."""
    rules = rules or Rules()
    busy = {move.shard for move in in_flight}
    waiting = [move for move in moves if move.shard not in busy]
    urgent = [move for move in waiting if move.takeover]
    begun = urgent[: max(0, rules.takeovers_max - sum(m.takeover for m in in_flight))]
    running = [*in_flight, *begun]
    sources = Counter(move.from_ for move in running if not move.takeover)
    targets = Counter(move.to for move in running if not move.takeover)
    taking_over = {move.to for move in running if move.takeover}
    room = rules.moves_max - sources.total()
    for move in waiting:
        if room <= 0:
            break
        if move.takeover or move.to in taking_over:
            continue
        if max(sources[move.from_], targets[move.to]) >= rules.moves_per_instance_max:
            continue
        begun.append(move)
        sources[move.from_] += 1
        targets[move.to] += 1
        room -= 1
    return begun
