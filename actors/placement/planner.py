"""The target: which instance each shard should be on.

The stored assignment stays unless there is a reason. Three steps, each only as far as needed:
homes for the shards that have none; counts back within bounds; rates back within bounds.

The bound is the idea of V. Mirrokni, M. Thorup, M. Zadimoghaddam: "Consistent hashing with bounded
loads" (SODA 2018): nobody above (1 + slack) times the mean, the overflow to the next choice. There
the placement follows from the hashes alone; here it is stored, so that it can also be even, and
stay.

The next choice is that of rendezvous hashing (highest random weight). Every (shard, instance) pair
draws a number that never changes; the highest wins. So a new instance only takes shards, from
everybody alike, and one that leaves only gives its own away. D. Thaler, C. Ravishankar: "Using
name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998. Weights:
the logarithmic method of C. Schindelhauer, G. Schomaker: "Weighted distributed hash tables", SPAA
2005. With h uniform in (0, 1), -ln(h)/w is exponentially distributed with rate w, and the smallest
of such is that of i with probability w_i / sum(w). Its reciprocal, -w / ln(h), is the score used
here.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from actors.address import stable_hash
from actors.placement.assignment import Assignment, Held, Share, shares_of
from actors.placement.inputs import Node, Rules, ShardState
from actors.placement.rates import balance_rates

SCORES_KEPT_MAX = 65_536
"""Scores kept in memory, some 10 MB: 256 shards with 256 instance names."""


class Placement(msgspec.Struct, frozen=True):
    """The outcome of one planning run."""

    target: dict[int, str]
    """Shard to instance. Shards that nobody can have are left out."""
    moved_by: dict[int, str]
    """Shards that balance moved: ``count`` or ``rate``."""
    held: tuple[Held, ...]


def place(nodes: Sequence[Node], shards: Sequence[ShardState], rules: Rules) -> Placement:
    """Decide where every shard should be, and say what waits; the same for the same input in any
    order, and again once that is stored."""
    assignment = Assignment(nodes, shards, rules)
    if assignment.weights:
        house(assignment)
        balance_counts(assignment)
        balance_rates(assignment, _bounds(assignment))
    target = assignment.target()
    held = tuple(Held(one.shard, target.get(one.shard, ""), one.why) for one in assignment.held)
    return Placement(target, assignment.moved_by, held)


def house(assignment: Assignment) -> None:
    """A home for each shard that has none: its first choice among those with room, the lowest
    raised first."""
    kept = assignment.counts()
    total = len(assignment.home) + len(assignment.homeless)
    shares = shares_of(total, kept, kept, assignment.weights)
    room = {name: share.quota - kept[name] for name, share in shares.items()}
    donors = {s: first_choice(s, assignment.weights) for s in assignment.homeless}
    assignment.settle(_match(assignment, donors, {}, room))


def balance_counts(assignment: Assignment) -> None:
    """Bring the instances that are out of bounds to their quotas, the others not at all, unless
    they have to give or take what those lack or have too much."""
    counts = assignment.counts()
    shares = _bounds(assignment)
    give = {n: counts[n] - s.quota for n, s in shares.items() if counts[n] > s.high}
    take = {n: s.quota - counts[n] for n, s in shares.items() if counts[n] < s.low}
    _even_out(give, take, {n: counts[n] - s.quota for n, s in shares.items()})
    donors = {s: n for n, own in assignment.movable().items() if n in give for s in own}
    for shard, instance in sorted(_match(assignment, donors, give, take).items()):
        assignment.move(shard, instance, "count")


def _bounds(assignment: Assignment) -> dict[str, Share]:
    fixed = assignment.counts(assignment.fixed)
    slack = assignment.rules.count_slack
    return shares_of(len(assignment.home), fixed, assignment.counts(), assignment.weights, slack)


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
    assignment: Assignment,
    donors: Mapping[int, str],
    give: Mapping[str, int],
    take: Mapping[str, int],
) -> dict[int, str]:
    """Shards to takers, best pairs first: those that the taker's score favours most over that of
    the instance the shard leaves (or would have gone to). ``give`` limits how many leave each;
    without an entry there is no limit."""
    giving, taking = dict(give), dict(take)
    pairs = sorted(
        (-_affinity(assignment, shard, taker, donor), shard, taker)
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


def _affinity(assignment: Assignment, shard: int, taker: str, donor: str) -> float:
    weights = assignment.weights
    return score(shard, taker, weights[taker]) / score(shard, donor, weights[donor])


def draw(shard: int, instance: str) -> float:
    """The pair's number, between 0 and 1 without the ends, uniform over pairs.

    Made of the upper 52 bits of the hash: half a step more still fits a float's 53 bits exactly, so
    that it cannot round to 1, whose logarithm is 0.
    """
    bits = (stable_hash(f"{shard}@{instance}") % 2**64) >> 12
    return (bits + 0.5) / 2**52


@lru_cache(maxsize=SCORES_KEPT_MAX)
def score(shard: int, instance: str, weight: float = 1.0) -> float:
    """How much this instance is the shard's place; above 0, higher is better."""
    return -weight / math.log(draw(shard, instance))


def first_choice(shard: int, weights: Mapping[str, float]) -> str:
    """The instance with the highest score; of equal ones the first by name. There has to be one."""
    return min(weights, key=lambda name: (-score(shard, name, weights[name]), name))
