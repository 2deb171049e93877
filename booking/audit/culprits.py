"""Which rows differ, when the sums of two books do: a second look at the journal. The first pass
counts each book's facts by their hash, the second names the rows that the other book lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence

import asyncpg

from booking.audit.matching import digest
from booking.audit.report import Findings
from booking.catalogue.statements import statements

CULPRITS_MAX = 1_000
"""Rows named for each book; people look at the first few."""
PAGE_ROWS = 500
"""As for the audit itself."""

_SQL = statements("booking.audit", "statements.sql")


class Books:
    """Two books over the same snapshots, one of each database."""

    def __init__(self, connections: Sequence[asyncpg.Connection]) -> None:
        self._connections = connections

    async def name_sales(self, found: Findings, on_its_way: Collection[str]) -> None:
        """Sales without their completed payment and the other way round."""
        sold, completed = await self._count("sold"), await self._count("completed")
        unpaid = await self._beyond("sold", completed, on_its_way)
        unsold = await self._beyond("completed", sold, ())
        for row, other in [(row, "completed payment") for row in unpaid] + [
            (row, "sale of its seat") for row in unsold
        ]:
            message = f"payment {row['name']} has no {other} on the same terms"
            found.report("I7", message, row["shard"], row["seq"], row["address"])
        if not unpaid and not unsold:
            found.report("I7", "sales and completed payments differ, but no row stands out")

    async def name_reservations(self, found: Findings) -> None:
        """Reservations in accounts that no seat was held for."""
        for row in await self._beyond("noted", await self._count("held"), ()):
            message = f"reservation {row['name']} is of a hold that no seat has"
            found.report("I1", message, row["shard"], row["seq"], row["address"])

    async def _count(self, book: str) -> Counter[int]:
        return Counter([digest(row["fact"]) async for row in self._rows(book)])

    async def _beyond(
        self, book: str, other: Counter[int], excused: Collection[str]
    ) -> list[asyncpg.Record]:
        """The rows of one book that the other has not, or not as often."""
        excused, seen = set(excused), Counter[int]()
        beyond: list[asyncpg.Record] = []
        async for row in self._rows(book):
            fact = digest(row["fact"])
            seen[fact] += 1
            if seen[fact] > other[fact] and row["name"] not in excused:
                beyond.append(row)
                if len(beyond) == CULPRITS_MAX:
                    break
        return beyond

    async def _rows(self, book: str) -> AsyncIterator[asyncpg.Record]:
        for connection in self._connections:
            cursor = await connection.cursor(_SQL[book])
            while page := await cursor.fetch(PAGE_ROWS):
                for row in page:
                    yield row
