"""Rows for tests of the journal, and addresses that lie in a wanted shard."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from actors.address import Address
from actors.journal.contract import Batch, Lease, OutcomeRow, Row, SnapshotRow, TimerEntry

AT_MS = 1_700_000_000_000
"""In the past: a journal takes nothing from the future."""


def address_in(shard: int, number: int = 0) -> Address:
    """The ``number``-th of the test addresses in this shard."""
    matching = (
        address
        for n in itertools.count()
        if (address := Address("thing", f"key-{n}", "x" if n % 2 else "")).slot == shard
    )
    return next(itertools.islice(matching, number, None))


def batch(by: str = "one-1", **parts: Any) -> Batch:
    """What the run ``by`` decided."""
    return Batch(**parts, incarnation=by)


def ends(leases: Sequence[Lease]) -> list[tuple[int, int, int]]:
    """Shard, epoch and last seq of each."""
    return [(lease.shard, lease.epoch, lease.last_seq) for lease in leases]


def event(address: Address, seq: int, epoch: int = 1, type_: str = "Happened", **more: Any) -> Row:
    values: dict[str, Any] = {
        "shard": address.slot,
        "seq": seq,
        "epoch": epoch,
        "address": address,
        "type": type_,
        "version": 1,
        "payload": b'{"n":%d}' % seq,
        "at_ms": AT_MS + seq,
    }
    return Row(**(values | more))


def outcome(
    shard: int, number: int, epoch: int = 1, reply: bytes = b"done", at_ms: int = AT_MS
) -> OutcomeRow:
    command = number.to_bytes(16, "big")
    return OutcomeRow(shard, epoch, command, b"f" * 16, reply, at_ms)


def snapshot(
    address: Address, seq: int, epoch: int = 1, state: bytes = b"\x00state"
) -> SnapshotRow:
    return SnapshotRow(address.slot, epoch, address, seq, state)


def timer(address: Address, armed: bool = True, epoch: int = 1) -> TimerEntry:
    return TimerEntry(address.slot, epoch, address, armed)


async def until(condition: Callable[[], Awaitable[bool]], limit_s: float = 30.0) -> None:
    """Wait until the condition holds; fails after the limit."""
    deadline = time.monotonic() + limit_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        await asyncio.sleep(0.01)


async def somebody_waits_for(database: asyncpg.Connection, times: int = 1) -> None:
    """Wait until statements of others wait for locks of this connection."""
    # Not pg_stat_activity, of which a transaction sees for ever what it saw first.
    blocked = (
        "SELECT count(DISTINCT pid) FROM pg_locks"
        " WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )

    async def waiting() -> bool:
        return bool(await database.fetchval(blocked) == times)

    await until(waiting)
