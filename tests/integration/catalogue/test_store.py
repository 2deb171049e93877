"""The catalogue in a real Postgres: import, export, what is refused, and the command."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from booking.catalogue import demo, document, store
from booking.catalogue.document import (
    ConcertEntry,
    DateEntry,
    Document,
    SeatEntry,
)
from booking.catalogue.problems import DocumentError
from booking.catalogue.store import CatalogueError
from booking.cli import catalog as command
from tests.support.documents import normal, to_catalogue
from tests.support.journals import JournalBuilder, user_id, write

OPEN = datetime(2026, 12, 24, 10, tzinfo=UTC)


def a_date(name: str, *, seats: Sequence[int] = range(1, 4), price: int = 100) -> DateEntry:
    return DateEntry(
        id=name,
        open_at=OPEN,
        close_at=OPEN.replace(hour=13),
        booking_start=datetime(2026, 1, 1, tzinfo=UTC),
        booking_end=OPEN,
        seats=tuple(SeatEntry(number, price) for number in seats),
    )


def a_document(*dates: DateEntry, concert: str = "c") -> Document:
    return Document((ConcertEntry(concert, f"Concert {concert}", dates),))


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


async def book_a_seat(dsn: str, date: str) -> None:
    book = JournalBuilder()
    book.hold(user_id(1), date, 1)
    await write(dsn, book.sorted_rows(), book.epochs())


async def test_what_is_imported_is_loaded_and_exported(
    database_url: str, conn: asyncpg.Connection
) -> None:
    season = demo.demo_catalogue(datetime.now(UTC))
    assert await store.version(conn) == 0
    assert await store.save(database_url, season) == 1
    assert await store.version(conn) == 1
    catalogue = await store.load(conn)
    assert catalogue == to_catalogue(season, version=1)
    assert list(catalogue.schedules) == list(to_catalogue(season).schedules)
    assert await store.load(database_url) == catalogue
    exported = await store.export(database_url)
    assert exported == normal(season)
    # Importing what was exported changes nothing, so the version stays.
    assert await store.save(database_url, document.parse(document.encode(exported))) == 1


async def test_every_change_raises_the_version_and_other_concerts_stay(database_url: str) -> None:
    await store.save(database_url, a_document(a_date("d-1"), a_date("d-2")))
    await store.save(database_url, a_document(a_date("e-1"), concert="e"))
    changed = a_document(a_date("d-1", price=200), a_date("d-3", seats=[5, 9]))
    assert await store.save(database_url, changed) == 3
    catalogue = await store.load(database_url)
    assert {name: s.prices for name, s in catalogue.schedules.items()} == {
        "d-1": {1: 200, 2: 200, 3: 200},
        "d-3": {5: 100, 9: 100},
        "e-1": {1: 100, 2: 100, 3: 100},
    }
    renamed = Document((ConcertEntry("e", "Neu", (a_date("e-1"),)),))
    assert await store.save(database_url, renamed) == 4
    assert (await store.load(database_url)).schedules["e-1"].concert_name == "Neu"
    emptied = Document((ConcertEntry("e", "Neu", ()),))
    assert await store.save(database_url, emptied) == 5
    assert emptied.concerts[0] in (await store.export(database_url)).concerts


async def test_a_date_that_did_not_change_is_the_same_object_when_read_again(
    database_url: str,
) -> None:
    """So nobody compares, or remakes, what stands on 100,000 seats for the sake of another date."""
    await store.save(database_url, a_document(a_date("d-1"), a_date("d-2")))
    before = await store.load(database_url)
    await store.save(database_url, a_document(a_date("d-1"), a_date("d-2", price=7)))
    after = await store.load(database_url, before)
    assert after == await store.load(database_url)
    assert after.schedules["d-1"] is before.schedules["d-1"]
    assert after.schedules["d-2"].prices[1] == 7


async def test_a_concert_may_have_a_queue_of_its_own(database_url: str) -> None:
    await store.save(database_url, a_document(a_date("d-1")))
    assert (await store.load(database_url)).queues == {"main"}
    own = Document((ConcertEntry("c", "Concert c", (a_date("d-1"),), "c-queue"),))
    assert await store.save(database_url, own) == 2
    catalogue = await store.load(database_url)
    assert catalogue.queues == {"main", "c-queue"}
    assert catalogue.schedules["d-1"].queue == "c-queue"
    assert await store.export(database_url) == normal(own)
    assert await store.save(database_url, own) == 2
    assert await store.save(database_url, a_document(a_date("d-1"))) == 3
    assert (await store.load(database_url)).schedules["d-1"].queue == "main"


async def test_a_booked_date_is_neither_removed_nor_renumbered(database_url: str) -> None:
    """The refusal changes nothing else."""
    await store.save(database_url, a_document(a_date("d-1"), a_date("d-2")))
    before = await store.load(database_url)
    await book_a_seat(database_url, "d-1")
    with pytest.raises(CatalogueError, match=r"^date 'd-1' of concert 'c' has bookings"):
        await store.save(database_url, a_document(a_date("d-2", price=1)))
    for numbers in ([1, 2], [1, 2, 3, 4], [1, 2, 4]):
        with pytest.raises(CatalogueError, match="seat numbers cannot change"):
            await store.save(database_url, a_document(a_date("d-1", seats=numbers)))
    assert await store.load(database_url) == before
    # Its price may change, and the date beside it may go.
    assert await store.save(database_url, a_document(a_date("d-1", price=7))) == 2
    after = await store.load(database_url)
    assert {name: s.prices for name, s in after.schedules.items()} == {"d-1": {1: 7, 2: 7, 3: 7}}


async def test_a_date_stays_with_its_concert(database_url: str) -> None:
    await store.save(database_url, a_document(a_date("d-1")))
    with pytest.raises(CatalogueError, match="belongs to concert 'c' and cannot move to 'e'"):
        await store.save(database_url, a_document(a_date("d-1"), concert="e"))


async def test_imports_at_once_are_done_one_after_the_other(database_url: str) -> None:
    documents = [a_document(a_date(f"d-{n}"), concert=f"c-{n}") for n in range(5)]
    versions = await asyncio.gather(*(store.save(database_url, each) for each in documents))
    assert sorted(versions) == [1, 2, 3, 4, 5]
    assert len((await store.load(database_url)).schedules) == 5


async def test_a_document_made_by_a_program_is_checked_too(database_url: str) -> None:
    wrong = a_document(DateEntry("d", OPEN, OPEN.replace(hour=13), OPEN, OPEN, 1, -5))
    with pytest.raises(DocumentError, match="totalSeats"):
        await store.save(database_url, wrong)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO concert VALUES ('Bad', 'x')",
        "INSERT INTO concert VALUES ('a', '')",
        "INSERT INTO concert VALUES ('a', 'x', 'Bad queue')",
        "UPDATE concert_schedule SET booking_end = close_at + interval '1 s'",
        "UPDATE concert_schedule SET open_at = close_at",
        "UPDATE concert_schedule SET booking_start = booking_end",
        "UPDATE concert_schedule SET total_seats = 0",
        "UPDATE seat SET price = -1 WHERE number = 1",
        "UPDATE seat SET id = 'other-1' WHERE number = 1",
        "UPDATE seat SET number = 0, id = 'd-1-0' WHERE number = 1",
        "INSERT INTO seat VALUES ('d-1-1', 'd-1', 1, 5)",
        "INSERT INTO seat VALUES ('none-1', 'none', 1, 5)",
        "INSERT INTO catalogue_version VALUES (true, 1)",
        "DELETE FROM concert",
    ],
)
async def test_the_schema_itself_refuses_nonsense(
    database_url: str, conn: asyncpg.Connection, statement: str
) -> None:
    await store.save(database_url, a_document(a_date("d-1")))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await conn.execute(statement)


# -- the command -----------------------------------------------------------------------------------


def cli(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["catalog", *words])
    return int(args.run(args))


def test_the_command_imports_and_exports_files_and_streams(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("BOOKING_DATABASE_URL", database_url)
    season = normal(a_document(a_date("d-1"), a_date("d-2", price=3)))
    source, copied = tmp_path / "in.json", tmp_path / "out.json"
    source.write_bytes(document.encode(season))
    assert cli("import", str(source)) == 0
    assert capfdbinary.readouterr().out == b"1 concerts, 2 dates; catalogue version 1\n"
    assert cli("export", str(copied)) == 0
    assert document.parse(copied.read_bytes()) == season
    stdin = io.TextIOWrapper(io.BytesIO(copied.read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert cli("import", "-") == 0
    capfdbinary.readouterr()
    assert cli("export", "-") == 0
    assert document.parse(capfdbinary.readouterr().out) == season


def test_the_command_tells_each_error_on_a_line_and_exits_1_or_2(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "in.json"
    monkeypatch.setenv("BOOKING_DATABASE_URL", database_url)
    assert cli("import", str(file)) == 2
    capsys.readouterr()
    loose = json.loads(document.encode(a_document(a_date("d-1"), a_date("d-2"))))
    loose["concerts"][0]["dates"][0]["id"] = "D"
    loose["concerts"][0]["dates"][1]["open_at"] = 5
    file.write_text(json.dumps(loose, indent=1))
    assert cli("import", str(file)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "concerts[0].dates[0].id",
        "concerts[0].dates[1].open_at",
    ]
    monkeypatch.setenv("BOOKING_DATABASE_URL", "postgresql://nobody@/none?host=/nonexistent")
    assert cli("export", str(file)) == 1
    assert "could not be used" in capsys.readouterr().err
