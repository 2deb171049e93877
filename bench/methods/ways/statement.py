"""No lock of ours: the decision is in the statement."""

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, RefusedError

CHANGES = {
    "charge": ("value + $3", "TRUE"),
    "use": ("value - $3", "value >= $3"),
    "reserve": ("$3", "value = 0"),
}
"""The next value, and when there is one."""


class StatementWay(DatabaseWay):
    """One conditional ``UPDATE`` that computes the value itself, with its entry, as one statement.

    Reviewed: one round trip, one commit, and the row is locked for the commit alone: the least that
    a database can do for one change. It ends where a rule does not fit into a condition, or spans
    more than a few rows.
    """

    name = "one statement, PostgreSQL"
    interruptible = False

    async def change(self, command: Command) -> int:
        value, condition = CHANGES[command.kind]
        async with self.database.session() as session:
            changed = await session.fetchval(
                f"WITH written AS (UPDATE state SET value = {value}, version = version + 1 "
                f"WHERE id = $2 AND {condition} RETURNING id, value) "
                "INSERT INTO entry SELECT $1, id, $3, value FROM written RETURNING value",
                *(command.id, command.row, command.amount),
            )
        if changed is None:
            raise RefusedError(command.kind)
        return int(changed)
