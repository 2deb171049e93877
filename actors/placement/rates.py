"""Balance by commands a second, within what balance by count allows.

An instance above its bound gives a shard to the coolest, or exchanges one, until it is well below.
Each step takes something off the higher of the two, so this comes to an end. Rates are whole
thousandths, so that sums do not depend on the order of steps.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

import msgspec

from actors.placement.assignment import Assignment, Share

STEPS_PER_SHARD_MAX = 4
"""Steps of one run for each shard, far more than needed; the rest is for the next run."""


class _Step(msgspec.Struct, frozen=True, order=True):
    """Ordered by merit, least first."""

    peak: float
    """The load of the higher of the two afterwards; at least the goal: below it all is one."""
    shards: int
    moved: int
    """Thousandths a second of all shards that move: the callers who notice."""
    out: int
    back: int
    """The shard given in exchange; -1 for none."""


class _Rates:
    """The load of each usable instance: thousandths of a command a second, by its weight."""

    def __init__(self, assignment: Assignment, shares: Mapping[str, Share]) -> None:
        self.assignment = assignment
        self.shares = shares
        self.rate = {s: round(state.rate * 1000) for s, state in assignment.shards.items()}
        self.sums = dict.fromkeys(assignment.weights, 0)
        for shard, instance in assignment.home.items():
            self.sums[instance] += self.rate[shard]
        self.counts = assignment.counts()
        self.movable = assignment.movable()
        rules = assignment.rules
        mean = sum(self.sums.values()) / sum(assignment.weights[n] for n in assignment.weights)
        self.bound = mean * (1 + rules.rate_slack)
        self.goal = mean * (1 + rules.rate_slack / 2)
        self.gain = mean * rules.gain_min

    def load(self, instance: str, change: int = 0) -> float:
        return (self.sums[instance] + change) / self.assignment.weights[instance]

    def hottest_first(self) -> list[str]:
        return sorted(self.sums, key=lambda n: (-self.load(n), n))

    def apply(self, step: _Step, donor: str, taker: str) -> None:
        self._pass(step.out, donor, taker)
        if step.back >= 0:
            self._pass(step.back, taker, donor)

    def _pass(self, shard: int, donor: str, taker: str) -> None:
        self.assignment.move(shard, taker, "rate")
        self.movable[donor].remove(shard)
        self.movable[taker].append(shard)
        for instance, sign in ((donor, -1), (taker, 1)):
            self.sums[instance] += sign * self.rate[shard]
            self.counts[instance] += sign

    def best(self, donor: str, taker: str) -> _Step | None:
        """The best step between the two, if any is worth it."""
        steps = (*self._gifts(donor, taker), *self._exchanges(donor, taker))
        return min((step for step in steps if step is not None), default=None)

    def _step(self, donor: str, taker: str, out: int, back: int) -> _Step | None:
        returned = self.rate[back] if back >= 0 else 0
        change = self.rate[out] - returned
        peak = max(self.load(donor, -change), self.load(taker, change))
        if peak > self.load(donor) - self.gain:
            return None
        moved = self.rate[out] + returned
        return _Step(max(peak, self.goal), 1 if back < 0 else 2, moved, out, back)

    def _gifts(self, donor: str, taker: str) -> Iterator[_Step | None]:
        spare = self.counts[donor] > self.shares[donor].low
        room = self.counts[taker] < self.shares[taker].high
        if spare and room:
            yield from (self._step(donor, taker, out, -1) for out in self.movable[donor])

    def _exchanges(self, donor: str, taker: str) -> Iterator[_Step | None]:
        """For each shard the two of the taker that come nearest to making both loads equal."""
        theirs = sorted((self.rate[shard], shard) for shard in self.movable[taker])
        weights = self.assignment.weights
        gap = self.load(donor) - self.load(taker)
        wanted = gap / (1 / weights[donor] + 1 / weights[taker])
        for out in self.movable[donor]:
            place = bisect_left(theirs, (self.rate[out] - wanted, -1))
            for _, back in theirs[max(0, place - 1) : place + 1]:
                yield self._step(donor, taker, out, back)


def balance_rates(assignment: Assignment, shares: Mapping[str, Share]) -> None:
    """Bring instances above their bound below half of it, as far as whole shards allow."""
    rates = _Rates(assignment, shares)
    known = sum(rates.sums.values()) / 1000
    if known < assignment.rules.rate_min * len(assignment.weights):
        return
    mending: set[str] = set()
    for _ in range(STEPS_PER_SHARD_MAX * len(assignment.shards)):
        mending.update(n for n in rates.sums if rates.load(n) > rates.bound)
        if not any(_cool(rates, n) for n in rates.hottest_first() if n in mending):
            return


def _cool(rates: _Rates, donor: str) -> bool:
    """One step for this instance, if it needs one and there is one: with the coolest that can."""
    if rates.load(donor) <= rates.goal:
        return False
    for taker in reversed(rates.hottest_first()):
        if rates.load(taker) > rates.load(donor) - rates.gain:
            return False  # nor is any of those that follow cool enough
        if (step := rates.best(donor, taker)) is not None:
            rates.apply(step, donor, taker)
            return True
    return False
