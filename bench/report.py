"""What a run found, as a table for people and as JSON for scripts."""

import os
import platform
from statistics import median

import msgspec

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


def table(report: Report) -> str:
    """The report for people."""
    keys = "a key with each POST" if report.keys else "no keys"
    kind = f"open loop, {report.rate:g}/s" if report.rate else "closed loop"
    lines = [
        f"{report.workload}: {report.title}",
        f"{kind}, {report.connections} connections, {keys}; {report.machine}",
        "",
        f"{'':16}{report.unit + 's/s':>13}{'requests/s':>12}"
        f"{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}{'failed':>8}",
    ]
    for name, side in _sides(report):
        failed = sum(side.failures.values())
        lines.append(
            f"{name:16}{side.units_per_s:13,.0f}{side.requests_per_s:12,.0f}"
            f"{_columns(side.latency)}{failed:8,}"
        )
        if len(side.steps) > 1:
            for step, found in side.steps.items():
                lines.append(f"  {step:14}{'':25}{_columns(found.latency)}")
    if report.ratio and not report.rate:
        low, high = min(report.slice_ratios), max(report.slice_ratios)
        lines += [
            "",
            f"ratio {report.ratio:.2f} of the bare route "
            f"(slices {low:.2f} to {high:.2f}, median {median(report.slice_ratios):.2f})",
        ]
    lines += _notes(report)
    return "\n".join(lines)


def _sides(report: Report) -> list[tuple[str, SideReport]]:
    sides = [("service", report.service)]
    return sides if report.bare is None else [*sides, ("bare route", report.bare)]


def _columns(found: Latencies) -> str:
    values = (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms)
    return "".join(f"{value:9.2f}" for value in values)


def _notes(report: Report) -> list[str]:
    lines = []
    for name, side in _sides(report):
        if side.server_cpu_us:
            database = f"PostgreSQL {side.database_cpu_us:.1f} us, " if side.database_cpu_us else ""
            lines.append(
                f"CPU a request, {name}: server {side.server_cpu_us:.1f} us, "
                f"{database}generator {side.generator_cpu_us:.1f} us"
            )
        if side.send_lag.count:
            lag = side.send_lag
            lines.append(
                f"sent late by the generator, {name}: p50 {lag.p50_ms:.2f} ms, "
                f"p99 {lag.p99_ms:.2f} ms (part of the latencies)"
            )
        statuses = {step: found.statuses for step, found in side.steps.items()}
        lines.append(f"statuses, {name}: " + "; ".join(_spell(*item) for item in statuses.items()))
        if side.failures:
            lines.append(f"failures, {name}: {side.failures}")
    lines += [f"WRONG: {problem}" for problem in report.problems]
    return lines


def _spell(step: str, statuses: dict[int, int]) -> str:
    return f"{step} " + " ".join(f"{status}: {n:,}" for status, n in sorted(statuses.items()))


def verdict_lines(verdicts: list[tuple[str, bool]]) -> list[str]:
    """Claims in words, each with whether it holds."""
    return [f"{'pass' if holds else 'FAIL'}  {claim}" for claim, holds in verdicts]
