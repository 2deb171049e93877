"""What operators read: plain tables, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table

from actors.cluster.admin_views import ClusterView, Handover, InstanceView, Rebalance, ShardView
from booking.audit.report import AuditReport, render
from booking.queue.admin import QueueReport

GROUPED_ABOVE = 20
"""Moves shown one by one; of more, how many go from where to where says more."""
DETAIL_LENGTH_MAX = 100
"""Characters of a trail line's details, so that a line stays one."""
LAST_COLUMN_MIN = 12
"""Characters: an address of four lines can still be read."""
PIPE_COLUMNS = 4_000
"""Wider than any row: programs read whole lines."""

T = TypeVar("T")
Drawn: TypeAlias = list[RenderableType]
"""What is shown, from top to bottom."""


class _Terminal(Console):
    """A console that leaves a reader who has gone to :mod:`~booking.cli.admin.grammar`."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def terminal() -> Console:
    """Where answers are shown; a file or a pipe gets whole lines without colours."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return _Terminal(width=width, markup=False, highlight=False, emoji=False)


def table(columns: Mapping[str, Callable[[T], object]], items: Iterable[T]) -> Drawn:
    """A row for each item, with numbers to the right; nothing if there is none. A column of nothing
    but empty cells is left out. On a narrow terminal cells go over several lines, word by word, and
    those of the last column wherever it has to be."""
    cells = [[_cell(value(item)) for value in columns.values()] for item in items]
    if not cells:
        return []
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    kept = [column for column in zip(columns, *cells, strict=True) if any(column[1:])]
    for column in kept:
        name, *values = column
        side: Literal["left", "right"] = "right" if all(map(_is_number, values)) else "left"
        longest = max(len(word) for text in column for word in text.split())
        width = min(longest, LAST_COLUMN_MIN) if column is kept[-1] else longest
        drawn.add_column(name, justify=side, overflow="fold", min_width=width)
    for row in zip(*(values for _, *values in kept), strict=True):
        drawn.add_row(*row)
    return [drawn]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, int):
        return f"{value:,}"
    return plain(str(value))


def plain(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _is_number(cell: str) -> bool:
    return cell == "-" or cell.replace(",", "").replace(".", "").replace("%", "").isdigit()


def age(ms: int | None) -> str:
    """A time span as people say it."""
    if ms is None:
        return "-"
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")):
        if ms >= unit_ms:
            return f"{ms // unit_ms} {unit}"
    return f"{max(ms, 0)} ms"


def clock(ms: int) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# -- the cluster -----------------------------------------------------------------------------------


def cluster(view: ClusterView, now_ms: int, *, all_shards: bool) -> Drawn:
    """Instances, the plan under way, shards that are noteworthy (or all), and the last moves."""
    drawn = [headline(view), "", *instances(view.instances, now_ms)]
    if view.rebalance is not None:
        drawn += ["", progress(view.rebalance)]
    noted = view.shards if all_shards else [s for s in view.shards if _is_noteworthy(s)]
    if noted:
        drawn += ["", *table(_SHARD, noted)]
    if view.handovers:
        drawn += ["", *table(HANDOVER, view.handovers[:10])]
    return drawn


def headline(view: ClusterView) -> str:
    """The cluster in one line."""
    leader = f"leader {plain(view.leader)}" if view.leader else "no leader"
    moving = sum(1 for s in view.shards if _is_moving(s))
    unowned = sum(1 for s in view.shards if not s.owner)
    parts = [
        f"{leader}, term {view.term}",
        f"{len(view.instances)} instances",
        f"{len(view.shards)} shards",
    ]
    if moving:
        parts.append(f"{moving} moving")
    if unowned:
        parts.append(f"{unowned} without an owner")
    parts.append(f"as of {age(view.age_ms)} ago, told by {plain(view.answered_by)}")
    return "; ".join(parts)


def instances(views: Iterable[InstanceView], now_ms: int) -> Drawn:
    """A table of instances and their load."""
    columns: dict[str, Callable[[InstanceView], object]] = {
        "instance": lambda i: i.instance,
        "state": lambda i: i.state,
        "shards": lambda i: i.shards,
        "rate/s": lambda i: i.rate,
        "entities": lambda i: i.entities,
        "loop lag ms": lambda i: i.loop_lag_ms,
        "last commit": lambda i: age(i.commit_age_ms),
        "heard": lambda i: f"{age(i.heard_ms_ago)} ago",
        "up": lambda i: age(now_ms - i.since_ms),
        "address": lambda i: i.url,
    }
    return table(columns, views)


def _is_moving(shard: ShardView) -> bool:
    return shard.desired not in ("", shard.owner)


def _is_noteworthy(shard: ShardView) -> bool:
    return bool(_is_moving(shard) or shard.pinned_to or shard.frozen or not shard.owner)


_SHARD: dict[str, Callable[[ShardView], object]] = {
    "shard": lambda s: s.shard,
    "owner": lambda s: s.owner or "nobody",
    "to": lambda s: s.desired if _is_moving(s) else "",
    "epoch": lambda s: s.epoch,
    "rate/s": lambda s: s.rate,
    "entities": lambda s: s.entities,
    "pinned to": lambda s: s.pinned_to or "",
    "frozen": lambda s: s.frozen,
}
HANDOVER: dict[str, Callable[[Handover], object]] = {
    "handed over at": lambda h: clock(h.at_ms),
    "shard": lambda h: h.shard,
    "from": lambda h: h.from_ or "nobody",
    "to": lambda h: h.to,
    "pause ms": lambda h: h.pause_ms,
}


# -- plans -----------------------------------------------------------------------------------------


class PlanView(msgspec.Struct, rename="camel"):
    """As much of a plan as is shown."""

    plan_id: str
    moves: list[dict[str, Any]]
    held: list[dict[str, Any]]
    load_before: dict[str, Any]
    load_after: dict[str, Any]


def plan(view: PlanView, *, all_moves: bool) -> Drawn:
    """What a plan would move, what it cannot move, and the loads before and after."""
    if not view.moves and not view.held:
        return ["Nothing to move: the shards are even."]
    grouped = len(view.moves) > GROUPED_ABOVE and not all_moves
    drawn = [*(_grouped(view.moves) if grouped else table(_MOVE, view.moves)), "", *_loads(view)]
    if view.held:
        drawn += ["", "Not moved:", *table(_named("shard", "on", "why"), view.held)]
    if view.moves:
        drawn += ["", f"{len(view.moves)} moves. Nothing was done yet; to do exactly this:"]
        drawn.append(f"  booking admin apply {view.plan_id}")
    return drawn


def _named(*fields: str) -> dict[str, Callable[[dict[str, Any]], object]]:
    return {field: itemgetter(field) for field in fields}


_MOVE = _named("shard", "from", "to") | {
    "from": lambda m: m["from"] or "nobody",
    "why": itemgetter("reason"),
    "pause ms": itemgetter("expectedPauseMs"),
}


def _grouped(moves: Iterable[dict[str, Any]]) -> Drawn:
    pauses: dict[tuple[str, str, str], list[float]] = {}
    for move in moves:
        way = (move["from"] or "nobody", move["to"], move["reason"])
        pauses.setdefault(way, []).append(move["expectedPauseMs"])
    columns: dict[str, Callable[[tuple[tuple[str, str, str], list[float]]], object]] = {
        "from": lambda row: row[0][0],
        "to": lambda row: row[0][1],
        "why": lambda row: row[0][2],
        "shards": lambda row: len(row[1]),
        "longest pause ms": lambda row: max(row[1]),
    }
    return table(columns, sorted(pauses.items()))


def _loads(view: PlanView) -> Drawn:
    before = {row["instance"]: row for row in view.load_before["instances"]}
    after = {row["instance"]: row for row in view.load_after["instances"]}
    columns: dict[str, Callable[[str], object]] = {
        "instance": lambda name: name,
        "shards now": lambda name: before[name]["shards"],
        "shards then": lambda name: after[name]["shards"],
        "rate/s now": lambda name: float(before[name]["rate"]),
        "rate/s then": lambda name: float(after[name]["rate"]),
    }
    return table(columns, sorted(before.keys() & after.keys()))


def progress(view: Rebalance) -> str:
    """How far a plan is. Of one that is over, the counts say what is left of it: its shards may
    have moved on since."""
    running = view.state == "running"
    made = f"{view.done} of {view.moves} moves made, {view.open} open"
    if not running:
        made = f"{view.done} of its {view.moves} shards are where it wanted them"
    begun = f"begun {clock(view.begun_at_ms)} by {plain(view.begun_by)}"
    lines = [f"plan {view.plan_id} {view.state}: {made}; {begun}"]
    return "\n".join([*lines, *(broken(view) if running else ())])


def broken(view: Rebalance) -> list[str]:
    """A line for each move that something else came in between of."""
    return [f"  cannot be made any more: {plain(why)}" for why in view.broken]


# -- queues, audits, the trail ---------------------------------------------------------------------


def queues(reports: Iterable[QueueReport]) -> Drawn:
    """The rules of each queue and how it is doing, a fact a line."""
    drawn: Drawn = []
    for report in reports:
        facts = Table.grid(padding=(0, 2, 0, 0))
        for name, value in _facts(report):
            facts.add_row(name.ljust(10), plain(value))
        drawn += [*([""] if drawn else []), facts]
    return drawn


def _facts(report: QueueReport) -> Iterator[tuple[str, str]]:
    limit = f"{report.max_active:,}" if report.max_active else "no limit"
    rate = f"{report.admit_per_interval:,} each {report.interval_s} s"
    if not report.admit_per_interval:
        rate = "no limit"
    yield "queue", report.queue
    yield "mode", report.mode
    yield "inside", f"{report.active:,} of {limit}"
    yield "waiting", f"{report.waiting:,} (at most {report.max_waiting:,})"
    yield "let in", f"{report.admitted_last_minute:,} in the last minute; rate: {rate}"
    yield "left", f"{report.left_last_minute:,} in the last minute"
    yield "numbers", f"let in up to {report.watermark:,}; given up to {report.last_number:,}"
    yield "may stay", f"{report.active_s} s"
    if report.opens_at is not None:
        yield "opens at", report.opens_at
    if report.seed is not None:
        yield "drawn with", report.seed


def crowds(reports: Iterable[QueueReport]) -> Drawn:
    """A table of queues, a line each."""
    columns: dict[str, Callable[[QueueReport], object]] = {
        "queue": lambda q: q.queue,
        "mode": lambda q: q.mode,
        "waiting": lambda q: q.waiting,
        "inside": lambda q: q.active,
        "limit": lambda q: q.max_active or None,
        "let in/min": lambda q: q.admitted_last_minute,
        "left/min": lambda q: q.left_last_minute,
    }
    return table(columns, reports)


def audit(data: dict[str, Any]) -> Drawn:
    """The verdict of the last audit, and whether one is running."""
    lines: Drawn = []
    if data["runningSince"] is not None:
        lines.append(f"An audit is running since {data['runningSince']}.")
    if data["verdict"] == "none":
        return [*lines, "No audit has ended yet."]
    lines.append(f"The last one ended {data['endedAt']}, asked for by {plain(data['askedBy'])}:")
    if data["report"] is None:
        lines.append(f"the journal could not be audited: {plain(data['problem'] or '')}")
    else:
        lines.append(render(msgspec.convert(data["report"], AuditReport)))
    return lines


def trail(items: Iterable[dict[str, Any]]) -> Drawn:
    """A table of changes by operators."""
    return table({"line": itemgetter("id"), **_named("at", "who", "what"), "about": _about}, items)


def _about(entry: dict[str, Any]) -> str:
    shown = {
        name: len(value) if isinstance(value, list) else value
        for name, value in entry["detail"].items()
        if not isinstance(value, dict) and value != ""
    }
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= DETAIL_LENGTH_MAX else f"{text[: DETAIL_LENGTH_MAX - 1]}…"
