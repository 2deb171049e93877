"""All queues, one after the other, and what is told of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence

import msgspec
import uvloop

from bench.methods.components import Components
from bench.methods.plots import lines
from bench.methods.queues.edge import QUEUES
from bench.methods.queues.measure import OUTSIDE, Death, Load, Plan, die, load
from bench.methods.queues.sites import OURS, Site, site
from bench.report import machine

COMPONENTS = ("mariadb", "redis", "nats", "kafka")
"""Those that the queues need. Ours starts its own."""
ADMIT_PER_S = 50.0
"""Under load."""
ADMIT_PER_S_AROUND_DEATH = 100.0
_PARTS = ("edge", "promoter", "servers", "client")


class QueueReport(msgspec.Struct, frozen=True):
    """One queue."""

    name: str
    title: str
    durability: str
    loads: list[Load]
    deaths: list[Death]
    problems: list[str]
    """What must not be: for all, a number given twice; for ours, anything at a death as well."""


class QueuesReport(msgspec.Struct, frozen=True):
    """All queues of one run. The specification's own figures are not to be had here, so there are
    none beside."""

    machine: str
    load: str
    """The machine's load averages at the end; above its cores, others were at work too."""
    plan: Plan
    queues: list[QueueReport]
    missing: dict[str, str]
    """Queues that were not measured, and why."""


def compare(components: Components, plan: Plan, names: Sequence[str] = ()) -> QueuesReport:
    """Measure all queues, or the named ones."""
    found: list[QueueReport] = []
    missing: dict[str, str] = {}
    for name in names or (*QUEUES, OURS):
        component = QUEUES[name].component if name in QUEUES else ""
        if component in components.missing:
            missing[name] = components.missing[component]
        else:
            found.append(_queue(name, components, plan))
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return QueuesReport(machine(), load, plan, found, missing)


def _queue(name: str, components: Components, plan: Plan) -> QueueReport:
    loads: list[Load] = []
    problems: list[str] = []
    if name == OURS or QUEUES[name].loaded:
        with site(name, components, ADMIT_PER_S) as loaded:
            loaded.promote()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                loads, problems = runner.run(load(loaded, plan))
            problems += loaded.problems()
    deaths: list[Death] = []
    mortal = site(name, components, ADMIT_PER_S_AROUND_DEATH)
    if plan.people:
        with mortal:
            deaths = asyncio.run(_deaths(mortal, plan.people))
            problems += mortal.problems()
    if name == OURS:
        bad = [death for death in deaths if death.lost or death.doubled or death.out_of_order]
        problems += [f"killed {death.point}: {death}" for death in bad]
    return QueueReport(name, mortal.title, mortal.durability, loads, deaths, problems)


async def _deaths(site: Site, people: int) -> list[Death]:
    return [await die(site, point, people) for point in (*site.points, OUTSIDE)]


def plot(report: QueuesReport) -> str:
    """The latency of a pair over the rate, as SVG: each queue as far as it goes."""
    series = {
        queue.title: points
        for queue in report.queues
        if (points := [(each.rate, each.pair.p99_ms) for each in queue.loads if each.kept_up])
    }
    title = "A place and a question about it: latency over rate"
    return lines(title, "pairs a second", "ms, 99th percentile", series)


def section(report: QueuesReport) -> Iterator[str]:
    """The report's lines, in Markdown."""
    yield (
        "| queue | asked/s | reached/s | p50 ms | p95 ms | p99 ms | failed | CPU us: "
        f"{', '.join(_PARTS)} |"
    )
    yield f"| --- | {'---: | ' * 7}".rstrip()
    for queue in report.queues:
        for each in queue.loads:
            cpu = ", ".join(f"{each.cpu_us[part]:.0f}" for part in _PARTS)
            limit = "" if each.kept_up else " at most"
            told = (each.pair.p50_ms, each.pair.p95_ms, each.pair.p99_ms)
            ms = " | ".join(f"{one:.1f}" if each.pair.count else "-" for one in told)
            yield (
                f"| {queue.title} | {each.rate:,.0f} | {each.reached:,.0f}{limit} | {ms} |"
                f" {sum(each.failed.values()):,} | {cpu} |"
            )
    yield ""
    yield "| queue | promoter killed | people | lost | doubled | out of order |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for queue in report.queues:
        for death in queue.deaths:
            counts = (death.people, death.lost, death.doubled, death.out_of_order)
            yield f"| {queue.title} | {death.point} | {' | '.join(map(str, counts))} |"
    yield ""
    yield f"- {report.machine}; load average at the end: {report.load}"
    yield from (f"- {queue.title}: {queue.durability}" for queue in report.queues)
    yield from (f"- not measured: {name}: {why}" for name, why in report.missing.items())
    yield from (f"- WRONG: {q.title}: {problem}" for q in report.queues for problem in q.problems)
