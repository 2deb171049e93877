"""The page ``docs/explanation/queries.md``, made from a run. Its words are in ``queries.txt``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template

from bench.rig import ROOT
from bench.tenmillion.cases import CASES, NOTHING
from bench.tenmillion.data import DUE_EVERY, PENDING_EVERY
from bench.tenmillion.measure import Finding

AIM_MS = 1.0
"""What each case's p99 stays below, warm."""
PAGE = ROOT / "docs" / "explanation" / "queries.md"
_TITLES = {case.key: case.title for case in CASES}


def verdicts(found: Finding) -> list[tuple[str, bool]]:
    """Each claim in words, and whether it holds."""
    return [
        (
            f"{case.title}: p99 {found.after[case.key].warm.quiet.p99_ms:.2f} ms, below {AIM_MS:g}",
            found.after[case.key].warm.quiet.p99_ms < AIM_MS,
        )
        for case in CASES
    ]


def write(found: Finding, page: Path) -> None:
    """Write the page."""
    pending = found.rows["seat_reservation"] // PENDING_EVERY
    figures = {
        "machine": found.machine,
        "commit": found.commit,
        "date": found.began,
        "server": found.server,
        "note": f"\n{found.note}\n" if found.note else "",
        "load": f"{found.load_s:.0f}",
        "sizes": ", ".join(
            f"{count:,} rows of `{table}` ({found.table_mb[table]:,.0f} MB)"
            for table, count in found.rows.items()
        ),
        "pending": f"{pending:,}",
        "due": f"{pending // DUE_EVERY:,}",
        "cases": _cases(found),
        "warm": f"{found.nothing.warm.wall.count:,}",
        "statements": "\n\n".join(_statement(found, case.key) for case in CASES),
        "indexes": _indexes(found),
        "tried": _tried(found),
        "writing": _writing(found),
        "filling": _filling(found),
        "columns": _columns(found),
        "orm": _orm(found),
        "orm_version": version("sqlalchemy"),
        "sent": _sent(found),
    }
    words = (Path(__file__).parent / "queries.txt").read_text("utf-8")
    page.write_text(Template(words).substitute(figures), "utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ms(value: float) -> str:
    if not value:
        return "-"  # no query was undisturbed
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _cases(found: Finding) -> str:
    rows = []
    for case in CASES:
        before, after = found.before[case.key], found.after[case.key]
        told = "" if case.specified_ms is None else f"{case.specified_ms:g}"
        figures = [
            *(before.cold.wall.p50_ms, before.warm.wall.p50_ms),
            *(after.cold.quiet.p50_ms, after.cold.quiet.p99_ms),
            *(after.warm.quiet.p50_ms, after.warm.quiet.p99_ms, after.warm.wall.p99_ms),
        ]
        rows.append([case.title, told, *map(_ms, figures), f"{after.warm.quiet.count:,}"])
    warm = found.nothing.warm
    way = (warm.quiet.p50_ms, warm.quiet.p99_ms, warm.wall.p99_ms)
    rows.append([NOTHING.title, *[""] * 5, *map(_ms, way), f"{warm.quiet.count:,}"])
    head = ["ms", "specified", "before, cold", "before, warm", "cold p50", "cold p99", "warm p50"]
    return _table([*head, "**warm p99**", "p99 of all", "undisturbed"], rows)


def _statement(found: Finding, key: str) -> str:
    (case,) = (case for case in CASES if case.key == key)
    return "\n".join(
        [
            f"### {case.title[0].upper()}{case.title[1:]}",
            "",
            f"```sql\n{case.sql}\n```",
            "",
            f"Without `{'`, `'.join(case.indexes)}`:",
            "",
            f"```\n{found.before[key].plan}\n```",
            "",
            "With it:" if len(case.indexes) == 1 else "With them:",
            "",
            f"```\n{found.after[key].plan}\n```",
        ]
    )


def _indexes(found: Finding) -> str:
    rows = [[f"`{each.name}`", f"{each.seconds:.1f}", f"{each.mb:,.1f}"] for each in found.indexes]
    return _table(["index", "made in s", "MB"], rows)


def _tried(found: Finding) -> str:
    made = {each.name: each for each in found.alternatives}
    rows = []
    for name, cases in found.tried.items():
        for key, asked in cases.items():
            kept = found.after[key].warm.quiet
            figures = [made[name].mb, made[name].seconds]
            tried = asked.warm.quiet
            times = [tried.p50_ms, tried.p99_ms, kept.p50_ms, kept.p99_ms]
            words = [f"`{name}`", _TITLES[key], f"{figures[0]:,.0f}", f"{figures[1]:.1f}"]
            rows.append([*words, *map(_ms, times)])
    head = ["index", "case", "MB", "made in s", "p50 ms", "p99 ms", "kept: p50 ms", "kept: p99 ms"]
    return _table(head, rows)


def _writing(found: Finding) -> str:
    rows = [
        [
            str(each.indexes),
            f"{each.inserted_per_s:,.0f}",
            f"{each.updated_per_s:,.0f}",
            f"{each.hot_share:.0%}",
            f"{each.log_bytes:,.0f}",
        ]
        for each in found.writing
    ]
    head = ["indexes besides the key", "inserted a second", "paid a second", "HOT", "bytes of log"]
    return _table(head, rows)


def _filling(found: Finding) -> str:
    rows = [
        [
            f"{each.percent} %{', and an index on the balance' if each.index else ''}",
            f"{each.hot_share:.0%}",
            f"{each.updated_per_s:,.0f}",
            f"{each.grown:.2f}",
        ]
        for each in found.filling
    ]
    return _table(["fillfactor", "HOT", "updated a second", "size after / before"], rows)


def _columns(found: Finding) -> str:
    rows = [
        [f"`{each.name}`", f"{each.believed:,.0f}", f"{each.counted:,}"] for each in found.columns
    ]
    return _table(["column of `seat_reservation`", "the planner believes", "counted"], rows)


def _orm(found: Finding) -> str:
    rows = []
    for each in found.orm:
        both = (each.times, each.ours)
        figures = [_ms(one.wall.p50_ms) for one in both] + [_ms(one.quiet.p50_ms) for one in both]
        words = [f"{_TITLES[each.key]}: {each.title}", str(len(each.statements))]
        rows.append([*words, f"{each.round_trips:g}", *figures])
    head = ["case", "statements", "round trips", "p50 ms", "ours", "undisturbed p50 ms", "ours"]
    return _table(head, rows)


def _sent(found: Finding) -> str:
    told = []
    for each in found.orm:
        statements = "\n".join(each.statements)
        told.append(f"{_TITLES[each.key]}, {each.title}:\n\n```sql\n{statements}\n```")
    return "\n\n".join(told)
