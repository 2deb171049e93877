"""A queue with its processes: another's, and ours."""

import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import asyncpg
import msgspec

from actors.address import Address, stable_hash
from actors.connections.postgres import texts
from actors.journal.contract import Batch
from actors.journal.postgres import PostgresJournal
from bench.client import Target
from bench.methods.components import Components
from bench.methods.forked import Fork
from bench.methods.queues.edge import QUEUES, Doom, promote, serve
from bench.processes import Child, cpu_seconds, family_cpu_seconds
from bench.rig import Rig, Setup
from bench.run import audit, say

OURS = "ours"
_COMMITS = ("before the commit", "after the commit")
_DOOMED = """
import sys
from bench.methods.queues.sites import doomed
from booking.cli.main import main
doomed({file!r})
sys.exit(main())
"""


class Site:
    """A queue over a component, which is there; its edge and its promoter are started here. Use as
    a context manager: they end with it."""

    promoter: Fork | Child

    def __init__(self, name: str, components: Components, per_s: float) -> None:
        """``per_s`` people are let in each second."""
        self.queue = QUEUES[name]
        self.title, self.durability = self.queue.title, self.queue.durability
        self.points = self.queue.points
        self._per_s = per_s
        self._server = components[self.queue.component]
        self._names = (name, self._server.url, f"line_{secrets.token_hex(4)}")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._edge = self._stack.enter_context(Fork(serve, *self._names))
        self.target = Target("127.0.0.1", self._edge.answer())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def promote(self, die: str = "") -> None:
        """Start the process that lets people in (again); at the point ``die`` it dies."""
        promoter = self._stack.enter_context(Fork(promote, *self._names, self._per_s, die))
        promoter.answer()
        self.promoter = promoter

    def cpu_s(self) -> dict[str, float]:
        """CPU time used so far, by part."""
        edge, promoter = cpu_seconds(self._edge.pid), cpu_seconds(self.promoter.pid)
        servers = sum(map(family_cpu_seconds, self._server.pids()[:1]))
        return {"edge": edge, "promoter": promoter, "servers": servers}

    async def admissions(self) -> list[int]:
        """The numbers that were let in, each as often as it was, in that order."""
        queue = self.queue(*self._names[1:])
        await queue.open()
        try:
            return await queue.admissions()
        finally:
            await queue.close()

    def problems(self) -> list[str]:
        """What its own audit finds wrong, if it has one."""
        return []


class _Ours(Site):
    """The service as it ships, whose one process is edge and promoter."""

    title = "ours: journal and view"
    durability = "fsync at each commit, in groups (PostgreSQL, synchronous_commit on)"
    points = _COMMITS

    def __init__(self, per_s: float) -> None:
        settings = {"BOOKING_QUEUE_ADMIT_PER_MINUTE": str(round(per_s * 60))}
        settings["BOOKING_QUEUE_IDLE_SECONDS"] = "3600"
        self._rig = Rig(Setup(dates=1, program=_DOOMED), settings, say)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._rig)
        return self

    def promote(self, die: str = "") -> None:
        """It lets people in from its start."""
        _doom_file(self._rig.directory).write_text(die)
        if self._rig.running.ended():
            self._rig.stop_service()
            self._rig.start_service()
        self.target, self.promoter = self._rig.target, self._rig.running

    def cpu_s(self) -> dict[str, float]:
        servers = family_cpu_seconds(self._rig.database_pid) + cpu_seconds(self._rig.redis_pid)
        return {"edge": cpu_seconds(self.promoter.pid), "promoter": 0.0, "servers": servers}

    async def admissions(self) -> list[int]:
        """From the journal."""
        address = Address("queue", "main")
        query = texts("booking.audit", "statements.sql")["entity_rows"]
        connection = await asyncpg.connect(self._rig.database_url)
        rows = await connection.fetch(query, stable_hash(address.text), address.text)
        await connection.close()
        numbers: list[int] = []
        for row in rows:
            event: dict[str, Any] = msgspec.json.decode(row["payload"])
            if row["type"] == "Admitted":
                numbers += range(event["first"], event["last"] + 1)
            elif row["type"] == "Entered":
                numbers.append(event["number"])
        return numbers

    def problems(self) -> list[str]:
        return audit(self._rig)


def site(name: str, components: Components, per_s: float) -> Site:
    """The queue of this name."""
    return _Ours(per_s) if name == OURS else Site(name, components, per_s)


def _doom_file(directory: Path) -> Path:
    return directory / "doom"


def doomed(directory: str) -> None:
    """Have the service die at the point that a file names, when it appends admissions."""
    file, append = _doom_file(Path(directory)), PostgresJournal.append
    dooms: dict[str, Doom] = {}

    async def watched(self: PostgresJournal, lane: int, batch: Batch) -> object:
        if not any(row.type == "Admitted" for row in batch.rows):
            return await append(self, lane, batch)
        point = file.read_text() if file.exists() else ""
        doom = dooms.setdefault(point, Doom(point))
        doom(_COMMITS[0])
        torn = await append(self, lane, batch)
        doom(_COMMITS[1])
        return torn

    PostgresJournal.append = watched  # type: ignore[method-assign,assignment]
