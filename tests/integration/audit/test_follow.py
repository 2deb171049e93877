"""`booking audit --follow` over real journal tables: what it tells, when, and where it goes on."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg
import pytest

from actors.address import Address
from actors.clock import SystemClock
from booking.audit import AuditError, schedule
from booking.audit.follow import Follower
from booking.schema import parts
from booking.seats.domain import ledger
from tests.support.api_client import Api, eventually
from tests.support.catalogues import catalogue, concert, date
from tests.support.following import Heard, following
from tests.support.journal_rows import until
from tests.support.journals import (
    COLUMNS,
    JournalBuilder,
    JournalRow,
    busy_season,
    user_id,
    write,
)
from tests.support.processes import python_environ
from tests.support.service import StartService

EVERY_SHARD = dict.fromkeys(range(256), 2)
TOLD_MAX_S = 10.0
"""The promise is 2 s. A machine that runs other tests too may need more."""


async def append(url: str, rows: list[JournalRow]) -> None:
    """Write rows as the service does: in order, all of one decision at once."""
    conn = await asyncpg.connect(url)
    try:
        values = [row.values for row in rows]
        await conn.copy_records_to_table("journal", columns=COLUMNS, records=values)
    finally:
        await conn.close()


def thirds(rows: list[JournalRow]) -> list[list[JournalRow]]:
    """Three parts, cut where users join: what was begun before has ended there."""
    joined = [index for index, row in enumerate(rows) if row.type == "Joined"]
    one, two = joined[len(joined) // 3], joined[2 * len(joined) // 3]
    return [rows[:one], rows[one:two], rows[two:]]


async def fetch(url: str, query: str) -> Sequence[asyncpg.Record]:
    conn = await asyncpg.connect(url)
    try:
        return list(await conn.fetch(query))
    finally:
        await conn.close()


async def execute(url: str, statement: str) -> None:
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


async def test_a_clean_journal_is_followed_in_silence(database_url: str) -> None:
    """Given a journal of which a part is checked, when the rest is written while it is followed
    and between two runs, nothing is told, and a run goes on where the one before ended."""
    book = busy_season(3_000, users=40)
    first, second, third = thirds(book.rows)
    await write(database_url, first, book.epochs())
    async with following(database_url) as heard:
        assert heard.rows == len(first)
        await append(database_url, second)
        await heard.until(lambda heard: heard.follower.rows == len(first + second))
    await append(database_url, third)
    async with following(database_url) as again:
        assert len(third) <= again.rows < len(book.rows)
    assert (heard.told, again.told) == ([], [])


async def charged(url: str, book: JournalBuilder, user: str, **changed: object) -> JournalRow:
    """A charge is written, with a payload changed by hand."""
    book.charge(user, 100)
    row = book.rows[-1]
    row.payload.update(changed)
    await append(url, [row])
    return row


async def test_a_violation_is_told_at_once_and_stands_in_the_trail_once(database_url: str) -> None:
    """Given a journal that is followed, when a row with a wrong balance is written, both rules that
    it breaks are told with their row, each in one line of the trail, also after a run that reads
    the row again."""
    book = JournalBuilder()
    await write(database_url, [], EVERY_SHARD)
    async with following(database_url) as heard:
        await charged(database_url, book, user_id(1))
        began_s = time.monotonic()
        row = await charged(database_url, book, user_id(1), balance=1)
        await heard.until(lambda heard: len(heard.told) == 2)
        assert time.monotonic() - began_s < TOLD_MAX_S
        assert heard.follower.violations == 2
    assert {found.check for found in heard.told} == {"I2", "I10"}
    assert {(found.shard, found.seq) for found in heard.told} == {(row.shard, row.seq)}
    found = heard.told[0]
    assert str(found).startswith(f"VIOLATION I2 shard {row.shard} seq {row.seq} account/")
    await execute(database_url, "DELETE FROM audit_offsets")
    async with following(database_url) as again:
        assert (again.rows, again.told) == (2, [])
    lines = await fetch(database_url, "SELECT who, detail FROM operator_log")
    told = [(line["who"], json.loads(line["detail"])["seq"]) for line in lines]
    assert told == [("audit", row.seq)] * 2


async def test_a_sale_that_nobody_pays_for_is_told(database_url: str) -> None:
    book = JournalBuilder()
    await write(database_url, [], EVERY_SHARD)
    async with following(database_url) as heard:
        held = book.hold(user_id(1), "d", 1)
        book.sell(user_id(1), held, "pay-99999999")
        await append(database_url, book.rows)
        await heard.until(lambda heard: bool(heard.told))
    assert [(found.check, found.entity) for found in heard.told] == [("I7", "seat/d/1")]


async def test_a_payment_that_does_not_end_is_told_after_its_limit(database_url: str) -> None:
    book = JournalBuilder(at_ms=time.time_ns() // 1_000_000)
    book.charge(user_id(1), 5_000)
    payment = book.start_payment(user_id(1), book.hold(user_id(1), "d", 1))
    await write(database_url, book.rows, book.epochs())
    async with following(database_url, limit_s=1.0) as heard:
        await heard.until(lambda heard: bool(heard.told))
        assert payment in heard.told[0].message


async def test_rows_that_a_database_has_lost_are_told_and_the_rest_is_followed(
    database_url: str,
) -> None:
    """Given checked rows, when the database comes back without the last of them and other rows in
    their place, that is told once, and the next row is judged by what there is."""
    book = JournalBuilder()
    await write(database_url, [], EVERY_SHARD)
    async with following(database_url) as heard:
        for _ in range(3):
            row = await charged(database_url, book, user_id(1))
        await heard.until(lambda heard: heard.follower.rows == 3)
        other = copy.deepcopy(book.rows[1])
        other.epoch, other.at_ms = 2, other.at_ms + 5
        await execute(database_url, "DELETE FROM journal WHERE seq > 1")
        await append(database_url, [other])
        await heard.until(lambda heard: heard.follower.rows == 5)
        [found] = heard.told
        assert (found.check, found.shard, found.seq) == ("I4", row.shard, 3)
        assert "lost its last rows" in found.message


async def test_a_database_that_is_away_is_waited_for(database_url: str) -> None:
    """Given a follower, when its connections are cut, it says so, and tells of what was written
    meanwhile; what could not end for want of the database is not overdue."""
    book = JournalBuilder(at_ms=time.time_ns() // 1_000_000 - 600_000)
    await write(database_url, [], EVERY_SHARD)
    async with following(database_url) as heard:
        book.charge(user_id(2), 5_000)
        book.start_payment(user_id(2), book.hold(user_id(2), "d", 1))
        await append(database_url, book.rows)
        await execute(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'booking audit'",
        )
        await heard.until(lambda heard: bool(heard.problems))
        row = await charged(database_url, book, user_id(1), balance=1)
        await heard.until(lambda heard: bool(heard.told))
        assert {found.seq for found in heard.told} == {row.seq}


async def test_a_database_that_never_answered_is_no_journal(empty_database_url: str) -> None:
    with pytest.raises(AuditError, match="booking migrate"):
        await Follower([empty_database_url], Heard()).run(asyncio.Event())


async def test_a_journal_in_two_databases_is_followed_as_one(
    database_url: str, second_database_url: str
) -> None:
    """Given payments whose seat and account are in two databases, when one completion is of
    another price, that payment is told, and nothing of the others."""
    urls = [database_url, second_database_url]
    await parts.prepare(urls)
    book = busy_season(600, users=40)
    sales = {row.payload["payment"]: row for row in book.rows if row.type == "SeatSold"}
    lost = next(
        row
        for row in book.rows
        if row.type == "PaymentCompleted" and (row.shard + sales[row.payload["id"]].shard) % 2
    )
    lost.payload["amount"] += 1
    both = {lost.address, sales[lost.payload["id"]].address}
    for number, url in enumerate(urls):
        own = [row for row in book.rows if row.shard % 2 == number]
        await write(url, own, {s: e for s, e in book.epochs().items() if s % 2 == number})
    async with following(*urls) as heard:
        await heard.until(lambda heard: {found.entity for found in heard.told} >= both)
    assert {found.entity for found in heard.told} == both


async def test_every_instance_counts_what_was_told_and_logs_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a violation that a follower told, when an instance looks, its numbers have it, with how
    far the follower is behind, and its log says where to look."""
    book = JournalBuilder()
    await write(database_url, [], EVERY_SHARD)
    async with following(database_url) as heard:
        await charged(database_url, book, user_id(1), balance=1)
        await heard.until(lambda heard: len(heard.told) == 2)
    await execute(database_url, "UPDATE audit_offsets SET checked_at = now() - interval '90 s'")
    monkeypatch.setattr(schedule, "LOOK_EVERY_S", 0.01)
    audits = schedule.Audits(database_url, SystemClock())
    looking = asyncio.ensure_future(audits.run())

    async def counted() -> bool:
        return audits.numbers["audit_violations_told"] == 2

    await until(counted)
    looking.cancel()
    await audits.close()
    assert 90 <= audits.numbers["audit_behind_seconds"] < 150
    assert "look at /admin/log" in caplog.text


# -- the command, beside a service -----------------------------------------------------------------


async def append_by_hand(url: str, address: Address) -> None:
    """A date's ledger counts a hold that no seat has, in the next row of its shard."""
    book = JournalBuilder()
    book.add(address, ledger.HoldCounted(1, "rsv-00000001", user_id(1), book.now_ms))
    [row] = book.rows
    query = f"SELECT max(seq), max(epoch) FROM journal WHERE shard = {row.shard}"
    last, epoch = (await fetch(url, query))[0]
    owned = f"SELECT epoch FROM shards WHERE shard = {row.shard}"
    row.seq, row.epoch = (last or 0) + 1, epoch or (await fetch(url, owned))[0][0]
    await append(url, [row])


async def a_booking(api: Api, seat: int) -> None:
    user, token = await api.enter()
    await api.charge(user, 1_000_000)
    assert (await api.reserve(token, f"alpha-1-{seat}")).status == 201
    assert (await api.pay(token, f"alpha-1-{seat}")).status == 201


SHOWS = catalogue(
    concert("alpha", date("alpha-1")), concert("beta", date("beta-1")) | {"queue": "vip"}
)
TOKEN = "8d1f-of-the-operators-60ac"


@contextmanager
def command(database_url: str, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """``booking audit --follow`` as a process."""
    environ = python_environ({"BOOKING_DATABASE_URL": database_url, **settings})
    line = [sys.executable, "-P", "-m", "booking.cli.main", "audit", "--follow", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        line, env=environ, cwd="/", stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Ctrl-C, and how it ended: exit status, standard output, standard error."""
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, timeout=30)
    return process.returncode, out, err


async def test_the_brake_pauses_the_queue_of_the_date_and_tells_why(
    database_url: str, start_service: StartService
) -> None:
    """Given a service and a follower with the brake, when a row that breaks a rule of a date is
    written, the date's queue is paused, the other goes on, and the trail has the reason."""
    service = await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN)
    brake = {"BOOKING_AUDIT_BRAKE": "on", "BOOKING_URL": service.url, "BOOKING_ADMIN_TOKEN": TOKEN}
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async def modes() -> dict[str, str]:
        queues = await service.api.call("GET", "/admin/queues", headers=headers)
        return {each["queue"]: each["mode"] for each in queues.data["items"]}

    async def paused() -> bool:
        return (await modes())["vip"] == "paused"

    with command(database_url, **brake) as process:
        assert process.stderr is not None
        assert "each as it comes" in await asyncio.to_thread(process.stderr.readline)
        await append_by_hand(database_url, Address("ledger", "beta-1"))
        await eventually(paused)
        assert await modes() == {"main": "open", "vip": "paused"}
        status, out, err = await ended(process)
    assert (status, out.count("VIOLATION")) == (1, 1)
    assert "queue vip is paused" in err
    log = (await service.api.call("GET", "/admin/log", headers=headers)).data["items"]
    [line] = [line for line in log if line["what"] == "queue"]
    assert line["who"].startswith("audit")
    assert line["detail"]["reason"] == out.strip()[:200]


async def test_of_a_busy_clean_service_nothing_is_told(
    database_url: str, start_service: StartService
) -> None:
    """Given users who book, when the journal is followed meanwhile, nothing is told, and Ctrl-C
    ends it with status 0."""
    service = await start_service(SHOWS)
    with command(database_url, "--json") as process:
        assert process.stderr is not None
        assert "each as it comes" in await asyncio.to_thread(process.stderr.readline)
        await asyncio.gather(*(a_booking(service.api, seat) for seat in range(1, 31)))
        written = (await fetch(database_url, "SELECT count(*) FROM journal"))[0][0]

        async def checked() -> bool:
            sums = await fetch(database_url, "SELECT coalesce(sum(seq), 0) FROM audit_offsets")
            return bool(sums[0][0] >= written)

        await eventually(checked, within_s=30)
        status, out, err = await ended(process)
    assert (status, out) == (0, ""), err
    found = re.search(r"checked ([\d,]+) rows, told 0 violations", err)
    assert found is not None, err
    assert int(found[1].replace(",", "")) >= written  # a used token ends after its payment
