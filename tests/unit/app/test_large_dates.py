"""A date of thousands of seats is written down in pages, and whoever takes it over reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.hall import Core
from booking.domain.persistent import PAGE_KEYS
from booking.entities import ledger_address
from booking.seats.domain.ledger import Ledger
from tests.support.ledgers import holds

SEATS = 6_000
PAGE_BYTES_MAX = 64 * 1024
"""Encoded, or decoded, between two chances for other work."""


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - many conditions
            await asyncio.sleep(0.01)


def ledger_of(core: Core) -> Ledger:
    seats = core.maps.get(core.places[0][0])
    assert seats is not None
    return seats.ledger


async def test_the_snapshot_of_a_large_date_is_pages_that_are_taken_over() -> None:
    core = Core(1, SEATS)
    address = ledger_address(core.places[0][0])
    first = await core.start("one")
    await core.hold(first, SEATS)
    await core.sell(first, 10)
    await eventually(lambda: address in core.store.snapshots)
    snapshot = core.store.snapshots[address]
    assert len(snapshot.state) < 100
    assert snapshot.pages >= SEATS // 1024
    assert max(len(page.data) for page in core.store.pages[address]) < PAGE_BYTES_MAX
    known = ledger_of(core)
    second = await core.start("two")
    await core.sell(second, 1)
    now = ledger_of(core)
    assert (now.held, now.sold) == (SEATS - 11, 11)
    assert holds(now) == {seat: hold for seat, hold in holds(known).items() if seat != 11}
    assert core.problems == []
    await second.stop(timeout_s=5.0)
    await first.stop(timeout_s=5.0)


async def test_a_later_snapshot_writes_only_the_pages_that_changed() -> None:
    core = Core(1, SEATS)
    address = ledger_address(core.places[0][0])
    runtime = await core.start("one")
    await core.hold(runtime, SEATS)
    seqs = [len(core.store.rows[core.slot])]
    while len(seqs) < 3:  # one snapshot after all holds, and the next
        await core.sell(runtime, 100)
        await asyncio.sleep(0.01)
        if address in core.store.snapshots and core.store.snapshots[address].seq > seqs[-1]:
            seqs.append(core.store.snapshots[address].seq)
    _, before, after = seqs
    written = {page.number for page in core.store.pages[address] if before < page.seq <= after}
    assert written <= {number // PAGE_KEYS for number in range(1, core.sold + 1)}
    assert core.sold < SEATS - PAGE_KEYS, "the last page stays as it was"
    assert core.problems == []
    await runtime.stop(timeout_s=5.0)
