"""The database's own lock on the row."""

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide


class PessimisticWay(DatabaseWay):
    """``SELECT ... FOR UPDATE``, then the write, in one transaction.

    Reviewed: one row is locked, by its key, so nobody locks two in different orders and deadlocks;
    the write is one statement; the transaction ends at once, and a wait for the lock has an end.
    What holds it back is that every waiter holds a connection, so a hot row takes the pool from
    all others.
    """

    name = "pessimistic, PostgreSQL"

    async def change(self, command: Command) -> int:
        async with self.database.transaction() as session:
            before, _ = await self.database.read(session, command.row, lock=True)
            value = decide(before, command)
            await self.database.write(session, command, value)
        return value


class PessimisticMariaWay(PessimisticWay):
    """The same on MariaDB: InnoDB locks the row in the primary key, and the write takes two
    statements, because an ``INSERT`` there cannot follow from an ``UPDATE`` in one.

    Reviewed: as above; both have to be in the transaction anyway. ``READ COMMITTED``, so that
    nobody locks gaps between rows.
    """

    name = "pessimistic, MariaDB"
    needs = ("mariadb",)
