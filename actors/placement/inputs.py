"""What a planner has to know: instances, shards, past pauses, and the rules it plans by."""

from __future__ import annotations

import math

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An instance. Shards are placed by its name, so a restart under the same name keeps them: the
    new incarnation finds itself ``desired`` and claims them."""

    instance: str
    incarnation: str
    weight: float = 1.0
    """Its share relative to the others; above 0. To give an instance nothing, drain it."""
    draining: bool = False
    """Serves what it has, is given nothing and loses what it has, shard by shard."""
    alive: bool = True
    evicted: bool = False
    """An operator declared it dead: it is not asked, its shards are taken over."""

    cut_off: bool = False
    """It cannot reach the journal, though the leader can: as evicted, until it can again."""

    def __post_init__(self) -> None:
        if not self.instance:
            raise ValueError("an instance needs a name")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"{self.instance}: a weight is above 0, not {self.weight}")

    @property
    def usable(self) -> bool:
        """May be given shards."""
        return self.serves and not self.draining

    @property
    def serves(self) -> bool:
        """Answers for what it has."""
        return self.alive and not (self.evicted or self.cut_off)

    @property
    def state(self) -> str:
        """One word for people."""
        if self.evicted:
            return "evicted"
        if not self.alive:
            return "dead"
        if self.cut_off:
            return "cut_off"
        return "draining" if self.draining else "serving"


class ShardState(msgspec.Struct, frozen=True, kw_only=True):
    """A shard as the stored table and its owner's heartbeat have it."""

    shard: int
    epoch: int = 0
    owner: str = ""
    """The instance that claimed it last; empty before the first claim."""
    desired: str = ""
    """The instance that should claim it; other than the owner while a move is under way."""
    pinned_to: str | None = None
    frozen: str = ""
    """Why it must stay where it is; empty if it need not."""
    rate: float = 0.0
    """Commands a second, smoothed over a minute or so where it is measured; 0 if not known."""
    entities: int = 0

    def __post_init__(self) -> None:
        if not (self.rate >= 0 and math.isfinite(self.rate)):
            raise ValueError(f"shard {self.shard}: a rate is 0 or more, not {self.rate}")


class Pause(msgspec.Struct, frozen=True):
    """How long callers of a shard were held back by one of its hand-overs."""

    shard: int
    pause_ms: float


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is worth a move, and how many at once."""

    count_slack: float = 0.10
    """An instance may have this part more or less than its fair share of shards, but always the
    share rounded to whole shards, before anything moves for it. A move costs a pause, and up to
    here the difference is smaller than that between two shards. An operator who asks for a
    rebalance wants it even: :meth:`exact`."""

    rate_slack: float = 0.25
    """The same for commands a second, upwards only. Wider, because rates vary by themselves. What
    is above is brought down to half of it, so that it does not come back at once."""

    rate_min: float = 50.0
    """Commands a second and instance below which rates are noise: half a percent of a core at
    100 us each."""

    gain_min: float = 0.005
    """A step of balancing by rate takes at least this part of an instance's mean off the higher of
    the two, or is not worth its pause. An average shard is 6 % of that with 16 instances and 0.8 %
    with two. Above 0, so that balancing comes to an end."""

    moves_max: int = 8
    """Hand-overs at once in the cluster, so that what goes wrong goes wrong for few."""

    moves_per_instance_max: int = 2
    """Hand-overs at once from one instance, and to one. A target warms a shard with load queries,
    of which its recovery budget allows two at a time (``Limits.loaders``); a third would only make
    the first two slower, and so the pause of each longer."""

    takeovers_max: int = 256
    """Shards at once that nobody serves. Each of them answers 503 until it is claimed, there is no
    source to spare, any number is claimed in one statement, and what the new owners read
    afterwards is bounded by their recovery budget. So by default all of them."""

    pause_guess_ms: float = 100.0
    """What is expected of a hand-over before any was measured; the limit for callers is 250."""

    def __post_init__(self) -> None:
        if not (0 <= self.count_slack < 1 and self.rate_slack >= 0 and self.gain_min > 0):
            raise ValueError("0 <= count_slack < 1, rate_slack >= 0 and gain_min > 0")
        if min(self.moves_max, self.moves_per_instance_max, self.takeovers_max) < 1:
            raise ValueError("with a limit below 1 nothing would ever move")

    def exact(self) -> Rules:
        """The same without slack for counts: as even as whole shards allow."""
        return msgspec.structs.replace(self, count_slack=0.0)
