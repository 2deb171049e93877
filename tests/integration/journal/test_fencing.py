"""The fence against owners that were stopped, are slow, or compete: races held open by hand, and a
torture test with processes that are stopped and go on at any moment."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

import asyncpg
import pytest

from actors.journal.contract import Lease
from actors.journal.postgres import PostgresJournal
from tests.support.journal_rows import (
    address_in,
    batch,
    ends,
    event,
    outcome,
    snapshot,
    somebody_waits_for,
    timer,
    until,
)

SHARDS = [3, 40, 171, 255]


async def test_an_append_that_waited_for_a_claim_is_fenced(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    """The claim commits after the append's snapshot was taken: the epoch has to be looked at again
    in the row's new version."""
    lost, kept = address_in(3), address_in(40)
    await journal.claim([(3, 0), (40, 0)], "one", "one-1")
    written = batch(
        rows=[event(lost, 1), event(kept, 1)],
        outcomes=[outcome(3, 1), outcome(40, 1)],
        snapshots=[snapshot(lost, 1), snapshot(kept, 1)],
        timers=[timer(lost), timer(kept)],
    )
    claim = database.transaction()
    await claim.start()
    await database.execute("UPDATE shards SET epoch = epoch + 1 WHERE shard = 3")

    append = asyncio.create_task(journal.append(0, written))
    await somebody_waits_for(database)
    await claim.commit()

    assert set(await append) == {3}
    for table in ("journal", "outcomes", "snapshots", "wakes"):
        records = await database.fetch(f"SELECT shard FROM {table}")
        assert [record["shard"] for record in records] == [40], table


async def test_an_append_that_waited_for_a_claim_that_failed_is_written(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    await journal.claim([(3, 0)], "one", "one-1")
    claim = database.transaction()
    await claim.start()
    await database.execute("UPDATE shards SET epoch = epoch + 1 WHERE shard = 3")

    append = asyncio.create_task(journal.append(0, batch(rows=[event(address_in(3), 1)])))
    await somebody_waits_for(database)
    await claim.rollback()

    assert not await append


async def test_a_claim_waits_for_an_append_under_way_and_sees_its_rows(
    journal: PostgresJournal, database: asyncpg.Connection
) -> None:
    """The last owner's rows become visible after the claim's snapshot was taken: where the shard
    ends has to be asked after the claim."""
    await journal.claim([(3, 0)], "one", "one-1")
    append = database.transaction()
    await append.start()
    await database.execute("SELECT 1 FROM shards WHERE shard = 3 AND epoch = 1 FOR SHARE")
    await database.execute(
        "INSERT INTO journal (seq, epoch, entity, at_ms, shard, version, address, type, payload)"
        " VALUES (1, 1, 0, 0, 3, 1, 'thing/x', 'Happened', '{}')"
    )

    claim = asyncio.create_task(journal.claim([(3, 1)], "two", "two-1"))
    await somebody_waits_for(database)
    await append.commit()

    assert ends(await claim) == [(3, 2, 1)]


async def test_of_two_claims_that_saw_the_same_epoch_the_second_gets_nothing(
    journal: PostgresJournal, database: asyncpg.Connection, database_url: str
) -> None:
    other = PostgresJournal(database_url)
    await other.connect()
    holder = database.transaction()
    await holder.start()
    await database.execute("SELECT 1 FROM shards WHERE shard = 3 FOR UPDATE")
    claims = [
        asyncio.create_task(each.claim([(3, 0)], name, name))
        for each, name in ((journal, "one"), (other, "two"))
    ]

    async def both_wait() -> bool:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(await database.fetchval(waiting) == 2)

    await until(both_wait)
    await holder.commit()

    assert sorted(len(leases) for leases in await asyncio.gather(*claims)) == [0, 1]
    assert await database.fetchval("SELECT count(*) FROM epochs") == 1
    await other.close()


async def torture(
    database_url: str, database: asyncpg.Connection, log_dir: Path, seconds: float
) -> None:
    """Two owners fight for the same shards; each is stopped and resumed at random moments, and a
    third party claims while they are stopped and while they are not."""
    rival = PostgresJournal(database_url)
    await rival.connect()
    logs = [log_dir / "one.log", log_dir / "two.log"]
    owners = [await _start_owner(database_url, log) for log in logs]
    cycles = 0
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            stopped = random.choice(owners)
            infos = await rival.shards()
            taken = random.sample(SHARDS, random.randint(1, len(SHARDS)))
            stopped.send_signal(signal.SIGSTOP)
            # Time is what is tortured here: at once, the claim meets the append that is still
            # under way in the server; later, it meets one that was never sent.
            await asyncio.sleep(random.choice([0, 0, random.uniform(0, 0.01)]))
            wanted = [(shard, infos[shard].epoch) for shard in taken]
            leases = await rival.claim(wanted, "rival", f"rival-{cycles}")
            await _append_to(rival, f"rival-{cycles}", leases, log_dir / "rival.log")
            stopped.send_signal(signal.SIGCONT)
            await asyncio.sleep(random.uniform(0, 0.03))
            cycles += 1
    finally:
        for owner in owners:
            owner.send_signal(signal.SIGCONT)
            assert owner.stdin is not None
            owner.stdin.close()
        statuses = [await owner.wait() for owner in owners]
        await rival.close()
    assert statuses == [0, 0]
    assert cycles > seconds * 2
    lines = [line.split() for log in [*logs, log_dir / "rival.log"] for line in _lines(log)]
    assert sum(line[0] == "fenced" for line in lines) > cycles / 4, "nobody was ever fenced"
    await _check_everything(database, lines)


async def _start_owner(database_url: str, log: Path) -> asyncio.subprocess.Process:
    with log.open("wb") as output:
        owner = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.journal_owner", database_url),
            *map(str, SHARDS),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    async def works() -> bool:
        assert owner.returncode is None
        return any("acked" in line for line in _lines(log))

    await until(works)
    return owner


async def _append_to(rival: PostgresJournal, by: str, leases: list[Lease], log: Path) -> None:
    for lease in leases:
        row = event(
            address_in(lease.shard), lease.last_seq + 1, lease.epoch, payload=b'{"rival":true}'
        )
        stored = outcome(lease.shard, random.getrandbits(128), lease.epoch)
        fenced = await rival.append(0, batch(by, rows=[row], outcomes=[stored]))
        words = (
            f"fenced {row.shard}"
            if fenced
            else f"acked {row.shard} {row.seq} {stored.command.hex()}"
        )
        with log.open("a") as file:
            file.write(words + "\n")


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def _check_everything(database: asyncpg.Connection, lines: list[list[str]]) -> None:
    claims = {
        (record["shard"], record["epoch"]): record["incarnation"]
        for record in await database.fetch("SELECT * FROM epochs")
    }
    journal: dict[int, list[asyncpg.Record]] = defaultdict(list)
    for record in await database.fetch(
        "SELECT shard, seq, epoch, payload::jsonb ->> 'incarnation' AS writer FROM journal"
        " ORDER BY shard, seq"
    ):
        journal[record["shard"]].append(record)
    assert set(journal) == set(SHARDS)
    for shard, rows in journal.items():
        assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1)), "gapless"
        epochs = [row["epoch"] for row in rows]
        assert epochs == sorted(epochs), "the epoch never falls"
        for row in rows:
            writer = row["writer"] or claims[shard, row["epoch"]]
            assert writer == claims[shard, row["epoch"]], "written by the epoch's own incarnation"
    written = {
        (record["shard"], record["command"].hex()): record["epoch"]
        for record in await database.fetch("SELECT shard, command, epoch FROM outcomes")
    }
    acked = [(int(line[1]), int(line[2]), line[3]) for line in lines if line[0] == "acked"]
    assert len({(shard, seq) for shard, seq, _ in acked}) == len(acked), "acknowledged once"
    for shard, seq, command in acked:
        assert written[shard, command] == journal[shard][seq - 1]["epoch"]


async def test_no_stale_owner_ever_writes_and_nothing_acknowledged_is_lost(
    database_url: str, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await torture(database_url, database, tmp_path, seconds=6)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_no_stale_owner_ever_writes_in_a_long_fight(
    database_url: str, database: asyncpg.Connection, tmp_path: Path
) -> None:
    await torture(database_url, database, tmp_path, seconds=60)
