"""All queues, one after the other, and what is told of them."""

import asyncio
from collections.abc import Sequence

import msgspec
import uvloop

from bench.methods.components import Components
from bench.methods.queues.edge import QUEUES
from bench.methods.queues.measure import OUTSIDE, Death, Load, Plan, die, load
from bench.methods.queues.sites import OURS, site
from bench.methods.run import Progress

COMPONENTS = ("mariadb", "redis", "nats", "kafka")
"""Those that the queues need. Ours starts its own."""
STEPS = {("mariadb", "taken out"), ("redis-steps", "let in"), ("log-consumer", "let in")}
"""Where a promotion of several effects has had one and not the other: people are lost or come in
twice, as happens nowhere else."""
ADMIT_PER_S = 50.0
"""Under load."""
ADMIT_PER_S_AROUND_DEATH = 100.0


class QueueReport(msgspec.Struct, frozen=True):
    """One queue."""

    name: str
    title: str
    durability: str
    loads: list[Load]
    deaths: list[Death]
    problems: list[str]
    """A number given twice, what our audit found, and deaths that did what they should not, or did
    not do what is said of them."""


def compare(
    components: Components, plan: Plan, progress: Progress, names: Sequence[str] = ()
) -> list[QueueReport]:
    """Measure all queues that can be had, or the named ones."""
    wanted = names or (*QUEUES, OURS)
    there = [name for name in wanted if name == OURS or QUEUES[name].component in components]
    found = []
    for name in there:
        with progress.of(f"queue: {name}"):
            found.append(_queue(name, components, plan))
    return found


def _queue(name: str, components: Components, plan: Plan) -> QueueReport:
    loads: list[Load] = []
    problems: list[str] = []
    if name == OURS or QUEUES[name].loaded:
        with site(name, components, ADMIT_PER_S) as loaded:
            loaded.promote()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                loads, problems = runner.run(load(loaded, plan))
            problems += loaded.problems()
    with site(name, components, ADMIT_PER_S_AROUND_DEATH) as mortal:
        deaths = [
            asyncio.run(die(mortal, point, plan.people)) for point in (*mortal.points, OUTSIDE)
        ]
        problems += mortal.problems()
    problems += [str(each) for each in deaths if wrong(name, each)]
    return QueueReport(name, mortal.title, mortal.durability, loads, deaths, problems)


def wrong(name: str, death: Death) -> bool:
    """Whether a death harmed people where it must not, or nobody where it must. From outside it
    hits a promotion in steps anywhere, and those whom that had taken come in later than others."""
    steps = [point for each, point in STEPS if each == name]
    harmed = bool(death.lost or death.doubled or (death.out_of_order and not steps))
    return harmed != (death.point in steps) and not (steps and death.point == OUTSIDE)
