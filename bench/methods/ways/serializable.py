"""Transactions that behave as if there were one at a time."""

from __future__ import annotations

import asyncio
from itertools import count

import asyncpg

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide, jitter


class SerializableWay(DatabaseWay):
    """``SERIALIZABLE``: read, decide and write without a lock; PostgreSQL ends one of two that
    could not have been one after the other, and that one is tried again.

    Reviewed: the whole transaction is repeated, with jitter, from a fresh read; rows are read by
    key, so predicate locks stay small. On one hot row all but one fail at a time, as with a version
    column, at the price of a whole transaction for each try.
    """

    name = "serializable, PostgreSQL"
    needs = ("postgres",)

    async def change(self, command: Command) -> int:
        for tries in count():
            self.attempts += 1
            try:
                async with self.database.transaction("serializable") as session:
                    before, _ = await self.database.read(session, command.row)
                    value = decide(before, command)
                    await self.database.write(session, command, value)
                return value
            except asyncpg.SerializationError:
                await asyncio.sleep(jitter(tries))
        raise AssertionError("unreachable")
