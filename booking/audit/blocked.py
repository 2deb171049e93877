"""Seats that the catalogue says are blocked, held against the journal."""

from collections.abc import Sequence

import asyncpg
import msgspec

from actors.address import stable_hash
from actors.connections.postgres import texts
from booking.audit.report import Findings
from booking.catalogue.domain import Block
from booking.entities import seat_address

TOLD_WITHIN_MS = 10_000
"""A change of the catalogue reaches the instances within a second or two; what they hold until then
stays its holder's."""

_SQL = texts("booking.audit", "statements.sql")
_BLOCKS = msgspec.json.Decoder(tuple[Block, ...])


async def check_blocked(conns: Sequence[asyncpg.Connection], found: Findings) -> None:
    """Report holds of seats that had been blocked before, and are since. The first database has the
    catalogue. One that is opened meanwhile is not looked at: nothing keeps since when it was
    blocked."""
    if await conns[0].fetchval(_SQL["has_venues"]) is None:
        return  # of an earlier release
    since = {
        seat_address(row["id"], number).text: block.since_ms + TOLD_WITHIN_MS
        for row in await conns[0].fetch(_SQL["blocked"])
        for block in _BLOCKS.decode(row["blocked"])
        for number in block.numbers
        if block.since_ms
    }
    wanted = [*map(stable_hash, since)], [*since], [*since.values()]
    for conn in conns:
        for row in await conn.fetch(_SQL["held_since"], *wanted):
            words = f"was held at {row['at_ms']}, when it had been blocked"
            place = {"shard": row["shard"], "seq": row["seq"], "entity": row["address"]}
            found.report("I1", words, **place)
