"""``booking audit --follow``: checks the journal's rows as they come, beside the service.

Goes on from a stored point. A violation is told at once, and written into the operators' trail.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import groupby
from operator import itemgetter
from typing import Protocol, cast

import asyncpg
import msgspec

from actors.address import SLOT_COUNT
from actors.connections.postgres import texts
from actors.journal.contract import part_number
from actors.tasks import comes
from booking.audit.journal import JournalRow
from booking.audit.live import History, HistoryRange, HistoryRow, LiveAudit, Offset, wanted_now
from booking.audit.report import NAMED_MAX, Violation
from booking.audit.run import (
    FAILURES,
    PAYMENT_LIMIT_S,
    AuditError,
    connection,
    refuse_archived,
)
from booking.catalogue.store import DATABASE_TROUBLE
from booking.schema import parts

LOOK_EVERY_S = 0.25
"""Between two looks at a journal whose rows are all checked."""
SHARD_ROWS, LOOK_ROWS = 64, 16_384
"""Rows of each shard in one look, and of all that had more; together some 10 MB at most."""
ENTITIES_AT_ONCE, ENTITY_ROWS = 128, 64
"""Entities whose rows are asked for in one statement, and rows of each in one answer."""
STORE_EVERY_S = 5.0
TIMEOUT_S = 10.0
AWAY_PAUSE_S = 0.5
"""Between two tries to reach a database that is away."""

_SQL = texts("booking.audit", "follow.sql")
_NOW_MS = texts("booking.audit", "statements.sql")["now_ms"]


class ViolationRecord(msgspec.Struct, frozen=True):
    """A violation, as it is told and as it stands in the operators' trail."""

    check: str
    message: str
    shard: int
    seq: int
    entity: str

    def __str__(self) -> str:
        return (
            f"VIOLATION {self.check} {Violation(self.message, self.shard, self.seq, self.entity)}"
        )


class FollowListener(Protocol):
    """Hears what a follower has to say, at once."""

    def violation(self, found: ViolationRecord) -> None:
        """A rule is broken."""

    def caught_up(self, rows: int) -> None:
        """All rows there were are checked, so many in this run; from now on each as it comes."""

    def away(self, words: str) -> None:
        """A database cannot be asked; it is tried again until it can."""


class Follower:
    """One run over one journal in one or more databases."""

    def __init__(
        self,
        dsns: Sequence[str],
        reporter: FollowListener,
        payment_limit_s: float = PAYMENT_LIMIT_S,
    ) -> None:
        self._dsns, self._reporter = dsns, reporter
        self._limit_ms = int(payment_limit_s * 1000)
        self._conns: list[asyncpg.Connection] = []
        self._audit = LiveAudit({})
        self._checked_ms = dict.fromkeys(range(SLOT_COUNT), 0)
        """By shard: all rows committed before are checked."""
        self._behind: set[int] = set()
        """Shards that had more rows than the last look took."""
        self._since_ms = 0
        """Since when the databases could be read: nothing is overdue that could not end."""
        self._store_s = 0.0
        self._backlog: list[ViolationRecord] = []
        """Told, and not in the trail yet."""
        self.rows = 0
        """Checked in this run."""
        self.violations = 0
        """Told in this run."""

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``, then store where the next run goes on. Raises :class:`AuditError` if the
        databases cannot be read when it begins."""
        away = caught_up = False
        async with AsyncExitStack() as stack:
            try:
                await parts.check(self._dsns)
                await self._begin(stack)
            except FAILURES as error:
                raise AuditError(str(error) or type(error).__name__) from error
            while not stop.is_set():
                try:
                    if away:
                        await self._connect(stack)
                        away = False
                    at_end = await self._look()
                except DATABASE_TROUBLE as error:
                    if not away:
                        self._reporter.away(str(error) or type(error).__name__)
                    away = True
                    await comes(stop, AWAY_PAUSE_S)
                    continue
                if at_end and not caught_up:
                    self._reporter.caught_up(self.rows)
                    caught_up = True
                await comes(stop, LOOK_EVERY_S if at_end else 0)
            if not away:
                await self._store(asyncio.get_running_loop().time())

    async def _begin(self, stack: AsyncExitStack) -> None:
        await self._connect(stack)
        for conn in self._conns:
            await refuse_archived(conn)
        rows = [row for conn in self._conns for row in await conn.fetch(_SQL["offsets"])]
        self._audit = LiveAudit({shard: Offset(*rest) for shard, _, *rest in rows})
        self._checked_ms |= {shard: checked_ms for shard, checked_ms, *_ in rows}

    async def _connect(self, stack: AsyncExitStack) -> None:
        await stack.aclose()
        self._conns = []
        for dsn in self._dsns:
            conn = await asyncio.wait_for(stack.enter_async_context(connection(dsn)), TIMEOUT_S)
            await conn.execute(f"SET statement_timeout = '{TIMEOUT_S:.0f}s'")
            self._conns.append(conn)
        self._since_ms = await self._now_ms()

    async def _now_ms(self) -> int:
        return int(await self._conns[0].fetchval(_NOW_MS, timeout=TIMEOUT_S))

    # -- one look ----------------------------------------------------------------------------------

    async def _look(self) -> bool:
        """Check what is there, at most so many rows of each shard; whether that was all."""
        now_ms = await self._now_ms()
        for number, conn in enumerate(self._conns):
            await self._read(conn, number, now_ms)
        await self._look_up()
        if now_ms - self._since_ms > self._limit_ms:
            self._audit.overdue(now_ms - self._limit_ms)
        await self._tell()
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._store_s:
            await self._store(now_s)
        return not self._behind

    async def _read(self, conn: asyncpg.Connection, number: int, now_ms: int) -> None:
        audit, count = self._audit, len(self._conns)
        shards = [s for s in range(SLOT_COUNT) if part_number(s, count) == number]
        offsets = [audit.offsets.get(shard, Offset()) for shard in shards]
        share = max(SHARD_ROWS, LOOK_ROWS // max(len(self._behind), 1))
        limits = {shard: share if shard in self._behind else SHARD_ROWS for shard in shards}
        seqs = [offset.seq for offset in offsets]
        rows = await conn.fetch(
            _SQL["page"], shards, seqs, list(limits.values()), timeout=TIMEOUT_S
        )
        found = {shard: list(piece) for shard, piece in groupby(rows, itemgetter(0))}
        pages: dict[int, list[JournalRow]] = {}
        for shard, offset in zip(shards, offsets, strict=True):
            page = cast("list[JournalRow]", found.get(shard, []))
            if not offset.seq:
                pages[shard] = page
            elif page and Offset(page[0][1], page[0][2], page[0][4]) == offset:
                pages[shard] = page[1:]
            else:
                await self._rewind(conn, shard, offset)
        await self._prepare(conn, pages)
        for shard in shards:
            at_end = len(found.get(shard, [])) < limits[shard] and shard in pages
            (self._behind.discard if at_end else self._behind.add)(shard)
            page = pages.get(shard, [])
            audit.take(shard, page, at_end=at_end)
            self.rows += len(page)
            if at_end:
                self._checked_ms[shard] = now_ms

    async def _rewind(self, conn: asyncpg.Connection, shard: int, offset: Offset) -> None:
        row = await conn.fetchrow(
            _SQL["before_epoch"], shard, offset.epoch, offset.seq, timeout=TIMEOUT_S
        )
        back = Offset(*row) if row is not None else Offset()
        words = (
            f"seq {offset.seq} of epoch {offset.epoch} was checked and is not there any more: the"
            f" database has lost its last rows; checking again from seq {back.seq + 1}"
        )
        self._audit.rewind(shard, back, words)

    async def _prepare(self, conn: asyncpg.Connection, pages: dict[int, list[JournalRow]]) -> None:
        """Have in memory what these rows need: entities, and who claimed their epochs."""
        wanted: list[HistoryRange] = []
        epochs: dict[int, set[int]] = {}
        for shard, page in pages.items():
            wanted += self._audit.wanted(shard, page)
            known = self._audit.shard(shard).lease.incarnations
            if new := {row[2] for row in page} - known.keys():
                epochs[shard] = new
        if epochs:
            every = list(set().union(*epochs.values()))
            for row in await conn.fetch(_SQL["leases"], list(epochs), every, timeout=TIMEOUT_S):
                lease = self._audit.shard(row["shard"]).lease
                lease.epoch = row["last"]
                if row["epoch"] is not None:
                    lease.incarnations |= {row["epoch"]: row["incarnation"]}
        history = History()
        await self._fold(conn, wanted, history)
        self._audit.adopt(wanted, history)

    async def _fold(
        self, conn: asyncpg.Connection, wanted: Sequence[HistoryRange], history: History
    ) -> None:
        """Fold entities from their rows, which come in pages as everything does."""
        left = [(each, 0) for each in wanted]
        while left:
            now, left = left[:ENTITIES_AT_ONCE], left[ENTITIES_AT_ONCE:]
            rows = await conn.fetch(
                _SQL["history"],
                [each.entity for each, _ in now],
                [each.address for each, _ in now],
                [after for _, after in now],
                [each.before for each, _ in now],
                ENTITY_ROWS if len(now) > 1 else ENTITY_ROWS * ENTITIES_AT_ONCE,
                timeout=TIMEOUT_S,
            )
            for place, piece in groupby(rows, itemgetter(0)):
                each, _ = now[place - 1]
                page = [tuple(row)[1:] for row in piece]
                history.take(each.address, cast("list[HistoryRow]", page))
                if len(page) >= ENTITY_ROWS:
                    left.append((each, page[-1][0]))

    async def _look_up(self) -> None:
        history, count = History(), len(self._conns)
        wanted = [wanted_now(address) for address in self._audit.to_look_up()]
        for number, conn in enumerate(self._conns):
            here = [each for each in wanted if part_number(each.shard, count) == number]
            await self._fold(conn, here, history)
        self._audit.look_up(history)

    # -- what comes of it --------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell what was found, each once: the trail says whether a run before has."""
        told, self._audit.found.told = self._audit.found.told, []
        counts: dict[str, int] = {}
        for check, violation in told:
            counts[check] = counts.get(check, 0) + 1
            place = (violation.shard, violation.seq, violation.entity)
            if counts[check] <= NAMED_MAX:
                self._backlog.append(ViolationRecord(check, violation.message, *place))
        for check, count in counts.items():
            if count > NAMED_MAX:
                self._backlog.append(
                    ViolationRecord(check, f"and {count - NAMED_MAX:,} more at once", -1, 0, "")
                )
        while self._backlog:
            found = self._backlog[0]
            text = msgspec.json.encode(found).decode()
            new = await self._conns[0].fetchval(_SQL["note_violation"], text, timeout=TIMEOUT_S)
            del self._backlog[0]
            if new is not None:
                self.violations += 1
                self._reporter.violation(found)

    async def _store(self, now_s: float) -> None:
        ends = self._audit.stored()
        for number, conn in enumerate(self._conns):
            shards = [s for s in ends if part_number(s, len(self._conns)) == number]
            await conn.execute(
                _SQL["store"],
                shards,
                [ends[shard] for shard in shards],
                [self._checked_ms[shard] for shard in shards],
                timeout=TIMEOUT_S,
            )
        self._store_s = now_s + STORE_EVERY_S
