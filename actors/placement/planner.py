"""The target: which instance each shard ought to be on.

The stored assignment stays unless there is a reason. Three steps, each only as far as needed:
homes for the shards that have none; counts back within bounds; rates back within bounds.

The bound is the idea of V. Mirrokni, M. Thorup, M. Zadimoghaddam: "Consistent hashing with bounded
loads" (SODA 2018): nobody above (1 + slack) times the mean, the overflow to the next choice. There
the placement follows from the hashes alone; here it is stored, so that it can also be even, and
stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from actors.placement.board import Board, Held
from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.rates import balance_rates
from actors.placement.rendezvous import first_choice, score
from actors.placement.shares import Share, shares_of


class Placement(msgspec.Struct, frozen=True):
    """The outcome of one planning run."""

    target: dict[int, str]
    """Shard to instance. Shards that nobody can have are left out."""
    moved_by: dict[int, str]
    """Shards that balance moved: ``count`` or ``rate``."""
    held: tuple[Held, ...]


def place(nodes: Sequence[Node], shards: Sequence[ShardState], rules: Rules) -> Placement:
    """Decide where every shard ought to be, and say what waits for something.

    The same for the same input in any order. Once its outcome is the stored assignment and nothing
    else has changed, it decides the same again.
    """
    board = Board(nodes, shards, rules)
    if board.weights:
        house(board)
        balance_counts(board)
        balance_rates(board, _bounds(board))
    target = board.target()
    held = tuple(Held(one.shard, target.get(one.shard, ""), one.why) for one in board.held)
    return Placement(target, board.moved_by, held)


def target(
    nodes: Sequence[Node], shards: Sequence[ShardState], rules: Rules | None = None
) -> Mapping[int, str]:
    """Which instance each shard ought to be on; shards that nobody can have are left out."""
    return place(nodes, shards, rules or Rules()).target


def house(board: Board) -> None:
    """A home for each shard that has none: its first choice among those with room.

    ShardContext is what raises the lowest first, so that nothing has to move afterwards.
    """
    kept = board.counts()
    total = len(board.home) + len(board.homeless)
    shares = shares_of(total, kept, kept, board.weights)
    room = {name: share.quota - kept[name] for name, share in shares.items()}
    donors = {s: first_choice(s, board.weights) for s in board.homeless}
    board.settle(_match(board, donors, {}, room))


def balance_counts(board: Board) -> None:
    """Bring the instances that are out of bounds to their quotas, the others not at all, unless
    they have to give or take what those lack or have too much."""
    counts = board.counts()
    shares = _bounds(board)
    give = {n: counts[n] - s.quota for n, s in shares.items() if counts[n] > s.high}
    take = {n: s.quota - counts[n] for n, s in shares.items() if counts[n] < s.low}
    _even_out(give, take, {n: counts[n] - s.quota for n, s in shares.items()})
    donors = {s: n for n, own in board.movable().items() if n in give for s in own}
    for shard, instance in sorted(_match(board, donors, give, take).items()):
        board.move(shard, instance, "count")


def _bounds(board: Board) -> dict[str, Share]:
    fixed = board.counts(board.fixed)
    slack = board.rules.count_slack
    return shares_of(len(board.home), fixed, board.counts(), board.weights, slack)


def _even_out(give: dict[str, int], take: dict[str, int], surplus: Mapping[str, int]) -> None:
    """Make both sides the same: the shorter one is filled up by whoever is farthest from the
    quota on its side. Surpluses add up to 0, so there are enough."""
    while (lacking := sum(give.values()) - sum(take.values())) != 0:
        side, sign = (take, -1) if lacking > 0 else (give, 1)
        left = {n: sign * over - side.get(n, 0) for n, over in surplus.items()}
        most = min(left, key=lambda n: (-left[n], n))
        assert left[most] > 0
        side[most] = side.get(most, 0) + 1


def _match(
    board: Board, donors: Mapping[int, str], give: Mapping[str, int], take: Mapping[str, int]
) -> dict[int, str]:
    """Shards to takers, best pairs first: those that the taker's score favours most over that of
    the instance the shard leaves (or would have gone to). ``give`` limits how many leave each;
    without an entry there is no limit."""
    giving, taking = dict(give), dict(take)
    pairs = sorted(
        (-_affinity(board, shard, taker, donor), shard, taker)
        for shard, donor in donors.items()
        for taker, room in taking.items()
        if room > 0
    )
    matched: dict[int, str] = {}
    for _, shard, taker in pairs:
        donor = donors[shard]
        if shard in matched or taking[taker] == 0 or giving.get(donor) == 0:
            continue
        matched[shard] = taker
        taking[taker] -= 1
        if donor in giving:
            giving[donor] -= 1
    assert not any(taking.values()), "what is given has to be taken"
    return matched


def _affinity(board: Board, shard: int, taker: str, donor: str) -> float:
    weights = board.weights
    return score(shard, taker, weights[taker]) / score(shard, donor, weights[donor])
