"""What operators read: plain tables, drawn by rich."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table

from actors.cluster.admin_views import (
    ClusterView,
    Handover,
    InstanceView,
    LossView,
    Rebalance,
    ShardView,
)
from actors.consumers.operations import ConsumerView
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


def table(head: str, rows: Iterable[Sequence[object]]) -> Drawn:
    """A table with numbers to the right, or nothing if there is no row. ``head`` names the columns,
    with ``|`` between them; empty ones are left out. Cells wrap on a narrow terminal."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return []
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    kept = [column for column in zip(head.split("|"), *cells, strict=True) if any(column[1:])]
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
        drawn += ["", *_shards(noted)]
    if view.handovers:
        drawn += ["", *handovers(view.handovers[:10])]
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
    rows = []
    for each in views:
        load = (each.shards, each.rate, each.entities, each.loop_lag_ms, age(each.commit_age_ms))
        seen = (f"{age(each.heard_ms_ago)} ago", age(now_ms - each.since_ms))
        rows.append((each.instance, each.state, *load, *seen, each.url))
    return table(
        "instance|state|shards|rate/s|entities|loop lag ms|last commit|heard|up|address", rows
    )


def handovers(views: Iterable[Handover]) -> Drawn:
    """A table of shards that were moved."""
    rows = ((clock(h.at_ms), h.shard, h.from_ or "nobody", h.to, h.pause_ms) for h in views)
    return table("handed over at|shard|from|to|pause ms", rows)


def _shards(views: Iterable[ShardView]) -> Drawn:
    rows = []
    for each in views:
        to = each.desired if _is_moving(each) else ""
        load = (each.epoch, each.rate, each.entities)
        rows.append(
            (each.shard, each.owner or "nobody", to, *load, each.pinned_to or "", each.frozen)
        )
    return table("shard|owner|to|epoch|rate/s|entities|pinned to|frozen", rows)


def _is_moving(shard: ShardView) -> bool:
    return shard.desired not in ("", shard.owner)


def _is_noteworthy(shard: ShardView) -> bool:
    return bool(_is_moving(shard) or shard.pinned_to or shard.frozen or not shard.owner)


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
    drawn = [*(_grouped(view.moves) if grouped else _moves(view.moves)), "", *_loads(view)]
    if view.held:
        held = ((h["shard"], h["on"], h["why"]) for h in view.held)
        drawn += ["", "Not moved:", *table("shard|on|why", held)]
    if view.moves:
        drawn += ["", f"{len(view.moves)} moves. Nothing was done yet; to do exactly this:"]
        drawn.append(f"  booking admin apply {view.plan_id}")
    return drawn


def _moves(moves: Iterable[dict[str, Any]]) -> Drawn:
    rows = ((m["shard"], *_way(m), m["expectedPauseMs"]) for m in moves)
    return table("shard|from|to|why|pause ms", rows)


def _grouped(moves: Iterable[dict[str, Any]]) -> Drawn:
    pauses: dict[tuple[str, str, str], list[float]] = {}
    for move in moves:
        pauses.setdefault(_way(move), []).append(move["expectedPauseMs"])
    rows = ((*way, len(each), max(each)) for way, each in sorted(pauses.items()))
    return table("from|to|why|shards|longest pause ms", rows)


def _way(move: dict[str, Any]) -> tuple[str, str, str]:
    return move["from"] or "nobody", move["to"], move["reason"]


def _loads(view: PlanView) -> Drawn:
    before = {row["instance"]: row for row in view.load_before["instances"]}
    after = {row["instance"]: row for row in view.load_after["instances"]}
    rows = []
    for name in sorted(before.keys() & after.keys()):
        now, then = before[name], after[name]
        rates = float(now["rate"]), float(then["rate"])
        rows.append((name, now["shards"], then["shards"], *rates))
    return table("instance|shards now|then|rate/s now|then", rows)


def progress(view: Rebalance) -> str:
    """How far a plan is; of one that is over, what is left of it now."""
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


class LossPage(msgspec.Struct):
    """What the journal has lost."""

    items: list[LossView]


class ConsumerList(msgspec.Struct):
    """All consumers."""

    items: list[ConsumerView]


def consumers(items: Sequence[ConsumerView]) -> Drawn:
    """How each consumer is doing, and below where one stopped and what was left out."""
    drawn = table("consumer|state|behind", ((one.name, one.state, one.behind) for one in items))
    for one in items:
        drawn += [
            f"{plain(one.name)} stopped in shard {at.shard} after seq {at.seq}: {plain(at.trouble)}"
            for at in one.stopped
        ]
        drawn += [
            f"{plain(one.name)} left out seq {skip.seq} of shard {skip.shard}, by"
            f" {plain(skip.who)}: {plain(skip.reason)}"
            for skip in one.skipped
        ]
    return drawn


def losses(items: Iterable[LossView]) -> Drawn:
    """What was lost of each shard, and whether somebody has accepted that."""
    rows = (
        (
            str(loss.shard),
            f"{loss.first_seq} to {loss.last_seq}",
            clock(loss.noticed_at_ms),
            loss.noticed_by,
            "waits" if loss.accepted_at_ms is None else f"accepted by {loss.accepted_by}",
            " ".join(loss.entities) or "-",
        )
        for loss in items
    )
    return table("shard|seqs|noticed|by|state|entities", rows)


# -- queues, audits, the trail ---------------------------------------------------------------------


class QueueList(msgspec.Struct):
    """All queues."""

    items: list[QueueReport]


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
    rows = []
    for each in reports:
        inside = (each.active, each.max_active or None)
        minute = (each.admitted_last_minute, each.left_last_minute)
        rows.append((each.queue, each.mode, each.waiting, *inside, *minute))
    return table("queue|mode|waiting|inside|limit|let in/min|left/min", rows)


class AuditView(msgspec.Struct, rename="camel"):
    """As much of the last audit as is shown."""

    verdict: str
    ended_at: str | None
    asked_by: str | None
    problem: str | None
    running_since: str | None
    report: AuditReport | None


def audit(view: AuditView) -> Drawn:
    """The verdict of the last audit, and whether one is running."""
    lines: Drawn = []
    if view.running_since is not None:
        lines.append(f"An audit is running since {view.running_since}.")
    if view.verdict == "none":
        return [*lines, "No audit has ended yet."]
    lines.append(f"The last one ended {view.ended_at}, asked for by {plain(view.asked_by or '')}:")
    if view.report is None:
        return [*lines, f"the journal could not be audited: {plain(view.problem or '')}"]
    return [*lines, render(view.report)]


def trail(items: Iterable[dict[str, Any]]) -> Drawn:
    """A table of changes by operators."""
    rows = ((e["id"], e["at"], e["who"], e["what"], _about(e["detail"])) for e in items)
    return table("line|at|who|what|about", rows)


def _about(detail: dict[str, Any]) -> str:
    shown = {
        name: len(value) if isinstance(value, list) else value
        for name, value in detail.items()
        if not isinstance(value, dict) and value != ""
    }
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= DETAIL_LENGTH_MAX else f"{text[: DETAIL_LENGTH_MAX - 1]}…"
