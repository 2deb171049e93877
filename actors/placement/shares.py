"""How many shards each instance ought to have.

A fair share is in proportion to the weight, except that nobody's share is below what the instance
has and must keep; what that takes is missing for all others alike. (Water poured into a vessel with
an uneven floor: the level is the same wherever the floor is below it.) Exact fractions, because a
share that is whole must not come out a hair below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import msgspec


class Share(msgspec.Struct, frozen=True):
    """What one instance ought to have, in shards."""

    quota: int
    """Its fair share, rounded so that all quotas add up."""
    low: int
    high: int
    """Between the two, ends included, nothing needs to move."""


def fair_shares(
    total: int, kept: Mapping[str, int], weights: Mapping[str, float]
) -> dict[str, Fraction]:
    """The fair share of each instance: they add up to ``total``, none is below what is kept."""
    assert 0 <= sum(kept.values()) <= total
    shares = {name: Fraction(kept[name]) for name in sorted(weights)}
    open_names = list(shares)
    while open_names:  # ends: each round settles at least one, or is the last
        settled = (share for name, share in shares.items() if name not in open_names)
        left = total - sum(settled, Fraction(0))
        level = left / sum(Fraction(weights[name]) for name in open_names)
        above = [name for name in open_names if kept[name] > level * Fraction(weights[name])]
        if not above:
            return shares | {name: level * Fraction(weights[name]) for name in open_names}
        open_names = [name for name in open_names if name not in above]
    return shares


def shares_of(
    total: int,
    kept: Mapping[str, int],
    current: Mapping[str, int],
    weights: Mapping[str, float],
    slack: float = 0.0,
) -> dict[str, Share]:
    """Quotas and bounds. Whoever already has the shard too many that does not divide keeps it."""
    fair = fair_shares(total, kept, weights)
    quotas = {name: math.floor(share) for name, share in fair.items()}
    spare = total - sum(quotas.values())
    uneven = [name for name in fair if fair[name] > quotas[name]]
    uneven.sort(key=lambda n: (current[n] <= quotas[n], quotas[n] - fair[n], n))
    for name in uneven[:spare]:
        quotas[name] += 1
    return {name: _bounded(fair[name], quotas[name], slack) for name in fair}


def _bounded(fair: Fraction, quota: int, slack: float) -> Share:
    """The bounds depend on the fair share only, never on the rounding: rounding may turn out
    differently after a move, and the bounds must not."""
    give = Fraction(slack)
    low = min(math.floor(fair), math.ceil(fair * (1 - give)))
    high = max(math.ceil(fair), math.floor(fair * (1 + give)))
    return Share(quota=quota, low=low, high=high)
