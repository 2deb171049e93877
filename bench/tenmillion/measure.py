"""The run: load, ask without indexes, make them one by one, ask again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import msgspec

from actors.connections.postgres import texts
from bench.processes import cpu_seconds
from bench.record import latencies
from bench.tenmillion import data, orm
from bench.tenmillion.cases import (
    ALTERNATIVES,
    CASES,
    NOTHING,
    Case,
    alternative,
    new_reservations,
    samples,
)
from bench.tenmillion.data import Sizes, user_id
from bench.tenmillion.server import PrivateServer, take_indexes
from bench.tenmillion.stopwatch import Stopwatch, Times
from booking.readmodel import store

TABLES = ("users", "cash", "seat_reservation", "payment")
KEYS = ("users_pkey", "seat_reservation_pkey", "payment_pkey")
"""What is there before any other index. That of cash is one of those that are measured."""
SLOW_SAMPLES = 4
"""Of a query that reads a whole table."""
BATCH = 1_000
"""Rows of one write, as a consumer's batch would have."""

_MAKING = "SET maintenance_work_mem = '512MB'"
"""For whoever makes an index."""
_SQL = texts("bench.tenmillion", "measure.sql")
_WRITES = texts("booking.readmodel", "statements.sql")
Say = Callable[[str], None]


class Asked(msgspec.Struct, frozen=True):
    """One case with one set of indexes."""

    cold: Times
    """With nothing in memory, each with other values."""
    warm: Times
    """The same values again."""
    plan: str
    """``EXPLAIN (ANALYZE, BUFFERS)`` of the last one, warm."""


class IndexMade(msgspec.Struct, frozen=True):
    """What an index takes."""

    name: str
    statement: str
    seconds: float
    mb: float


class Writing(msgspec.Struct, frozen=True):
    """What writes cost with so many indexes besides the key. Rates are for each second of the
    server's CPU."""

    indexes: int
    inserted_per_s: float
    updated_per_s: float
    hot_share: float
    """Of the updates."""
    log_bytes: float
    """Written ahead for each row inserted and then updated."""


class Filling(msgspec.Struct, frozen=True):
    """Updates of balances in pages that were filled so far."""

    percent: int
    index: bool
    """Whether there is one on what is updated."""
    hot_share: float
    updated_per_s: float
    grown: float
    """The table's size afterwards over that before."""


class Column(msgspec.Struct, frozen=True):
    """What the planner believes of a column, and what is so."""

    name: str
    believed: float
    counted: int


NOT_ASKED = Asked(Times(latencies(()), latencies(())), Times(latencies(()), latencies(())), "")


class Finding(msgspec.Struct):
    """All of a run."""

    machine: str
    commit: str
    began: str
    server: str = ""
    rows: dict[str, int] = {}
    table_mb: dict[str, float] = {}
    load_s: float = 0.0
    before: dict[str, Asked] = {}
    after: dict[str, Asked] = {}
    nothing: Asked = NOT_ASKED
    """``SELECT 1`` in the same way: what the way there and back costs."""
    tried: dict[str, dict[str, Asked]] = {}
    indexes: list[IndexMade] = []
    alternatives: list[IndexMade] = []
    writing: list[Writing] = []
    filling: list[Filling] = []
    columns: list[Column] = []
    orm: list[orm.Finding] = []
    note: str = ""
    """For readers, if the figures are not all of one run."""


class Run:
    """One run on one server; :meth:`measure` does all of it."""

    def __init__(self, server: PrivateServer, sizes: Sizes, count: int, say: Say) -> None:
        self._server, self._sizes, self._count, self._say = server, sizes, count, say
        self._made: dict[str, str] = {}
        self._written = 0

    async def measure(self, machine: str, commit: str, began: str) -> Finding:
        """Everything, in the order in which indexes come to be."""
        found = Finding(machine, commit, began)
        await self._load(found)
        found.before = {
            case.key: await self._ask(case, cold=1, warm=SLOW_SAMPLES) for case in CASES
        }
        found.writing.append(await self._write(0))
        found.columns = await self._columns()
        wanted = dict.fromkeys(name for case in CASES for name in case.indexes)
        for name in wanted:
            found.indexes.append(await self._make(name, self._made[name]))
            if name != "cash_pkey":  # of another table
                found.writing.append(await self._write(len(found.writing)))
        others = [name for name in self._made if name not in {*KEYS, *wanted}]
        found.indexes += [await self._make(name, self._made[name]) for name in others]
        cold, warm = self._count // 10, self._count
        found.after = {case.key: await self._ask(case, cold, warm) for case in CASES}
        found.nothing = await self._ask(NOTHING, cold, warm)
        found.tried, found.alternatives = await self._try()
        found.filling = [await self._fill(percent) for percent in (100, 90, 80, 50)]
        found.filling.append(await self._fill(50, index=True))
        self._say("asking by an ORM")
        found.orm = await orm.measure(self._server.url, self._sizes, self._count // 4)
        return found

    async def _load(self, found: Finding) -> None:
        await store.prepare(self._server.url)
        self._say(f"loading {self._sizes.reservations:,} reservations")
        began = time.perf_counter()
        async with self._server.connection() as connection:
            found.server = f"PostgreSQL {await connection.fetchval('SHOW server_version')}"
            self._made = await take_indexes(connection, TABLES)
            await data.load(connection, self._sizes)
            found.load_s = time.perf_counter() - began
            await connection.execute(_MAKING)
            for name in KEYS:
                self._say(f"making {name}")
                await connection.execute(self._made[name])
            for table in TABLES:
                await connection.execute(f"VACUUM (ANALYZE) {table}")
                found.rows[table] = await connection.fetchval(f"SELECT count(*) FROM {table}")
                found.table_mb[table] = await _mb(connection, table)
            await connection.execute("CHECKPOINT")

    async def _ask(self, case: Case, cold: int, warm: int) -> Asked:
        self._say(f"asking: {case.title}")
        values = samples(case, self._sizes, max(cold, warm), seed=2)
        self._server.restart_cold()
        async with self._server.connection() as connection:
            first = await _timed(connection, case, values[:cold])
            await _timed(connection, case, values[cold:])
            again = await _timed(connection, case, values[:warm])
            return Asked(first, again, await _plan(connection, case, values))

    async def _make(self, name: str, statement: str) -> IndexMade:
        self._say(f"making {name}")
        async with self._server.connection() as connection:
            await connection.execute(_MAKING)
            began = time.perf_counter()
            await connection.execute(statement)
            seconds = time.perf_counter() - began
            table = "cash" if name == "cash_pkey" else "seat_reservation"
            await connection.execute(f"VACUUM (ANALYZE) {table}")
            return IndexMade(name, statement, seconds, await _mb(connection, name))

    async def _try(self) -> tuple[dict[str, dict[str, Asked]], list[IndexMade]]:
        """Other indexes, each alone beside those that are kept."""
        tried: dict[str, dict[str, Asked]] = {}
        made: list[IndexMade] = []
        for name, (rival, keys) in ALTERNATIVES.items():
            made.append(await self._make(name, alternative(name)))
            async with _without(self._server, rival):
                tried[name] = {
                    case.key: await self._ask(case, cold=self._count // 10, warm=self._count)
                    for case in CASES
                    if case.key in keys
                }
            async with self._server.connection() as connection:
                await connection.execute(f"DROP INDEX {name}")
        return tried, made

    # -- what writes cost --------------------------------------------------------------------------

    async def _write(self, indexes: int) -> Writing:
        """Insert holds in batches, then pay for them in another order."""
        count = min(50_000, self._sizes.reservations // 10)
        self._say(f"writing with {indexes} indexes")
        batches = [
            new_reservations(self._sizes, self._written + first, min(BATCH, count - first))
            for first in range(0, count, BATCH)
        ]
        self._written += count
        async with self._server.connection() as connection:
            log = await connection.fetchval("SELECT pg_current_wal_lsn()")
            await connection.execute("SELECT pg_stat_reset()")
            cpu = partial(cpu_seconds, connection.get_server_pid())
            began_s = cpu()
            for columns in batches:
                await connection.execute(_WRITES["reservations"], *columns)
            inserted_s = cpu()
            for ids, seats, *_ in batches:
                paid = ["COMPLETED"] * len(ids)
                await connection.execute(_WRITES["ended"], ids, seats, paid, [0] * len(ids))
            inserting_s, updating_s = inserted_s - began_s, cpu() - inserted_s
            share = await _hot_share(connection, "seat_reservation")
            written = await connection.fetchval(_SQL["log_since"], log)
        inserted, updated = (count / max(each, 0.01) for each in (inserting_s, updating_s))
        return Writing(indexes, inserted, updated, share, float(written) / count)

    async def _fill(self, percent: int, index: bool = False) -> Filling:
        """Change balances by chance in a copy of the table whose pages are filled so far, and that
        has an index on the balance or none."""
        count = min(100_000, self._sizes.users)
        self._say(f"updating balances in pages filled to {percent} %")
        async with self._server.connection() as connection:
            await connection.execute(
                f"CREATE TABLE filled (LIKE cash INCLUDING ALL) WITH (fillfactor = {percent})"
            )
            if index:
                await connection.execute("CREATE INDEX ON filled (balance)")
            await connection.execute("SET synchronize_seqscans = off")
            await connection.execute(_SQL["filled"], count)
            await connection.execute("VACUUM (ANALYZE) filled")
            size = await _mb(connection, "filled")
            change = _WRITES["cash"].replace("INTO cash ", "INTO filled ")
            began_s = cpu_seconds(connection.get_server_pid())
            for first in range(0, count, BATCH):
                some = range(first, min(first + BATCH, count))
                users = [user_id(n * 7_919 % count) for n in some]
                await connection.execute(change, users, *[list(some)] * 3)
            took_s = cpu_seconds(connection.get_server_pid()) - began_s
            share = await _hot_share(connection, "filled")
            grown = await _mb(connection, "filled") / size
            await connection.execute("DROP TABLE filled")
        return Filling(percent, index, share, count / max(took_s, 0.01), grown)

    async def _columns(self) -> list[Column]:
        found = []
        async with self._server.connection() as connection:
            total = await connection.fetchval(_SQL["rows_believed"])
            for name in ("user_id", "seat_id", "status"):
                believed = await connection.fetchval(_SQL["distinct_believed"], name)
                counted = await connection.fetchval(
                    f"SELECT count(*) FROM (SELECT DISTINCT {name} FROM seat_reservation) AS each"
                )
                believed = believed if believed >= 0 else -believed * total
                found.append(Column(name, believed, counted))
        return found


@asynccontextmanager
async def _without(server: PrivateServer, name: str) -> AsyncIterator[None]:
    """While one index is hidden from the planner."""
    async with server.connection() as connection:
        await connection.execute(_SQL["hide"], name, False)
    yield
    async with server.connection() as connection:
        await connection.execute(_SQL["hide"], name, True)


async def _timed(
    connection: asyncpg.Connection, case: Case, values: Sequence[tuple[Any, ...]]
) -> Times:
    """Each in one statement that is prepared before. A lock is let go again, untimed: its
    transaction would go on, and its commit is the price of what it then changes."""
    statement = await connection.prepare(case.sql)
    with Stopwatch(connection.get_server_pid()) as watch:
        for each in values:
            if case.locks:
                await connection.execute("BEGIN")
            with watch.time():
                await statement.fetch(*each)
            if case.locks:
                await connection.execute("ROLLBACK")
    return watch.times()


async def _plan(
    connection: asyncpg.Connection, case: Case, values: Sequence[tuple[Any, ...]]
) -> str:
    rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {case.sql}", *values[-1])
    return "\n".join(row[0] for row in rows)


async def _mb(connection: asyncpg.Connection, relation: str) -> float:
    return float(await connection.fetchval(_SQL["size"], relation)) / 1e6


async def _hot_share(connection: asyncpg.Connection, table: str) -> float:
    """Of the updates since the figures were reset."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    [(hot, every)] = await connection.fetch(_SQL["updates"], table)
    return float(hot) / max(float(every), 1.0)
