"""Segments leave the journal for files, whatever ends a run, and nothing that is needed goes."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import asyncpg
import msgspec
import pytest

from actors.address import Address
from actors.clock import SystemClock
from actors.consumers.contract import Consumer, Event
from actors.consumers.postgres import PostgresOffsets
from actors.consumers.reader import EventReader
from actors.consumers.runner import ConsumerRunner
from actors.consumers.tail import JournalTail
from actors.core.folding import Folding
from actors.journal.contract import Batch, Row
from actors.journal.postgres import PostgresJournal
from booking.accounts.entity import AccountBehaviour
from booking.archive import files
from booking.archive import load as archive_load
from booking.archive.files import ArchiveError
from booking.archive.load import load_back
from booking.archive.run import Archiver, alone
from booking.audit import AuditError
from booking.audit import run as audit
from booking.audit.follow import Follower
from booking.audit.schedule import Audits
from booking.cli.archive import _forget_places, _offsets
from booking.queue.audit_run import run_queue
from booking.settings import Settings
from tests.support.consumers import until
from tests.support.journals import COLUMNS, JournalBuilder, JournalRow, user_id, write

LATER = datetime.now(UTC) + timedelta(days=1)
USERS = 40


class KilledError(Exception):
    """Stands for kill -9: nothing is done after it."""


class Stocked:
    """A journal of charges in one closed segment and an open one, and who archives it."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.dsn, self.directory = dsn, directory
        self.told: list[str] = []
        self.name = ""
        self.offsets: dict[str, dict[int, int]] = {}
        self.book = JournalBuilder()
        self.journal = PostgresJournal(dsn, lanes=1)

    async def stock(self) -> None:
        for number in range(3 * USERS):
            self.book.charge(user_id(number % USERS), 1_000)
        [part] = await self.fetch("SELECT journal FROM journal_part")
        self.name = str(part["journal"])
        epochs = {row.shard: 1 for row in self.book.rows}
        await write(self.dsn, self.book.rows, epochs)
        assert await self.journal.turn_journal(0)

    def archiver(self) -> Archiver:
        return Archiver(
            dsn=self.dsn,
            part=0,
            parts=1,
            journal_name=self.name,
            journal=self.journal,
            behaviours={"account": AccountBehaviour()},
            offsets=self.offsets,
            directory=self.directory,
            tell=self.told.append,
        )

    async def archive(self, before: datetime = LATER, *, close: bool = False) -> bool:
        self.told.clear()
        return await self.archiver().run(before, close=close)

    async def more(self) -> None:
        """Another charge of each user, in a segment of its own, which is closed."""
        known = len(self.book.rows)
        for number in range(USERS):
            self.book.charge(user_id(number), 500)
        connection = await asyncpg.connect(self.dsn)
        try:
            values = [row.values for row in self.book.rows[known:]]
            await connection.copy_records_to_table("journal", columns=COLUMNS, records=values)
        finally:
            await connection.close()
        assert await self.journal.turn_journal(0)

    async def fetch(self, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(query))
        finally:
            await connection.close()

    async def balances(self) -> dict[str, int]:
        behaviour, folding = AccountBehaviour(), Folding(self.journal)
        addresses = [Address("account", user_id(number)) for number in range(USERS)]
        found = {}
        for loaded in await self.journal.load(addresses):
            folded = await folding.fold(behaviour, loaded)
            found[loaded.address.key] = folded.state.balance
        return found


@pytest.fixture
async def empty(database_url: str, tmp_path: Path) -> AsyncIterator[Stocked]:
    stocked = Stocked(database_url, tmp_path)
    yield stocked
    await stocked.journal.close()


@pytest.fixture
async def stocked(empty: Stocked) -> Stocked:
    await empty.stock()
    return empty


def lines(directory: Path) -> list[list[object]]:
    [file] = directory.glob("*.jsonl.gz")
    text = gzip.decompress(file.read_bytes()).decode()
    return [files._decode(line)[:2] for line in text.splitlines()]


async def test_a_closed_segment_is_in_files_and_not_in_the_database(stocked: Stocked) -> None:
    """Given 120 charges in a closed segment, when it is archived, then the files have every row
    once, accounts are what they were, and each shard goes on at its next seq."""
    before = await stocked.balances()
    ends = await stocked.journal.ends(range(256))

    assert await stocked.archive()

    [manifest] = [files.check(path) for path in stocked.directory.glob("*.json")]
    assert manifest.rows == len(stocked.book.rows)
    wanted = sorted((row.shard, row.seq) for row in stocked.book.rows)
    assert [tuple(line) for line in lines(stocked.directory)] == wanted
    assert await stocked.balances() == before == dict(stocked.book.balances)
    assert await stocked.journal.ends(range(256)) == ends
    [tables] = await stocked.fetch("SELECT to_regclass('journal_1') AS gone")
    assert tables["gone"] is None
    await _goes_on(stocked, stocked.book.rows[-1])


async def _goes_on(stocked: Stocked, last: JournalRow) -> None:
    [lease] = await stocked.journal.claim([(last.shard, 1)], "one", "one-1")
    kind, version, payload = "Charged", 1, b'{"id":"x"}'
    address, seq = Address.parse(last.address), lease.last_seq + 1
    row = Row(last.shard, seq, lease.epoch, address, kind, version, payload, last.at_ms + 1)
    assert not await stocked.journal.append(0, Batch(rows=[row], incarnation="one-1"))
    rows = await stocked.journal.read({last.shard: lease.last_seq}, 10)
    assert [each.seq for each in rows] == [seq]


async def test_places_that_were_left_in_it_are_forgotten(stocked: Stocked) -> None:
    """Given two who left a queue, one before the end of what is archived, then that one goes."""
    queue = "main"
    while Address("queue", queue).slot not in {row.shard for row in stocked.book.rows}:
        queue += "x"
    shard = Address("queue", queue).slot
    end = (await stocked.journal.ends([shard]))[shard]
    assert await stocked.archive()
    places = f"(VALUES (1, {end}), (2, {end + 1}), (3, NULL)) AS p (number, left_seq)"
    await stocked.fetch(
        "INSERT INTO queue_places (queue, number, user_id, left_seq)"
        f" SELECT '{queue}', number, gen_random_uuid(), left_seq FROM {places}"
    )
    await _forget_places([stocked.dsn])
    left = await stocked.fetch("SELECT number FROM queue_places ORDER BY number")
    assert [row["number"] for row in left] == [2, 3]


STEPS = ["write_rows", "write_manifest", "check", "_execute:archived", "_execute:drop"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
async def test_a_run_killed_at_any_step_is_gone_on_with(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
) -> None:
    """Given a run that ends before or after a step, when it is run again, then the archive is
    whole, and at every moment each row was in the database or in a checked file."""
    with monkeypatch.context() as patch:
        _kill_at(patch, step, late=late)
        with pytest.raises(KilledError):
            await stocked.archive()
    [left] = await stocked.fetch("SELECT count(*) AS rows FROM journal WHERE segment > 0")
    if left["rows"] < len(stocked.book.rows):
        [manifest] = [files.check(path) for path in stocked.directory.glob("*.json")]
        assert manifest.rows == len(stocked.book.rows)

    assert await stocked.archive()

    [manifest] = [files.check(path) for path in stocked.directory.glob("*.json")]
    assert manifest.rows == len(stocked.book.rows)
    assert not await stocked.fetch("SELECT FROM pg_class WHERE relname = 'journal_1'")
    assert await stocked.balances() == dict(stocked.book.balances)


def _kill_at(patch: pytest.MonkeyPatch, step: str, *, late: bool) -> None:
    name, _, only = step.partition(":")
    where: object = Archiver if only else files
    whole: Callable[..., object] = getattr(where, name)

    if only:

        async def execute(self: Archiver, name: str, segment: int, *values: object) -> None:
            if name == only and not late:
                raise KilledError
            await whole(self, name, segment, *values)  # type: ignore[misc]
            if name == only:
                raise KilledError

        patch.setattr(where, name, execute)
    elif name == "write_rows":

        async def written(path: Path, copy: Callable[..., object]) -> str:
            if late:
                await whole(path, copy)  # type: ignore[misc]
            raise KilledError

        patch.setattr(where, name, written)
    else:

        def killed(*values: object) -> object:
            if late:
                whole(*values)
            raise KilledError

        patch.setattr(where, name, killed)


async def test_whoever_is_to_follow_the_journal_is_asked_before_its_first_run(
    database_url: str,
) -> None:
    """Given a relay and webhooks that the settings name and that have never run, then they are done
    with nothing, and so hold back every segment: they begin with the first event."""
    env = {
        "BOOKING_DATABASE_URL": database_url,
        "BOOKING_NATS_URL": "nats://127.0.0.1:1",
        "BOOKING_WEBHOOKS": "on",
    }
    offsets = await _offsets(Settings.from_env(env, serving=False))
    assert offsets == {"relay-nats": {}, "webhooks": {}}


async def test_what_a_consumer_needs_stays_and_is_named(stocked: Stocked) -> None:
    """Given a consumer one event behind in one shard, then the segment stays, and the consumer, the
    shard and its place are told; once it is done, the segment goes."""
    ends = await stocked.journal.ends({row.shard for row in stocked.book.rows})
    late = next(iter(ends))
    stocked.offsets = {"mails": ends | {late: ends[late] - 1}}

    assert not await stocked.archive()
    [reason] = stocked.told
    assert f"consumer mails needs it: in 1 shards, as in shard {late}" in reason
    assert f"at {ends[late] - 1} of {ends[late]}" in reason
    assert list(stocked.directory.iterdir()) == []

    stocked.offsets = {"mails": ends}
    assert await stocked.archive()


async def test_a_large_state_without_a_snapshot_holds_its_segment(empty: Stocked) -> None:
    """Given a queue whose events no snapshot has passed, then the segment stays and it is named."""
    empty.book.join("main", user_id(1))
    await empty.stock()

    assert not await empty.archive()
    assert "no snapshot has passed 1 entities yet (queue/main)" in empty.told[0]


async def test_a_segment_with_rows_of_later_stays(stocked: Stocked) -> None:
    assert await stocked.archive(datetime(2020, 1, 1, tzinfo=UTC))
    assert stocked.told == ["segment 1: has rows of later, and stays"]
    [left] = await stocked.fetch("SELECT count(*) AS rows FROM journal")
    assert left["rows"] == len(stocked.book.rows)


async def test_who_needs_archived_rows_says_so(stocked: Stocked) -> None:
    """Given an archived segment, then each audit refuses and tells how many rows it lacks."""
    assert (await audit(stocked.dsn)).ok
    assert await stocked.archive()

    for asked in (audit(stocked.dsn), run_queue([stocked.dsn], "main"), _follow(stocked.dsn)):
        with pytest.raises(AuditError, match="its first 120 rows are in an archive"):
            await asked


async def test_an_audit_of_the_archive_comes_to_the_same(stocked: Stocked) -> None:
    """Given a verdict over two segments, when the first is archived, then the audit of the archive
    and the rest comes to the same; and one that is damaged, or of another journal, is refused."""
    before = await audit(stocked.dsn)
    assert await stocked.archive()
    after = await audit(stocked.dsn, archive=stocked.directory)

    assert before.ok
    assert before.events == after.events == len(stocked.book.rows)
    assert msgspec.structs.replace(after, took_s=0, snapshot_ms=0) == msgspec.structs.replace(
        before, took_s=0, snapshot_ms=0
    )
    [file] = stocked.directory.glob("*.jsonl.gz")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(AuditError, match="its SHA-256 is not the one"):
        await audit(stocked.dsn, archive=stocked.directory)
    [manifest] = stocked.directory.glob("*.json")
    manifest.unlink()
    with pytest.raises(AuditError, match="is not the archive that the database knows"):
        await audit(stocked.dsn, archive=stocked.directory)


async def test_the_audit_of_the_instances_goes_on_with_the_archive(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an archived segment, when an instance audits and ``BOOKING_ARCHIVE`` names the files,
    then the whole journal is checked; without it, the outcome is what it lacks, and no verdict."""
    assert await stocked.archive()
    audits = Audits(stocked.dsn, SystemClock())
    try:
        monkeypatch.delenv("BOOKING_ARCHIVE", raising=False)
        without = await audits._outcome(0)
        monkeypatch.setenv("BOOKING_ARCHIVE", str(stocked.directory))
        whole = await audits._outcome(0)
    finally:
        await audits.close()
    assert (without.ok, without.report) == (False, None)
    assert "its first 120 rows are in an archive" in without.problem
    assert whole.report is not None
    assert (whole.ok, whole.report.events) == (True, 120)


LOAD_STEPS = ["create", "index", "attach", "forget_all_ends"]


async def load(stocked: Stocked) -> None:
    await load_back(stocked.dsn, stocked.name, 0, stocked.directory, stocked.told.append)


@pytest.mark.parametrize("step", LOAD_STEPS)
async def test_archives_are_put_back_whatever_ends_a_run(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Given two archived segments, when a run that puts them back ends at a step and
    is repeated, then the journal is what it was, row by row and by its audit; and so it is when
    they are archived and put back once more."""
    await stocked.more()
    every = "SELECT * FROM journal ORDER BY shard, seq"
    cuts = """SELECT c.* FROM journal_cuts AS c JOIN journal USING (shard, segment)
        WHERE seq = first_seq ORDER BY shard, segment"""
    before, cuts_before = await stocked.fetch(every), await stocked.fetch(cuts)
    assert await stocked.archive()
    assert len(await stocked.fetch(every)) < len(before)

    with monkeypatch.context() as patch:
        statements = dict(archive_load._SQL)
        patch.setattr(archive_load, "_SQL", statements | {step: "SELECT 1 / 0; {table}"})
        with pytest.raises(asyncpg.PostgresError):
            await load(stocked)
    assert (await audit(stocked.dsn, archive=stocked.directory)).events == len(before)
    await load(stocked)

    for _ in range(2):
        assert await stocked.fetch(every) == before
        assert await stocked.fetch(cuts) == cuts_before
        assert not await stocked.fetch("SELECT FROM journal WHERE segment = 0")
        report = await audit(stocked.dsn, archive=stocked.directory)
        assert (report.events, report.ok) == (len(before), True)
        await load(stocked)
        assert stocked.told[-1] == "nothing is archived"
        assert await stocked.archive()
        await load(stocked)


async def test_a_run_that_archives_leaves_nothing_of_one_that_was_putting_back(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a table that a killed run has filled and not put into the journal, when the next one
    archives, then the table is dropped, and the archive can still be put back."""
    assert await stocked.archive()
    with monkeypatch.context() as patch:
        statements = dict(archive_load._SQL) | {"attach": "SELECT 1 / 0"}
        patch.setattr(archive_load, "_SQL", statements)
        with pytest.raises(asyncpg.PostgresError):
            await load(stocked)
    assert await stocked.archive()
    assert not await stocked.fetch("SELECT FROM pg_class WHERE relname = 'journal_1'")
    await load(stocked)
    assert len(await stocked.fetch("SELECT FROM journal")) == len(stocked.book.rows)


async def test_only_what_was_archived_is_put_back(stocked: Stocked) -> None:
    """Given files that are others than those of the archive, then nothing is put back; nor while
    another run moves segments; and a table with other rows than the archive is dropped."""
    assert await stocked.archive()
    [file] = stocked.directory.glob("*.jsonl.gz")
    whole = file.read_bytes()
    file.write_bytes(whole + b"x")
    with pytest.raises(ArchiveError, match="its SHA-256 is not the one"):
        await load(stocked)
    file.write_bytes(whole)
    connection = await asyncpg.connect(stocked.dsn)
    try:
        async with alone(connection):
            for run in (load(stocked), stocked.archive()):
                with pytest.raises(ArchiveError, match="another run moves segments"):
                    await run
        await connection.execute("CREATE TABLE journal_1 (LIKE journal)")
    finally:
        await connection.close()
    with pytest.raises(ArchiveError, match="journal_1 is dropped"):
        await load(stocked)
    await load(stocked)
    assert (await audit(stocked.dsn)).events == len(stocked.book.rows)


async def test_a_consumer_that_comes_late_begins_once_the_archive_is_back(
    stocked: Stocked,
) -> None:
    """Given an archived journal, when a consumer begins, then it stops and says that its events
    have to be put back; once they are and it is resumed, it gets each of them once, in order."""
    assert await stocked.archive()
    tail = JournalTail(stocked.journal)
    seen: list[tuple[int, int]] = []

    async def handle(events: Sequence[Event], connection: object) -> None:
        seen.extend((event.shard, event.seq) for event in events)

    consumer = Consumer(name="late", handle=handle)
    offsets = PostgresOffsets(consumer, stocked.dsn)
    runner = ConsumerRunner(
        consumer,
        offsets,
        EventReader(stocked.journal, lambda row: None),
        tail.served,
        SystemClock(),
        random.random,
    )
    tail.runners = [runner]
    tasks = [asyncio.create_task(each.run()) for each in (tail, runner)]
    try:
        await until(lambda: runner.stopped > 0, limit_s=30)
        told = {one.trouble for one in await offsets.all()} - {""}
        assert all("are archived: they have to be put back" in words for words in told)
        assert not seen
        await load(stocked)
        await offsets.pause(False)
        runner.refresh()
        await until(lambda: len(seen) >= len(stocked.book.rows), limit_s=30)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await offsets.close()
    assert sorted(seen) == sorted((row.shard, row.seq) for row in stocked.book.rows)
    for shard in {row.shard for row in stocked.book.rows}:
        mine = [seq for one, seq in seen if one == shard]
        assert mine == sorted(mine)


async def test_a_violation_in_archived_rows_is_found(empty: Stocked) -> None:
    """Given a row of the archive under an epoch that nobody claimed, then the audit says so."""
    for number in range(3):
        empty.book.charge(user_id(number), 1_000)
    empty.book.rows[1].epoch = 7
    await empty.stock()
    assert await empty.archive()
    report = await audit(empty.dsn, archive=empty.directory)
    assert not report.ok
    assert [v.check for v in report.verdicts if v.violations] == ["I4"]


async def test_an_entity_that_cannot_be_read_keeps_its_segment(empty: Stocked) -> None:
    """Given an account whose events contradict each other, then nothing goes, and it is named."""
    empty.book.charge(user_id(5), 1_000)
    empty.book.rows[0].payload["balance"] += 1
    await empty.stock()
    with pytest.raises(ArchiveError, match=f"account/{user_id(5)} cannot be read"):
        await empty.archive()
    assert list(empty.directory.iterdir()) == []


async def _follow(dsn: str) -> None:
    await Follower([dsn], Mock()).run(asyncio.Event())


async def test_a_file_that_was_changed_is_noticed_before_anything_goes(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an archive that a disk has damaged before the run was over, then nothing leaves the
    database."""
    with monkeypatch.context() as patch:
        _kill_at(patch, "check", late=True)
        with pytest.raises(KilledError):
            await stocked.archive()
    [file] = stocked.directory.glob("*.jsonl.gz")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    with pytest.raises(ArchiveError, match="its SHA-256 is not the one"):
        await stocked.archive()
    [left] = await stocked.fetch("SELECT count(*) AS rows FROM journal")
    assert left["rows"] == len(stocked.book.rows)
