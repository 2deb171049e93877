"""The tables of `booking admin` on terminals of different width, and in a file."""

from __future__ import annotations

import io

from rich.console import Console, Group

from booking.cli.admin import tables
from tests.support.fake_operations import FakeOperations


async def printed(width: int, *, terminal: bool = False) -> str:
    view = await FakeOperations().view()
    file = io.StringIO()
    drawn = Group(*tables.cluster(view, 0, all_shards=False))
    Console(file=file, width=width, force_terminal=terminal, highlight=False).print(drawn)
    return file.getvalue()


async def test_a_wide_terminal_has_a_line_for_each_instance() -> None:
    lines = [line.split() for line in (await printed(160)).splitlines()]
    assert [line[0] for line in lines[3:]] == ["a", "b", "c"]
    assert lines[2][:4] == ["instance", "state", "shards", "rate/s"]


async def test_a_narrow_terminal_breaks_lines_and_no_word() -> None:
    text = await printed(78)
    assert max(len(line) for line in text.splitlines()) <= 78
    assert "…" not in text
    for word in ("instance", "entities", "commit", "serving"):
        assert word in text.split()


async def test_a_file_gets_no_colours_and_a_terminal_bold_heads() -> None:
    assert "\x1b" not in (await printed(160))
    assert "\x1b[1m" in (await printed(160, terminal=True))
