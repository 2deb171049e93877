"""What a large journal costs, by the commands that an operator gives.

``BOOKING_TEST_EVENTS=10000000 python -m pytest -s -m slow tests/integration/archive`` takes half an
hour on two cores, and 25 GB of the disk with the temporary directory.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from booking.embedded import EmbeddedServers
from tests.support.journals import JournalBuilder, busy_rows, write

EVENTS = int(os.environ.get("BOOKING_TEST_EVENTS", "1000000"))
LARGE = """
INSERT INTO snapshots (shard, address, seq, epoch, state, pages, pages_seq)
SELECT shard, address, max(seq), max(epoch), '', 0, max(seq) FROM journal
WHERE address LIKE 'queue/%' OR address LIKE 'ledger/%' GROUP BY shard, address
"""
"""Instances make those; neither archives nor audits read them."""

Tell = Callable[[str], None]


async def fill(dsn: str, events: int, users: int = 200_000) -> None:
    """Have a season in the journal, with the snapshots that instances make."""
    book = JournalBuilder(epoch_every=3_000)
    await write(dsn, busy_rows(book, events, users), book.epochs)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM ANALYZE journal")
        await connection.execute(LARGE)
    finally:
        await connection.close()


def command(dsn: str, tell: Tell, *words: str) -> str:
    """Run ``booking`` with these words; tells the time, its own CPU and its largest memory."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BOOKING_")}
    env |= {"BOOKING_DATABASE_URL": dsn, "BOOKING_READ_URL": dsn}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out:
        program = [sys.executable, "-P", "-m", "booking.cli.main", *words]
        with subprocess.Popen(program, env=env, stdout=out, stderr=out) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.monotonic() - began
        out.seek(0)
        printed = out.read()
    cpu_s = used.ru_utime + used.ru_stime
    memory = f"{used.ru_maxrss / 1024:.0f} MB"
    tell(f"booking {' '.join(words)}: {took_s:.1f} s, {cpu_s:.1f} s of CPU, {memory}; {printed}")
    assert process.returncode == 0, printed
    return printed


def steps(directory: Path) -> list[tuple[str, ...]]:
    """What is run, one after the other."""
    archive = ("archive", "--before", "2999-01-01", "--close", "--to", str(directory))
    return [
        ("readmodel", "rebuild"),
        ("audit",),
        archive,
        ("audit", "--archive", str(directory)),
        ("archive", "--load", str(directory)),
        ("audit",),
    ]


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_a_large_journal_is_followed_archived_and_put_back(tell: Tell) -> None:
    """Given so many events, then the tables are rebuilt from them, they are archived and put back,
    and each audit finds the same events clean."""
    with tempfile.TemporaryDirectory(prefix="booking-large-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        servers = EmbeddedServers.start(directory, durable=False, redis_url="unix:///not-needed")
        try:
            dsn = servers.database_url
            command(dsn, tell, "migrate")
            asyncio.run(fill(dsn, EVENTS))
            printed = [command(dsn, tell, *words) for words in steps(directory / "archive")]
        finally:
            servers.stop()
    clean = [re.findall(r"clean: ([\d,]+) events", text) for text in printed]
    assert clean[1] == clean[3] == clean[5] != []
