"""`booking audit` over a real journal table."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from actors.address import Address
from booking.audit import AuditError, AuditReport, run
from booking.catalogue import store as catalogue_store
from booking.catalogue.demo import demo_catalogue
from booking.cli import audit as command
from booking.cli import ledger
from booking.queue.audit_run import render_queue, run_queue
from booking.queue.domain.events import Joined
from booking.schema import parts
from tests.support.journal_rows import until
from tests.support.journals import (
    JournalBuilder,
    JournalRow,
    busy_season,
    season,
    user_id,
    write,
)
from tests.support.queue_sales import a_sale
from tests.support.servers import run as finish

CLEAN = season()


async def audited(dsn: str, rows: list[JournalRow], book: JournalBuilder = CLEAN) -> AuditReport:
    await write(dsn, rows, book.epochs())
    return await run(dsn)


def broken(report: AuditReport) -> dict[str, list[tuple[int, int, str]]]:
    return {
        verdict.check: [(v.shard, v.seq, v.entity) for v in verdict.named]
        for verdict in report.verdicts
        if not verdict.ok
    }


def find(rows: list[JournalRow], event: str, nth: int = 0) -> JournalRow:
    return [row for row in rows if row.type == event][nth]


async def test_an_empty_journal_is_clean(database_url: str) -> None:
    report = await run(database_url)
    assert report.ok
    assert report.events == 0


async def test_a_clean_journal_is_clean_across_pages_and_shards(database_url: str) -> None:
    book = busy_season(3_000, users=40)
    report = await audited(database_url, book.rows, book)
    assert report.ok, broken(report)
    assert report.events == len(book.rows)
    assert report.shards == len(book.epochs())


async def test_one_queue_is_audited_by_itself(database_url: str) -> None:
    sale = a_sale()
    sale.add(Address("queue", "quiet"), Joined(user_id(1), 1, sale.now_ms))
    await write(database_url, sale.rows, sale.epochs())
    verdict = await run_queue([database_url], "main")
    assert verdict.ok, verdict.aspects
    assert (verdict.events, verdict.numbers) == (len(sale.rows) - 1, 66)
    assert verdict.admitted == verdict.used + verdict.expired + verdict.inside
    assert [change["who"] for change in verdict.changes] == ["settings", *["eve"] * 4]
    assert [(drawn["seed"], drawn["first"], drawn["last"]) for drawn in verdict.draws] == [
        ("a seed", 6, 65)
    ]
    with pytest.raises(AuditError, match="no queue 'other'"):
        await run_queue([database_url], "other")

    rows = sale.sorted_rows()
    find(rows, "Drawn").payload["seed"] = "a nicer seed"
    await write(database_url, rows, sale.epochs())
    bent = await run_queue([database_url], "main")
    assert not bent.ok
    assert "order" in {aspect.aspect for aspect in bent.aspects if aspect.violations}
    assert "FAIL numbers given once" in render_queue(bent)
    assert "seed a nicer seed" in render_queue(bent)


def test_the_command_tells_of_one_queue(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOOKING_DATABASE_URL", database_url)
    sale = a_sale()
    finish(write(database_url, sale.rows, sale.epochs()))
    assert cli("--queue", "main") == 0
    told = capsys.readouterr().out
    assert "order  ok   numbers given once" in told
    assert "numbers 6 to 65 with seed a seed" in told
    assert "by eve: max_active 3" in told
    assert cli("--queue", "main", "--json") == 0
    assert json.loads(capsys.readouterr().out)["draws"][0]["seed"] == "a seed"
    assert cli("--queue", "other") == 2


Tamper = Callable[[list[JournalRow]], JournalRow]


def changed(event: str, **fields: object) -> Tamper:
    def tamper(rows: list[JournalRow]) -> JournalRow:
        row = find(rows, event)
        row.payload.update(fields)
        return row

    return tamper


def seat_held_twice(rows: list[JournalRow]) -> JournalRow:
    ended = find(rows, "HoldReleased")
    rows.remove(ended)
    return next(row for row in rows if row.type == "SeatHeld" and row.address == ended.address)


def epoch_fallen(rows: list[JournalRow]) -> JournalRow:
    row = next(row for row in rows if row.epoch == 2 and row.seq > 8)
    row.epoch = 1
    return row


def sold_late(rows: list[JournalRow]) -> JournalRow:
    row = find(rows, "SeatSold")
    row.at_ms += 300_000
    return row


@pytest.mark.parametrize(
    ("check", "tamper"),
    [
        ("I1", changed("SeatHeld", user=user_id(99))),
        ("I1", seat_held_twice),
        ("I1", changed("ReservationNoted", seat=49)),
        ("I2", changed("Charged", balance=1)),
        ("I2", changed("PaymentRefunded", balance=-5)),
        ("I4", epoch_fallen),
        ("I5", changed("Admitted", first=2)),
        ("I6", sold_late),
        ("I7", changed("SeatSold", payment="pay-99999999")),
        ("I7", changed("PaymentCompleted", seat=50)),
        ("I7", changed("PaymentCompleted", id="pay-99999999")),
        ("events", changed("Charged", amount="much")),
    ],
)
async def test_a_violation_is_caught_and_its_row_named(
    database_url: str, check: str, tamper: Tamper
) -> None:
    rows = CLEAN.sorted_rows()
    row = tamper(rows)
    found = broken(await audited(database_url, rows))
    assert check in found
    assert row.address in {entity for _, _, entity in found[check]}, found
    # Two books that differ are named at the row that shows it, in either of them.
    assert (row.shard, row.seq, row.address) in found[check] or check == "I1", found


async def test_a_sale_without_its_payment_names_the_seat(database_url: str) -> None:
    rows = [row for row in CLEAN.sorted_rows() if row.type != "PaymentCompleted"]
    found = broken(await audited(database_url, rows))
    sold = {(row.shard, row.seq, row.address) for row in rows if row.type == "SeatSold"}
    assert sold <= set(found["I7"])


async def test_a_hold_missing_in_the_account_is_no_violation(database_url: str) -> None:
    book = JournalBuilder()
    book.hold(user_id(1), "d", 1)
    rows = [row for row in book.sorted_rows() if row.type != "ReservationNoted"]
    assert broken(await audited(database_url, rows, book)) == {}


async def test_an_epoch_nobody_claimed_is_named(database_url: str) -> None:
    await write(database_url, CLEAN.sorted_rows(), CLEAN.epochs())
    conn = await asyncpg.connect(database_url)
    try:
        await conn.execute("DELETE FROM epochs WHERE epoch = 2")
    finally:
        await conn.close()
    assert set(broken(await run(database_url))) == {"I4"}


async def test_the_audit_changes_nothing_and_sees_one_moment(database_url: str) -> None:
    book = busy_season(2_000, users=30)
    await write(database_url, book.rows, book.epochs())
    conn = await asyncpg.connect(database_url)
    try:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute("DELETE FROM journal WHERE seq % 2 = 0")  # not committed, so not seen
        assert (await run(database_url)).ok
        await transaction.rollback()
        assert await conn.fetchval("SELECT count(*) FROM journal") == len(book.rows)
    finally:
        await conn.close()


async def test_a_database_that_cannot_be_read_is_said_to_be_so(empty_database_url: str) -> None:
    with pytest.raises(AuditError, match="does not exist"):
        await run(empty_database_url)
    with pytest.raises(AuditError):
        await run("postgresql://nobody@/none?host=/nonexistent")


# -- two databases ---------------------------------------------------------------------------------


@pytest.fixture
def both(database_url: str, second_database_url: str) -> list[str]:
    """The databases of one journal."""
    urls = [database_url, second_database_url]
    finish(parts.prepare(urls))
    return urls


async def spread(urls: list[str], rows: list[JournalRow], book: JournalBuilder = CLEAN) -> None:
    for number, url in enumerate(urls):
        own = [row for row in rows if row.shard % len(urls) == number]
        epochs = {s: epoch for s, epoch in book.epochs().items() if s % len(urls) == number}
        await write(url, own, epochs)


async def test_a_clean_journal_in_two_databases_is_clean(both: list[str]) -> None:
    book = busy_season(3_000, users=40)
    await spread(both, book.rows, book)
    report = await run(*both)
    assert report.ok, broken(report)
    assert (report.events, report.shards) == (len(book.rows), len(book.epochs()))


async def test_a_sale_in_one_database_and_no_payment_in_the_other_is_named(both: list[str]) -> None:
    book = busy_season(1_000, users=40)
    rows = book.sorted_rows()
    sales = {row.payload["payment"]: row for row in rows if row.type == "SeatSold"}
    lost, sale = next(
        (row, sales[row.payload["id"]])
        for row in rows
        if row.type == "PaymentCompleted" and (row.shard + sales[row.payload["id"]].shard) % 2
    )
    await spread(both, [row for row in rows if row is not lost], book)
    assert (sale.shard, sale.seq, sale.address) in broken(await run(*both))["I7"]


async def test_a_row_in_a_database_where_its_shard_does_not_live_is_named(both: list[str]) -> None:
    rows = CLEAN.sorted_rows()
    await spread(both, rows)
    stray = next(row for row in rows if row.shard % 2)
    epochs = {s: epoch for s, epoch in CLEAN.epochs().items() if s % 2 == 0}
    await write(both[0], [row for row in rows if row.shard % 2 == 0 or row is stray], epochs)
    assert broken(await run(*both)) == {"I4": [(stray.shard, stray.seq, stray.address)]}


async def test_the_snapshots_of_two_databases_are_of_one_moment(both: list[str]) -> None:
    """An append under way is waited for, whichever database it is in."""
    rows = CLEAN.sorted_rows()
    await spread(both, rows)
    last = next(row for row in rows[::-1] if row.shard % 2)
    writer, looker = [await asyncpg.connect(both[1]) for _ in range(2)]
    appending = writer.transaction()
    await appending.start()
    await writer.execute("SELECT FROM shards WHERE shard = $1 FOR SHARE", last.shard)
    await writer.execute("DELETE FROM journal WHERE (shard, seq) = ($1, $2)", last.shard, last.seq)
    auditing = asyncio.ensure_future(run(*both))

    async def waits() -> bool:
        return bool(await looker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waits)
    await appending.commit()
    assert (await auditing).events == len(rows) - 1
    for connection in (writer, looker):
        await connection.close()


async def test_a_part_of_a_journal_is_not_audited_as_if_it_were_the_whole(both: list[str]) -> None:
    with pytest.raises(AuditError, match="number 1 of the 2 databases"):
        await run(both[0])


# -- the command -----------------------------------------------------------------------------------


def cli(*words: str, name: str = "audit") -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    command.add_parser(commands)
    ledger.add_parser(commands)
    args = parser.parse_args([name, *words])
    return int(args.run(args))


def test_the_ledger_of_a_journal_adds_up_to_what_its_audit_says(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says with exit status 1 what it could not read."""
    monkeypatch.setenv("BOOKING_DATABASE_URL", database_url)
    rows = CLEAN.sorted_rows()
    finish(write(database_url, rows, CLEAN.epochs()))
    sums = Counter[str]()
    for options in ((), ("--totals",)):
        assert cli(*options, name="ledger") == 0
        lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        for line in lines:
            sums[line["from"].partition("/")[0]] -= int(line["amount"])
            sums[line["to"].partition("/")[0]] += int(line["amount"])
    assert sums == {name: 2 * n for name, n in finish(run(database_url)).accounts.items()}
    find(rows, "Charged").payload["amount"] = "much"
    finish(write(database_url, rows, CLEAN.epochs()))
    assert cli(name="ledger") == 1
    assert "Charged cannot be read" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_of_the_ledger_ends_it_quietly(database_url: str) -> None:
    """As ``booking ledger | head`` is one."""
    finish(write(database_url, CLEAN.sorted_rows(), CLEAN.epochs()))
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "booking.cli.main", "ledger"],
        env={**os.environ, "BOOKING_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_command_prints_a_verdict_and_exits_0_1_or_2(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKING_DATABASE_URL", database_url)
    rows = CLEAN.sorted_rows()
    finish(write(database_url, rows, CLEAN.epochs()))
    capsys.readouterr()
    assert cli() == 0
    assert "I1     ok" in capsys.readouterr().out
    row = changed("Charged", amount=1)(rows)
    finish(write(database_url, rows, CLEAN.epochs()))
    assert cli() == 1
    assert f"shard {row.shard} seq {row.seq} {row.address}" in capsys.readouterr().out
    assert cli("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [verdict["check"] for verdict in report["verdicts"]][:3] == ["events", "I1", "I2"]
    monkeypatch.setenv("BOOKING_DATABASE_URL", "postgresql://nobody@/none?host=/nonexistent")
    assert cli() == 2


async def test_a_hold_of_a_blocked_seat_is_told_and_one_before_it_is_not(
    database_url: str,
) -> None:
    """Given seats blocked at a time, when some are held before, at once and later, then only the
    last of them is told; one that is opened again is not looked at."""
    await catalogue_store.save(database_url, demo_catalogue(datetime.now(UTC)))
    date = "hangang-nights-1"
    await catalogue_store.block(database_url, date, "1-4", "house")
    [block] = (await catalogue_store.load(database_url)).schedules[date].blocked
    since_ms = block.since_ms
    book = JournalBuilder(since_ms - 60_000)
    for number, at_ms in ((1, -60_000), (2, 2_000), (5, 30_000), (3, 60_000), (4, 60_000)):
        book.now_ms = since_ms + at_ms
        book.hold(user_id(number), date, number)
    await write(database_url, book.sorted_rows(), book.epochs())
    report = await run(database_url)
    told = [entity for _, _, entity in broken(report)["I1"]]
    assert sorted(told) == [f"seat/{date}/3", f"seat/{date}/4"]
    await catalogue_store.block(database_url, date, "3-4", "")
    assert "I1" not in broken(await run(database_url))
