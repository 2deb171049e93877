"""How often databases committed, and asked the disk to keep it, as the kernel counts for root."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncmy
import asyncpg

from bench.methods.components import Components

TRACING = Path("/sys/kernel/tracing")
CALLS = ("fsync", "fdatasync")
POSTGRES = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
MARIADB = """SELECT variable_value FROM information_schema.global_status
WHERE variable_name = 'COM_COMMIT'"""


class SyncCounter:
    """Counts ``fsync`` and ``fdatasync`` of some processes with their threads and children."""

    def __init__(self, instance: Path | None) -> None:
        self._instance = instance

    def watch(self, pids: Iterable[int]) -> None:
        """Count these from now on."""
        if self._instance is not None:
            family = {each for pid in pids for each in _family(pid)}
            (self._instance / "set_event_pid").write_text(" ".join(map(str, sorted(family))))
            (self._instance / "trace").write_text("")

    def count(self) -> int | None:
        """How many since :meth:`watch`; ``None`` where the kernel does not say."""
        if self._instance is None:
            return None
        stats = [path.read_text() for path in self._instance.glob("per_cpu/cpu*/stats")]
        found = re.findall(r"^(?:entries|overrun): (\d+)$", "\n".join(stats), re.MULTILINE)
        return sum(map(int, found))


@contextmanager
def counting() -> Iterator[SyncCounter]:
    """A counter; without root, or without this part of the kernel, one that does not know."""
    instance = TRACING / "instances" / f"ways-{os.getpid()}"
    try:
        instance.mkdir()
    except OSError:
        yield SyncCounter(None)
        return
    try:
        (instance / "options" / "event-fork").write_text("1")
        for call in CALLS:
            (instance / "events" / "syscalls" / f"sys_enter_{call}" / "enable").write_text("1")
        yield SyncCounter(instance)
    finally:
        instance.rmdir()


class CommitCounter:
    """Counts transactions that wrote: in PostgreSQL by the numbers they take, in MariaDB by the
    commits of those that were begun."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._runner = asyncio.Runner()

    def __enter__(self) -> CommitCounter:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def count(self, database: str) -> int:
        """Of a database since it was made."""
        return self._runner.run(self._count(database))

    async def _count(self, database: str) -> int:
        url = self._components[database].url
        if database == "postgres":
            connection = await asyncpg.connect(url)
            number = await connection.fetchval(POSTGRES)
            await connection.close()
            return int(number)
        maria = await asyncmy.connect(unix_socket=url, user="root")
        async with maria.cursor() as cursor:
            await cursor.execute(MARIADB)
            [number] = await cursor.fetchone()
        await maria.ensure_closed()
        return int(number)


def _family(pid: int) -> Iterator[int]:
    """Threads of a process and of its children; some may end meanwhile."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            yield int(thread)
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield from _family(int(child))
