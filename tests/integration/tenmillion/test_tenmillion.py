"""``python -m bench.tenmillion`` in small: each part of it, what it finds, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import msgspec
import pytest

from bench.tenmillion import __main__ as command
from bench.tenmillion import page
from bench.tenmillion.cases import CASES
from bench.tenmillion.data import DUE_EVERY, PENDING_EVERY, Sizes
from bench.tenmillion.measure import Run
from bench.tenmillion.server import PrivateServer
from booking.readmodel import store

ROWS = PENDING_EVERY * DUE_EVERY // 5
"""Twenty thousand."""


class SharedServer(PrivateServer):
    """A database of the tests' own server, which nobody makes cold."""

    def __init__(self, dsn: str) -> None:
        super().__init__(Path())
        self._dsn = dsn

    @property
    def url(self) -> str:
        return store.in_schema(self._dsn, store.SCHEMA)

    def restart_cold(self) -> None:
        pass


async def test_a_small_run_finds_what_the_page_tells(
    empty_database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(SharedServer(empty_database_url), Sizes(ROWS), 10, lambda _: None)
    found = await run.measure("a machine", "a commit", "a day")

    assert found.rows["seat_reservation"] == ROWS
    assert found.rows["users"] == found.rows["cash"] == ROWS // 10
    assert 0.6 < found.rows["payment"] / ROWS < 0.8
    for key, before in found.before.items():
        assert "Seq Scan" in before.plan, key
        assert "Seq Scan" not in found.after[key].plan, key
    assert "BitmapOr" in found.after["either"].plan
    assert "seat_reservation_pending" in found.after["due"].plan
    assert "LockRows" in found.after["locked"].plan

    assert [each.indexes for each in found.writing] == [0, 1, 2, 3]
    assert found.writing[3].log_bytes > found.writing[0].log_bytes
    assert found.writing[3].hot_share == 0, "status is in the condition of an index"
    *plain, indexed = found.filling
    assert plain[-1].hot_share > plain[0].hot_share
    assert indexed.hot_share < 0.01, "but for balances that stayed the same"

    asked = {(each.key, len(each.statements)): each.round_trips for each in found.orm}
    assert asked["cash", 2] == asked["cash", 1] + 1, "the relationship is loaded when it is touched"
    assert asked["either", 1] == 3, "begin, the question, commit"

    await made_again(empty_database_url)
    file, written = tmp_path / "found.json", tmp_path / "queries.md"
    file.write_bytes(msgspec.json.encode(found))
    monkeypatch.setattr(page, "PAGE", written)
    assert command.main(["--again", str(file), "--report"]) in (0, 1)
    assert capsys.readouterr().out.count("below 1") == len(CASES)
    text = written.read_text("utf-8")
    assert all(case.sql in text and case.title in text for case in CASES)
    assert "$" not in text.replace("$1", "").replace("$2", "")
    assert json.loads(file.read_text("utf-8"))["commit"] == "a commit"


async def made_again(dsn: str) -> None:
    """After the run the schema has each of its indexes again, and no other."""
    measured = await indexes(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP SCHEMA {store.SCHEMA} CASCADE")
    finally:
        await connection.close()
    await store.prepare(dsn)
    assert measured == await indexes(dsn)


async def indexes(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    question = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 ORDER BY 1"
    try:
        return [row[0] for row in await connection.fetch(question, store.SCHEMA)]
    finally:
        await connection.close()


def test_too_few_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--rows", "10"])
    assert "at least" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_before_anything_is_written() -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--rows", "1000000000"])
    assert ended.value.code == 2


def test_the_page_in_the_documents_is_of_ten_million_rows() -> None:
    """Of its words each is in the page as the run wrote it."""
    text = page.PAGE.read_text("utf-8")
    assert "10,000,000 rows of `seat_reservation`" in text
