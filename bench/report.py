"""What a run found, as a table for people and as JSON for scripts."""

import json
import os
import platform
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from bench.record import Latencies, Side, latencies


class StepReport(msgspec.Struct, frozen=True):
    """One request of a unit."""

    latency: Latencies
    statuses: dict[int, int]


class SideReport(msgspec.Struct, frozen=True):
    """One target. CPU times are microseconds for each request, 0 where not known."""

    units: int
    units_per_s: float
    requests_per_s: float
    latency: Latencies
    """Of whole units; in an open loop from the moment they were meant to begin."""
    slices_per_s: list[float]
    steps: dict[str, StepReport]
    failures: dict[str, int]
    send_lag: Latencies
    """Open loop: how late the generator itself was."""
    server_cpu_us: float
    database_cpu_us: float
    generator_cpu_us: float


class Report(msgspec.Struct, frozen=True):
    """One workload against the service and, if it was, the bare route."""

    workload: str
    title: str
    unit: str
    connections: int
    keys: bool
    """Whether each POST carried an ``Idempotency-Key``."""
    rate: float
    """Units a second of an open loop; 0 for a closed loop."""
    machine: str
    service: SideReport
    bare: SideReport | None
    ratio: float
    """The service's rate over the bare route's; 0 without one."""
    slice_ratios: list[float]
    problems: list[str]
    """What the workload's own check or the audit found wrong."""


def machine() -> str:
    """What this was measured on."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )


def side_report(side: Side) -> SideReport:
    """What is told of a side."""
    units = len(side.units)
    seconds = side.seconds or 1.0
    answered = side.answered or 1
    return SideReport(
        units=units,
        units_per_s=units / seconds,
        requests_per_s=side.requests / seconds,
        latency=latencies(side.units),
        slices_per_s=list(side.rates),
        steps={
            name: StepReport(latencies(step.durations), dict(step.statuses))
            for name, step in side.steps.items()
        },
        failures=dict(side.failures),
        send_lag=latencies(side.send_lags),
        server_cpu_us=side.server_cpu_s / answered * 1e6,
        database_cpu_us=side.database_cpu_s / answered * 1e6,
        generator_cpu_us=side.generator_cpu_s / answered * 1e6,
    )


def slice_ratios(service: Side, bare: Side | None) -> list[float]:
    """The ratio of each slice to the bare slice beside it."""
    if bare is None:
        return []
    return [a / b for a, b in zip(service.rates, bare.rates, strict=True) if b > 0]


class Judged(Protocol):
    """A finding that makes claims."""

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""


def told(template: str, **figures: object) -> str:
    """What was found, in the words of one of the templates in ``pages/``."""
    return _TEMPLATES.get_template(template).render(figures).rstrip("\n")


def conclude(found: Judged, template: str, *, as_json: bool) -> int:
    """Print what was found, for scripts or for people. 0: every claim holds; 1: one does not."""
    print(json.dumps(msgspec.to_builtins(found), indent=1) if as_json else told(template, it=found))
    return 0 if all(holds for _, holds in found.verdicts()) else 1


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=select_autoescape(["html", "svg"]),
)
_TEMPLATES.filters |= {"number": _number, "median": median}
