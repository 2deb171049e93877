"""Venues and blocked seats in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from booking.catalogue import document, store
from booking.catalogue.document import Document
from booking.catalogue.store import CatalogueError
from tests.support.documents import normal, to_catalogue
from tests.support.journals import JournalBuilder, user_id, write
from tests.unit.catalogue.test_venues import VENUE, a_text, at_the_hall


def at_hall(blocked: str = "") -> Document:
    blocks = [{"seats": blocked, "reason": "house"}] if blocked else []
    return document.parse(a_text(at_the_hall(blocked=blocks)))


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(database_url)
    yield conn
    await conn.close()


async def test_venues_are_stored_loaded_and_exported(database_url: str) -> None:
    """A venue that did not change is the same object when it is read again."""
    hall = at_hall("1-3,11")
    assert await store.save(database_url, hall) == 1
    assert await store.save(database_url, hall) == 1, "nothing is different, not even since when"
    loaded = await store.load(database_url)
    assert normal(hall) == await store.export(database_url)
    wanted = to_catalogue(hall, version=1)
    assert loaded.venues == wanted.venues
    assert loaded.schedules["d-1"].prices == wanted.schedules["d-1"].prices
    assert loaded.schedules["d-1"].blocked[0].since_ms > 1_700_000_000_000
    assert await store.save(database_url, at_hall()) == 2
    again = await store.load(database_url, loaded)
    assert again.venues["hall"] is loaded.venues["hall"]
    assert not again.schedules["d-1"].blocked


async def test_a_program_of_the_release_before_finds_no_blocked_seat(
    database_url: str, conn: asyncpg.Connection
) -> None:
    """It knows nothing of blocks, and sells what has a row. What it imports puts all seats on
    sale, and they stay blocked here."""
    await store.save(database_url, at_hall("1-3,11"))
    rows = await conn.fetch("SELECT number FROM seat WHERE schedule_id = 'd-1' ORDER BY number")
    assert [row["number"] for row in rows] == [*range(4, 11), *range(12, 21)]
    await conn.execute("INSERT INTO seat VALUES ('d-1-2', 'd-1', 2, 5)")
    assert 2 not in (await store.load(database_url)).schedules["d-1"].prices


async def test_an_operator_opens_and_blocks_seats(database_url: str) -> None:
    await store.save(database_url, at_hall("1-3"))
    since_ms = (await store.load(database_url)).schedules["d-1"].blocked[0].since_ms
    assert await store.block(database_url, "d-1", "2", "") == 2
    assert await store.block(database_url, "d-1", "5-6", "camera") == 3
    assert await store.block(database_url, "d-1", "5-6", "camera") == 3, "they are so already"
    date = (await store.load(database_url)).schedules["d-1"]
    assert [(b.spelled, b.reason, b.price) for b in date.blocked] == [
        ("1", "house", 90_000),
        ("3", "house", 90_000),
        ("5-6", "camera", 90_000),
    ]
    assert date.blocked[0].since_ms == since_ms < date.blocked[2].since_ms
    assert date.prices[2] == 90_000
    for seats, words in (("21", "21 is not a seat of date 'd-1'"), ("x", "'x' is neither")):
        with pytest.raises(CatalogueError, match=words):
            await store.block(database_url, "d-1", seats, "house")
    with pytest.raises(CatalogueError, match="there is no date 'd-9'"):
        await store.block(database_url, "d-9", "1", "house")


async def test_all_seats_of_a_date_may_be_blocked(database_url: str) -> None:
    await store.save(database_url, at_hall("1-20"))
    assert (await store.load(database_url)).schedules["d-1"].total_seats == 0
    assert await store.block(database_url, "d-1", "1-20", "") == 2
    assert (await store.load(database_url)).schedules["d-1"].total_seats == 20


async def test_a_seat_that_is_held_or_sold_cannot_be_blocked(database_url: str) -> None:
    """Neither by an operator nor by a document; others of a booked date can, and be opened."""
    await store.save(database_url, at_hall())
    book = JournalBuilder()
    book.hold(user_id(1), "d-1", 1)
    book.end_hold(user_id(2), book.hold(user_id(2), "d-1", 2), expired=False)
    await write(database_url, book.sorted_rows(), book.epochs())
    refused = "seat d-1-1 is held or sold and cannot be blocked"
    with pytest.raises(CatalogueError, match=refused):
        await store.block(database_url, "d-1", "1-3", "house")
    with pytest.raises(CatalogueError, match=refused):
        await store.save(database_url, at_hall("1-3"))
    assert await store.save(database_url, at_hall("2-3")) == 2
    assert await store.save(database_url, at_hall()) == 3


async def test_a_booked_date_stays_in_its_venue(database_url: str) -> None:
    await store.save(database_url, at_hall())
    book = JournalBuilder()
    book.hold(user_id(1), "d-1", 1)
    await write(database_url, book.sorted_rows(), book.epochs())
    text = a_text(at_the_hall(venue="other"), venues=[VENUE, VENUE | {"id": "other"}])
    with pytest.raises(CatalogueError, match="seat numbers cannot change"):
        await store.save(database_url, document.parse(text))


async def test_the_schema_refuses_a_venue_that_is_not_there(
    database_url: str, conn: asyncpg.Connection
) -> None:
    await store.save(database_url, at_hall())
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await conn.execute("UPDATE concert_schedule SET venue = 'none'")
    with pytest.raises(asyncpg.CheckViolationError):
        await conn.execute("INSERT INTO venue VALUES ('Bad', $1)", json.dumps(VENUE))
