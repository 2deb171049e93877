"""Fills a journal quickly: accounts with balances, written as the service would have written them.

The rows go straight into the table while no instance runs, encoded by the account's own behaviour,
with gapless seqs and under the epoch that the last owner had. `booking audit` accepts them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import asyncpg

from actors.address import SLOT_COUNT, stable_hash
from booking.accounts.domain.account import Charged
from booking.accounts.entity import AccountBehaviour
from booking.calls import new_id
from booking.entities import account_address

AMOUNT = 1_000
"""Won for each seeded charge, so a user's balance tells how many events it was made of."""
CHUNK = 50_000
"""Rows of one COPY: some 20 MB on their way at a time."""
COLUMNS = (
    "seq",
    "epoch",
    "entity",
    "at_ms",
    "shard",
    "version",
    "address",
    "type",
    "command",
    "payload",
)


async def count_events(database_url: str) -> int:
    """Rows in the journal."""
    connection = await asyncpg.connect(database_url)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM journal")
        return count
    finally:
        await connection.close()


async def seed_charges(database_url: str, users: Sequence[str], events: int) -> dict[str, int]:
    """Append ``events`` charges, spread over the users in turn; the balance of each afterwards.
    The users must be new, and no instance may run."""
    connection = await asyncpg.connect(database_url)
    try:
        last = await _by_shard(connection, "SELECT shard, max(seq) FROM journal GROUP BY shard")
        epochs = await _by_shard(connection, "SELECT shard, epoch FROM shards")
        if len(epochs) != SLOT_COUNT or not all(epochs.values()):
            raise RuntimeError("a shard was never claimed: start the service once before seeding")
        balances = dict.fromkeys(users, 0)
        rows = charge_rows(users, events, balances, last, epochs)
        while chunk := list(islice(rows, CHUNK)):
            await connection.copy_records_to_table("journal", records=chunk, columns=COLUMNS)
        # What autovacuum does by itself a minute later: without it, plans are made for an
        # empty table.
        await connection.execute("ANALYZE journal")
        return balances
    finally:
        await connection.close()


async def _by_shard(connection: asyncpg.Connection, query: str) -> dict[int, int]:
    return {row[0]: row[1] for row in await connection.fetch(query)}


def charge_rows(
    users: Sequence[str],
    events: int,
    balances: dict[str, int],
    last: dict[int, int],
    epochs: dict[int, int],
) -> Iterator[tuple[object, ...]]:
    """Journal rows of ``events`` charges, in the order of :data:`COLUMNS`. Moves on ``balances``
    (by user) and ``last`` (the last seq by shard)."""
    behaviour = AccountBehaviour()
    now_ms = time.time_ns() // 1_000_000
    places = [(user, account_address(user)) for user in users]
    hashed = [(user, place.slot, place.text, stable_hash(place.text)) for user, place in places]
    for number in range(events):
        user, shard, text, entity = hashed[number % len(hashed)]
        balances[user] += AMOUNT
        event = Charged(new_id("chg"), AMOUNT, balances[user])
        event_type, version, payload = behaviour.encode_event(event)
        last[shard] = seq = last.get(shard, 0) + 1
        epoch, content = epochs[shard], payload.decode()
        yield seq, epoch, entity, now_ms, shard, version, text, event_type, None, content
