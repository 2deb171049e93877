"""What operators read: plain tables, each row a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.cluster.operations import ClusterView, Handover, InstanceView, Rebalance, ShardView
from booking.api import QueueReport
from booking.audit.report import AuditReport, render

GROUPED_ABOVE = 20
"""Moves shown one by one; of more, how many go from where to where says more."""
DETAIL_LENGTH_MAX = 100
"""Characters of a trail line's details, so that a line stays one."""


class PlanView(msgspec.Struct, rename="camel"):
    """As much of a plan as is shown."""

    plan_id: str
    moves: list[dict[str, Any]]
    held: list[dict[str, Any]]
    load_before: dict[str, Any]
    load_after: dict[str, Any]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns as wide as they need; numbers to the right. A column of nothing but empty cells is
    left out."""
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        return []
    kept = [i for i in range(len(head)) if any(row[i] for row in cells)]
    widths = {i: max(len(head[i]), *(len(row[i]) for row in cells)) for i in kept}
    right = {i for i in kept if all(_is_number(row[i]) for row in cells)}

    def line(values: Sequence[str]) -> str:
        parts = (
            values[i].rjust(widths[i]) if i in right else values[i].ljust(widths[i]) for i in kept
        )
        return "  ".join(parts).rstrip()

    return [line(list(head)), *(line(row) for row in cells)]


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


def cluster(view: ClusterView, now_ms: int, *, all_shards: bool) -> list[str]:
    lines = [headline(view), "", *instances(view.instances, now_ms)]
    if view.rebalance is not None:
        lines += ["", progress(view.rebalance)]
    noted = view.shards if all_shards else [s for s in view.shards if _is_noteworthy(s)]
    if noted:
        lines += ["", *shards(noted)]
    if view.handovers:
        lines += ["", *handovers(view.handovers[:10])]
    return lines


def headline(view: ClusterView) -> str:
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


def instances(views: Sequence[InstanceView], now_ms: int) -> list[str]:
    head = (
        "instance", "state", "shards", "rate/s", "entities", "loop lag ms", "last commit", "heard",
        "up", "address",
    )  # fmt: skip
    return table(
        head,
        (
            (
                each.instance,
                each.state,
                each.shards,
                each.rate,
                each.entities,
                each.loop_lag_ms,
                age(each.commit_age_ms),
                f"{age(each.heard_ms_ago)} ago",
                age(now_ms - each.since_ms),
                each.url,
            )
            for each in views
        ),
    )


def shards(views: Iterable[ShardView]) -> list[str]:
    return table(
        ("shard", "owner", "to", "epoch", "rate/s", "entities", "pinned to", "frozen"),
        (
            (
                each.shard,
                each.owner or "nobody",
                each.desired if _is_moving(each) else "",
                each.epoch,
                each.rate,
                each.entities,
                each.pinned_to or "",
                each.frozen,
            )
            for each in views
        ),
    )


def handovers(views: Iterable[Handover]) -> list[str]:
    return table(
        ("handed over at", "shard", "from", "to", "pause ms"),
        ((clock(h.at_ms), h.shard, h.from_ or "nobody", h.to, h.pause_ms) for h in views),
    )


def _is_moving(shard: ShardView) -> bool:
    return shard.desired not in ("", shard.owner)


def _is_noteworthy(shard: ShardView) -> bool:
    return bool(_is_moving(shard) or shard.pinned_to or shard.frozen or not shard.owner)


# -- plans -----------------------------------------------------------------------------------------


def plan(view: PlanView, *, all_moves: bool) -> list[str]:
    if not view.moves and not view.held:
        return ["Nothing to move: the shards are even."]
    lines = []
    if all_moves or len(view.moves) <= GROUPED_ABOVE:
        rows = (
            (m["shard"], m["from"] or "nobody", m["to"], m["reason"], m["expectedPauseMs"])
            for m in view.moves
        )
        lines += table(("shard", "from", "to", "why", "pause ms"), rows)
    else:
        lines += _grouped(view.moves)
    lines += ["", *_loads(view)]
    if view.held:
        waiting = ((h["shard"], h["on"], h["why"]) for h in view.held)
        lines += ["", "Not moved:", *table(("shard", "on", "why"), waiting)]
    if view.moves:
        lines += ["", f"{len(view.moves)} moves. Nothing was done yet; to do exactly this:"]
        lines.append(f"  booking admin apply {view.plan_id}")
    return lines


def _grouped(moves: Sequence[dict[str, Any]]) -> list[str]:
    ways = Counter((m["from"] or "nobody", m["to"], m["reason"]) for m in moves)
    longest = {
        way: max(
            m["expectedPauseMs"]
            for m in moves
            if (m["from"] or "nobody", m["to"], m["reason"]) == way
        )
        for way in ways
    }
    rows = ((*way, count, longest[way]) for way, count in sorted(ways.items()))
    return table(("from", "to", "why", "shards", "longest pause ms"), rows)


def _loads(view: PlanView) -> list[str]:
    before = {row["instance"]: row for row in view.load_before["instances"]}
    after = {row["instance"]: row for row in view.load_after["instances"]}
    rows: list[Sequence[object]] = [
        (
            name,
            before[name]["shards"],
            after[name]["shards"],
            float(before[name]["rate"]),
            float(after[name]["rate"]),
        )
        for name in sorted(before.keys() & after.keys())
    ]
    return table(("instance", "shards now", "then", "rate/s now", "then"), rows)


def progress(view: Rebalance) -> str:
    """Of a plan that is over, the counts say what is left of it: its shards may have moved on."""
    running = view.state == "running"
    made = f"{view.done} of {view.moves} moves made, {view.open} open"
    if not running:
        made = f"{view.done} of its {view.moves} shards are where it wanted them"
    lines = [
        f"plan {view.plan_id} {view.state}: {made};"
        f" begun {clock(view.begun_at_ms)} by {plain(view.begun_by)}"
    ]
    return "\n".join([*lines, *(broken(view) if running else ())])


def broken(view: Rebalance) -> list[str]:
    """Its moves that something else came in between of."""
    return [f"  cannot be made any more: {plain(why)}" for why in view.broken]


# -- queues, audits, the trail ---------------------------------------------------------------------


def queues(reports: Sequence[QueueReport]) -> list[str]:
    lines: list[str] = []
    for report in reports:
        if lines:
            lines.append("")
        limit = f"{report.max_active:,}" if report.max_active else "no limit"
        rate = (
            f"{report.admit_per_interval:,} each {report.interval_s} s"
            if report.admit_per_interval
            else "no limit"
        )
        rows = [
            ("queue", report.queue),
            ("mode", report.mode),
            ("inside", f"{report.active:,} of {limit}"),
            ("waiting", f"{report.waiting:,} (at most {report.max_waiting:,})"),
            ("let in", f"{report.admitted_last_minute:,} in the last minute; rate: {rate}"),
            ("left", f"{report.left_last_minute:,} in the last minute"),
            ("numbers", f"let in up to {report.watermark:,}; given up to {report.last_number:,}"),
            ("may stay", f"{report.active_s} s"),
        ]
        if report.opens_at is not None:
            rows.append(("opens at", report.opens_at))
        if report.seed is not None:
            rows.append(("drawn with", report.seed))
        lines += [f"{name:<12}{plain(str(value))}" for name, value in rows]
    return lines


def audit(data: dict[str, Any]) -> list[str]:
    lines = []
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


def trail(items: Sequence[dict[str, Any]]) -> list[str]:
    return table(
        ("line", "at", "who", "what", "about"),
        ((e["id"], e["at"], e["who"], e["what"], _about(e["detail"])) for e in items),
    )


def _about(detail: dict[str, Any]) -> str:
    shown = {
        name: len(value) if isinstance(value, list) else value
        for name, value in detail.items()
        if not isinstance(value, dict) and value != ""
    }
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= DETAIL_LENGTH_MAX else f"{text[: DETAIL_LENGTH_MAX - 1]}…"
