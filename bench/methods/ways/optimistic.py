"""A version column: write only if nobody else has."""

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide


class OptimisticWay(DatabaseWay):
    """Read value and version, decide, write where the version is still the same; else once more.

    Reviewed: no transaction is open while it decides; a try that comes to nothing is rolled back,
    for the row lock it took is a write whose commit would wait for the disk; tries wait with
    jitter and longer each time, or all would collide again; each decides anew from what is true
    now. Under one hot row somebody may go hungry: after 20 s that is an error, and the column of
    tries says how near it is.
    """

    name = "optimistic, PostgreSQL"

    async def change(self, command: Command) -> int:
        return await self.until_done(lambda: self._attempt(command))

    async def _attempt(self, command: Command) -> int | None:
        async with self.database.session() as session:
            before, version = await self.database.read(session, command.row)
            value = decide(before, command)
            try:
                async with self.database.begun(session):
                    if not await self.database.write(session, command, value, version):
                        raise _ChangedError
            except _ChangedError:
                return None
        return value


class _ChangedError(Exception):
    """Somebody else has written; the transaction is rolled back."""


class OptimisticMariaWay(OptimisticWay):
    """The same on MariaDB.

    Reviewed: the update comes before the entry, so a try that comes to nothing writes nothing.
    """

    name = "optimistic, MariaDB"
    needs = ("mariadb",)
