"""The working table of one planning run: what stays, what is fixed, who needs a home, and how many
shards each instance should have."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from actors.placement.inputs import Node, Rules, ShardState


class Held(msgspec.Struct, frozen=True):
    """A shard that is not where it should be, and what it waits for."""

    shard: int
    on: str
    """Where it is to be meanwhile; empty if nobody can have it."""
    why: str


class Assignment:
    """Where every shard is going to be. Begins with all that may stay; the steps of the planner
    fill in and rearrange the rest. Everything is in order of names and numbers, so that the order
    of the input does not show."""

    def __init__(self, nodes: Sequence[Node], shards: Sequence[ShardState], rules: Rules) -> None:
        self.nodes = {node.instance: node for node in sorted(nodes, key=lambda n: n.instance)}
        self.shards = {state.shard: state for state in sorted(shards, key=lambda s: s.shard)}
        if len(self.nodes) != len(nodes) or len(self.shards) != len(shards):
            raise ValueError("an instance or a shard is given twice")
        self.rules = rules
        self.weights = {n.instance: n.weight for n in self.nodes.values() if n.usable}
        """Of the instances that may be given shards."""
        self.home: dict[int, str] = {}
        """Shards on those instances."""
        self.aside: dict[int, str] = {}
        """Shards that stay with an instance that is given none."""
        self.fixed: set[int] = set()
        """Shards that balance must not move."""
        self.homeless: list[int] = []
        self.held: list[Held] = []
        self.moved_by: dict[int, str] = {}
        """Which step of balancing moved a shard last."""
        for state in self.shards.values():
            self._begin(state)

    def counts(self, among: Iterable[int] | None = None) -> dict[str, int]:
        """How many shards, of all or of these, each usable instance has."""
        counts = dict.fromkeys(self.weights, 0)
        for shard in self.home if among is None else among:
            if shard in self.home:
                counts[self.home[shard]] += 1
        return counts

    def movable(self) -> dict[str, list[int]]:
        """The shards of each usable instance that balance may move, by number."""
        movable: dict[str, list[int]] = {name: [] for name in self.weights}
        for shard in sorted(self.home.keys() - self.fixed):
            movable[self.home[shard]].append(shard)
        return movable

    def settle(self, homes: Mapping[int, str]) -> None:
        """Give the homeless these homes. One that is frozen is frozen there from now on."""
        assert homes.keys() == set(self.homeless)
        self.home.update(homes)
        self.fixed.update(shard for shard in homes if self.shards[shard].frozen)
        self.homeless.clear()

    def move(self, shard: int, to: str, step: str) -> None:
        """Rearrange one shard for the sake of balance."""
        assert shard not in self.fixed
        self.home[shard] = to
        self.moved_by[shard] = step

    def target(self) -> dict[int, str]:
        """Where every shard is to be, by number. Left out: those that nobody can have."""
        return dict(sorted((self.home | self.aside).items()))

    def _begin(self, state: ShardState) -> None:
        pin = state.pinned_to
        if state.frozen and self._serves(state.owner):
            self._freeze(state)
        elif pin is not None and pin in self.weights:
            self._fix(state.shard, pin)
        else:
            self._stay(state)
            if pin is not None:
                where = self.nodes[pin].state if pin in self.nodes else "not there"
                self._hold(state, f"pinned to {pin}, which is {where}; goes there when it is back")

    def _freeze(self, state: ShardState) -> None:
        if state.owner not in self.weights:
            self.aside[state.shard] = state.owner
            where = self.nodes[state.owner].state
            self._hold(state, f"frozen ({state.frozen}) on {state.owner}, which is {where}")
            return
        self._fix(state.shard, state.owner)
        if state.pinned_to not in (None, state.owner):
            self._hold(state, f"frozen ({state.frozen}), pinned to {state.pinned_to}")

    def _stay(self, state: ShardState) -> None:
        """Where it is wanted, else where it is, else nowhere yet. So a move under way goes on; but
        balance may still send it elsewhere, which is one pause instead of two."""
        if state.desired in self.weights:
            self.home[state.shard] = state.desired
        elif state.owner in self.weights:
            self.home[state.shard] = state.owner
        elif self.weights:
            self.homeless.append(state.shard)
        elif self._serves(state.owner):
            self.aside[state.shard] = state.owner
            self._hold(state, f"{state.owner} is draining, and there is no other instance")
        else:
            self._hold(state, "no instance to serve it")

    def _fix(self, shard: int, instance: str) -> None:
        self.home[shard] = instance
        self.fixed.add(shard)

    def _hold(self, state: ShardState, why: str) -> None:
        self.held.append(Held(state.shard, "", why))

    def _serves(self, instance: str) -> bool:
        return instance in self.nodes and self.nodes[instance].serves


class Share(msgspec.Struct, frozen=True):
    """What one instance should have, in shards."""

    quota: int
    """Its fair share, rounded so that all quotas add up."""
    low: int
    high: int
    """Between the two, ends included, nothing needs to move."""


def fair_shares(
    total: int, kept: Mapping[str, int], weights: Mapping[str, float]
) -> dict[str, Fraction]:
    """The fair share of each instance: they add up to ``total``, none is below what is kept.

    A fair share is in proportion to the weight, except that nobody's share is below what the
    instance has and must keep; what that takes is missing for all others alike. (Water poured into
    a vessel with an uneven floor: the level is the same wherever the floor is below it.) Exact
    fractions, because a share that is whole must not come out a hair below.
    """
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
