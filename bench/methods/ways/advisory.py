"""PostgreSQL's lock on a number."""

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide


class AdvisoryWay(DatabaseWay):
    """``pg_advisory_xact_lock`` on the row's number, then read and write, in one transaction.

    Reviewed: the lock is the transaction's, so it cannot be left behind, and it outlives no
    connection. The read follows in a statement of its own, or it would see what was true before
    the wait. It costs what a row lock costs, and buys that what is locked need not be a row.
    """

    name = "advisory lock, PostgreSQL"

    async def change(self, command: Command) -> int:
        async with self.database.transaction() as session:
            await session.execute("SELECT pg_advisory_xact_lock($1::bigint)", command.row)
            before, _ = await self.database.read(session, command.row)
            value = decide(before, command)
            await self.database.write(session, command, value)
        return value
