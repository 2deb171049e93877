"""The tables of ``booking_read``: what events make of them, at any size of batch, and anew."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from actors.address import Address
from actors.consumers.contract import Event
from booking.audit import AuditReport, run
from booking.queue.domain.events import Admitted, Entered, Joined, Left, TokenUsed
from booking.readmodel import rebuild, store
from booking.seats.domain.seat import HoldExpired, SeatHeld
from tests.support.catalogues import catalogue, concert, date
from tests.support.journal_rows import until
from tests.support.journals import LONG_AGO_MS, busy_season, season, user_id, write
from tests.support.queue_sales import a_sale
from tests.support.read_tables import (
    Tables,
    follow,
    rebuilt,
    tables,
    take,
    uuid_of,
    value,
    with_user_ids,
)
from tests.support.service import StartService
from tests.support.stock import import_catalogue
from tests.support.told import Tell

MAIN = Address("queue", "main")
SEAT = Address("seat", "d-one", "1")


def statuses(found: Tables, table: str, at: int) -> Counter[str]:
    return Counter(row[at] for row in found[table])


def events(address: Address, *data: Any) -> list[Event]:
    return [
        Event(address.slot, seq, address, LONG_AGO_MS + seq, type(each).__name__, each)
        for seq, each in enumerate(data, 1)
    ]


async def equal_to_the_books(dsn: str, report: AuditReport, read: str = "") -> None:
    """What the audit adds up over the whole journal, the tables say as well."""
    sums = {
        "balances": "SELECT coalesce(sum(balance), 0) FROM cash",
        "charged": "SELECT coalesce(sum(amount), 0) FROM cash_history WHERE type = 'CHARGE'",
        "spent": "SELECT coalesce(sum(amount), 0) FROM cash_history WHERE type = 'USE'",
        "refunded": "SELECT coalesce(sum(amount), 0) FROM cash_history WHERE type = 'REFUND'",
        "payments_in_flight": "SELECT count(*) FROM payment WHERE status = 'PENDING'",
    }
    assert report.ok
    found = {name: await value(read or dsn, question) for name, question in sums.items()}
    assert found == {name: getattr(report, name) for name in sums}
    sold = await value(
        read or dsn, "SELECT count(DISTINCT seat_id) FROM seat_reservation WHERE status='COMPLETED'"
    )
    paid = await value(read or dsn, "SELECT count(*) FROM payment WHERE status = 'COMPLETED'")
    unequal = await value(
        read or dsn,
        "SELECT count(*) FROM seat_reservation r FULL JOIN payment p"
        " ON p.seat_reservation_id = r.id AND p.seat_id = r.seat_id AND p.user_id = r.user_id"
        " AND p.amount = r.price"
        " WHERE (p.status = 'COMPLETED') IS DISTINCT FROM (r.status = 'COMPLETED')"
        " AND 'COMPLETED' IN (p.status, r.status)",
    )
    assert (sold, unequal) == (paid, 0)


async def test_a_season_becomes_rows(database_url: str) -> None:
    book = season()
    await write(database_url, book.rows, book.epochs())
    await follow(database_url, 500)
    found = await tables(database_url)
    people = [user_id(number) for number in range(1, 7)]
    assert [str(row[0]) for row in found["users"]] == people
    assert {str(row[0]): row[2] for row in found["cash"]} == dict(book.balances)
    assert statuses(found, "seat_reservation", 4) == {
        "COMPLETED": 4,
        "PENDING": 1,
        "EXPIRED": 1,
        "CANCELLED": 1,
    }
    assert statuses(found, "payment", 5) == {"COMPLETED": 4, "REFUNDED": 1}
    assert statuses(found, "cash_history", 2) == {"CHARGE": 13, "USE": 5, "REFUND": 1}
    assert {row[1]: row[4] for row in found["waiting_queue"]} == {
        1: "USED",
        2: "LEFT",
        3: "EXPIRED",
        4: "EXPIRED",
        5: "PENDING",
        6: "PENDING",
    }
    first = next(row for row in found["seat_reservation"] if row[4] == "CANCELLED")
    assert (first[1], first[2], str(first[3]), first[5]) == ("d-one-3", "d-one", people[0], 1_000)
    assert first[6] == datetime.fromtimestamp(LONG_AGO_MS / 1000, UTC)


@pytest.mark.parametrize("batch", [1, 7])
async def test_batches_of_any_size_make_the_same_rows(database_url: str, batch: int) -> None:
    book = busy_season(300, users=20)
    rows = [*book.rows, *with_user_ids(a_sale_beside(book.epochs()))]
    await write(database_url, rows, dict.fromkeys(range(256), 9))
    await follow(database_url, batch)
    small = await tables(database_url)
    await rebuilt(database_url)
    assert small == await tables(database_url)
    assert len(small["waiting_queue"]) > 66, "both queues"


def a_sale_beside(epochs: dict[int, int]) -> Any:
    """A sale with a draw in a queue of its own."""
    sale = a_sale()
    other = Address("queue", "other")
    assert other.slot != MAIN.slot
    assert other.slot not in epochs
    for row in sale.rows:
        row.address, row.shard = other.text, other.slot
    return sale


async def test_who_was_drawn_comes_in_by_the_draw(database_url: str) -> None:
    """Given 60 who were drawn and admitted a dozen at a time, those who came in are those whom
    the queue itself let in: as many, and each for as long."""
    sale = a_sale()
    await write(database_url, with_user_ids(sale), sale.epochs())
    await follow(database_url, 1)
    found = await tables(database_url)
    words = statuses(found, "waiting_queue", 4)
    assert words["SILENT"] == 3
    assert words["USED"] == 1
    assert words["LEFT"] == 1
    entered = {row[1] for row in found["waiting_queue"] if row[6] is not None}
    admitted = [row.payload for row in sale.rows if row.type in ("Admitted", "Entered")]
    assert len(entered) == sum(each.get("count", 1) for each in admitted)
    used = next(row for row in sale.rows if row.type == "TokenUsed").payload
    by_number = {row[1]: row for row in found["waiting_queue"]}
    assert by_number[used["number"]][3] == uuid_of(used["user"])


async def test_who_left_before_an_admission_of_the_same_batch_stays_out(
    database_url: str,
) -> None:
    await store.prepare(database_url)
    user = user_id(1)
    here = [Joined(user, 1, 1), Joined(user, 2, 1), Left(user, 1), Admitted(1, 2, 1, 5, 9)]
    await take(database_url, events(MAIN, *here, TokenUsed(user, 2), Entered(user, 3, 7, 9)))
    found = (await tables(database_url))["waiting_queue"]
    ends = [(row[1], row[4], row[6] is not None) for row in found]
    assert ends == [(1, "LEFT", False), (2, "USED", True), (3, "ACTIVE", True)]


async def test_a_hold_under_the_id_of_an_earlier_one_counts_as_it_is_now(
    database_url: str,
) -> None:
    """Given a hold that ended and was taken again under its id, in one batch or in two, the
    reservation is pending until the later end."""
    await store.prepare(database_url)
    user = user_id(1)
    first, again = SeatHeld("rsv", user, 10, 5, 1), SeatHeld("rsv", user, 30, 5, 20)
    await take(database_url, events(SEAT, first))
    await take(database_url, events(SEAT, HoldExpired("rsv", user), again))
    (row,) = (await tables(database_url))["seat_reservation"]
    assert (row[4], row[7].timestamp()) == ("PENDING", 0.03)


async def test_rows_and_offsets_come_together_or_not_at_all(database_url: str) -> None:
    """Given a batch that fails after its first rows were written, nothing of it is there."""
    await store.prepare(database_url)
    user = user_id(1)
    wrong = SeatHeld("rsv", "no id", 10, 5, 1)
    with pytest.raises(asyncpg.DataError):
        await take(database_url, [*events(MAIN, Joined(user, 1, 1)), *events(SEAT, wrong)])
    assert (await tables(database_url))["users"] == []


async def test_a_rebuild_equals_the_audits_books(
    database_url: str, empty_database_url: str
) -> None:
    """In another database, and from nothing."""
    book = busy_season(1_500, users=40)
    await write(database_url, book.rows, book.epochs())
    assert await rebuilt(database_url, read=empty_database_url) == len(book.rows)
    await equal_to_the_books(database_url, await run(database_url), empty_database_url)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_a_million_events_equal_the_audits_books(database_url: str, tell: Tell) -> None:
    book = busy_season(1_000_000)
    await write(database_url, book.rows, book.epochs())
    began, events = time.monotonic(), len(book.rows)
    assert await rebuilt(database_url) == events
    tell(f"rebuilt at {events / (time.monotonic() - began):,.0f} events/s")
    await equal_to_the_books(database_url, await run(database_url))


async def test_a_rebuild_goes_on_where_it_was_stopped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given one that was stopped amid the events, the next one takes only what is left, and the
    present tables stay as they are until it is done."""
    monkeypatch.setattr(rebuild, "BATCH", 200)
    book = busy_season(1_500, users=40)
    await write(database_url, book.rows, book.epochs())
    await follow(database_url, 500)
    await value(database_url, "UPDATE cash SET balance = 0")
    seen: list[tuple[str, int]] = []

    def stop(what: str, done: int, total: int) -> None:
        if done > total // 3:
            raise InterruptedError("stopped")

    with pytest.raises(InterruptedError):
        await rebuilt(database_url, stop)
    assert await value(database_url, "SELECT sum(balance) FROM cash") == 0
    await rebuilt(database_url, lambda what, done, total: seen.append((what, done)))
    assert seen[0][1] > 0, "each worker tells first what was there"
    await equal_to_the_books(database_url, await run(database_url))
    assert not await value(database_url, f"SELECT to_regnamespace('{store.NEXT}') IS NOT NULL")


async def test_a_swap_waits_for_who_is_writing(database_url: str) -> None:
    """Given a batch that has moved its offset and is writing, the swap comes after it; what is
    written next is in the new tables."""
    book = season()
    await write(database_url, book.rows, book.epochs())
    await follow(database_url, 500)
    here = await asyncpg.connect(store.in_schema(database_url, store.SCHEMA))
    try:
        transaction = here.transaction()
        await transaction.start()
        await here.execute("UPDATE consumer_offsets SET seq = seq")
        swapping = asyncio.create_task(rebuilt(database_url))

        async def waits() -> bool:
            assert not swapping.done()
            return bool(await here.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(waits, limit_s=30)
        await here.execute("UPDATE cash SET balance = 0")
        await transaction.commit()
        await swapping
        assert await here.fetchval("SELECT sum(balance) FROM cash") == sum(book.balances.values())
    finally:
        await here.close()


async def test_the_catalogue_is_there_with_its_free_seats(database_url: str) -> None:
    """A price that changes shows with the next look, and what is taken stays taken."""
    await import_catalogue(database_url, {"d-one": 3, "d-two": 2})
    await store.prepare(database_url)
    await take(database_url, events(SEAT, SeatHeld("rsv", user_id(1), 10, 5, 1)))
    found = await tables(database_url)
    assert [(row[0], row[4]) for row in found["seat"]] == [
        ("d-one-1", False),
        ("d-one-2", True),
        ("d-one-3", True),
        ("d-two-1", True),
        ("d-two-2", True),
    ]
    await import_catalogue(database_url, {"d-one": 3})
    await take(database_url, [])
    found = await tables(database_url)
    assert [row[0] for row in found["concert_schedule"]] == ["d-one"]
    assert [(row[0], row[4]) for row in found["seat"]][:2] == [
        ("d-one-1", False),
        ("d-one-2", True),
    ]
    assert len(found["seat"]) == 3


async def test_an_instance_keeps_the_tables(start_service: StartService, database_url: str) -> None:
    """Given a service with ``BOOKING_READ_URL``, what it accepts is in the tables soon."""
    await store.prepare(database_url)
    shows = catalogue(concert("alpha", date("d-one", seats=3)))
    service = await start_service(shows, BOOKING_READ_URL=database_url)
    user, token = await service.api.enter()
    await service.api.charge(user, 100_000)
    held = (await service.api.reserve(token, "d-one-2")).data
    assert (await service.api.pay(token, "d-one-2")).status == 201

    sold = (held["id"], "d-one-2", "d-one", UUID(user), "COMPLETED")

    async def told() -> bool:
        """Each of the booking's shards, in whatever order they come."""
        found = await tables(database_url)
        return (
            await value(database_url, "SELECT status FROM waiting_queue") == "USED"
            and [row[:5] for row in found["seat_reservation"]] == [sold]
            and [row[0] for row in found["seat"] if not row[4]] == ["d-one-2"]
            and [row[2] for row in found["cash"]] == [100_000 - held["price"]]
        )

    await until(told, limit_s=30)
