"""A version column: write only if nobody else has."""

from __future__ import annotations

import asyncio
from itertools import count

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide, jitter


class OptimisticWay(DatabaseWay):
    """Read value and version, decide, write where the version is still the same; else once more.

    Reviewed: no transaction is open while it decides; tries wait with jitter and longer each time,
    or all would collide again; a decision is made anew from what is true now. There is no limit to
    the tries: under one hot row somebody may go hungry, and the attempts column says how often.
    """

    name = "optimistic, PostgreSQL"
    needs = ("postgres",)

    async def change(self, command: Command) -> int:
        for tries in count():
            self.attempts += 1
            async with self.database.session() as session:
                before, version = await self.database.read(session, command.row)
                value = decide(before, command)
                if await self.put(session, command, value, version):
                    return value
            await asyncio.sleep(jitter(tries))
        raise AssertionError("unreachable")

    async def put(self, session: object, command: Command, value: int, version: int) -> bool:
        """Write if the version is the one that was read."""
        return await self.database.write(session, command, value, version)


class OptimisticMariaWay(OptimisticWay):
    """The same on MariaDB, where the write takes two statements and so a transaction.

    Reviewed: the update comes first; if it finds another version nothing is written, and the
    transaction ends without a sync.
    """

    name = "optimistic, MariaDB"
    needs = ("mariadb",)

    async def put(self, session: object, command: Command, value: int, version: int) -> bool:
        """Write if the version is the one that was read."""
        async with self.database.begun(session):
            return await self.database.write(session, command, value, version)
