"""Transactions that behave as if there were one at a time."""

import asyncpg

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide


class SerializableWay(DatabaseWay):
    """``SERIALIZABLE``: read, decide and write without a lock; PostgreSQL ends one of two that
    could not have been one after the other, and that one is tried again.

    Reviewed: the whole transaction is repeated, with jitter, from a fresh read; rows are read by
    key and have room beside them for their next version, so predicate locks stay small and the
    index, whose pages are locked too, stays as it is. On one hot row all but one fail at a time, as
    with a version column, at the price of a whole transaction for each try.
    """

    name = "serializable, PostgreSQL"

    async def change(self, command: Command) -> int:
        return await self.until_done(lambda: self._attempt(command))

    async def _attempt(self, command: Command) -> int | None:
        try:
            async with self.database.transaction("serializable") as session:
                before, _ = await self.database.read(session, command.row)
                value = decide(before, command)
                await self.database.write(session, command, value)
        except asyncpg.SerializationError:
            return None
        return value
