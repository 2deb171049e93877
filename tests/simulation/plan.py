"""What will befall whom: everything of a run that a seed decides beforehand.

A plan is plain data, so that shrinking can take faults and users out of it. Each user and each
fault has a number and draws from a source of its own that is named after it: without one of them
the others draw the same.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

import msgspec

STORY_S = 9.0
"""How long users act and faults begin."""
FAULTS_MAX = 6
USERS_MAX = 6
OFTEN = ("kill", "messages_late", "store_away", "pause")
"""Kinds that most others are met together with."""


class Fault(msgspec.Struct, frozen=True):
    """A fault. What more it needs to know it draws from ``random``."""

    number: int
    kind: str
    at_s: float
    for_s: float
    on: int
    """Which of the instances, counted around."""


class Rules(msgspec.Struct, frozen=True):
    """The settings of a run's service, as small as makes things happen within seconds."""

    shards: int
    hold_s: int
    active_s: int
    inside_max: int
    admit_per_minute: int
    entities_max: int
    snapshot_bytes_min: int
    outcomes_max: int
    batch_rows_max: int


class Plan(msgspec.Struct, frozen=True):
    """A run."""

    seed: int
    instances: int
    users: tuple[int, ...]
    rules: Rules
    faults: tuple[Fault, ...]

    def random(self, *names: object) -> Random:
        """The source of chance of this name."""
        return Random("/".join(map(str, (self.seed, *names))))


def make_plan(seed: int, kinds: Collection[str], faults_max: int = FAULTS_MAX) -> Plan:
    """The run of a seed, with faults of these kinds."""
    random = Random(seed)
    rules = Rules(
        shards=random.choice([8, 16]),
        hold_s=random.choice([2, 3, 5]),
        active_s=random.choice([4, 8, 30]),
        inside_max=random.choice([1, 3, 10]),
        admit_per_minute=random.choice([0, 0, 120]),
        entities_max=random.choice([3, 100]),
        snapshot_bytes_min=random.choice([100, 10_000]),
        outcomes_max=random.choice([2, 256]),
        batch_rows_max=random.choice([2, 1_000]),
    )
    known = sorted(kinds)
    often = [kind for kind in OFTEN if kind in kinds]
    chosen = []
    for number in range(random.randint(1, faults_max)):
        among = often if often and random.random() < 0.3 else known
        fault = Fault(
            number=number,
            kind=random.choice(among),
            at_s=round(random.uniform(0.3, STORY_S - 1), 3),
            for_s=round(random.choice([0.3, 1.0, 3.0]) * random.uniform(0.5, 2.0), 3),
            on=random.randrange(6),
        )
        chosen.append(fault)
    return Plan(
        seed=seed,
        instances=random.choice([2, 3, 3]),
        users=tuple(range(1, random.randint(3, USERS_MAX) + 1)),
        rules=rules,
        faults=tuple(sorted(chosen, key=lambda fault: fault.at_s)),
    )
