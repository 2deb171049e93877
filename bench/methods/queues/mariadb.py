"""The queue as rows of MariaDB: as it is first written, with indexes, and with a watermark."""

from typing import Any, ClassVar

from bench.methods.database import MariaDB
from bench.methods.queues.queue import Place, Queue, Reached

_CONNECTIONS = 32
_NEXT = "SELECT number FROM place WHERE state = 'WAITING' ORDER BY number LIMIT %s"
_TAKE_OUT = "UPDATE place SET state = 'ACTIVE' WHERE number IN %s"
_LET_IN = "INSERT INTO pass (number) SELECT number FROM place WHERE number IN %s ORDER BY number"


class _Table(Queue):
    """As it is first written: a place is a row, the number its ``AUTO_INCREMENT``. Each question
    reads the table, for nothing but the number has an index; so two requests of one user at once
    both line up. Promotion is three statements, each a transaction of its own."""

    name = "mariadb"
    title = "MariaDB, no index"
    component = "mariadb"
    durability = "fsync at each commit, in groups (innodb_flush_log_at_trx_commit 1)"
    points: ClassVar[tuple[str, ...]] = ("read", "taken out", "let in")
    indexes: ClassVar[str] = ""

    async def open(self) -> None:
        self._database = MariaDB(self.url, _CONNECTIONS, self.run, opened=1)
        await self._database.open()
        await self._database.run(
            "CREATE TABLE IF NOT EXISTS place (number BIGINT AUTO_INCREMENT PRIMARY KEY,"
            " user CHAR(36) CHARACTER SET ascii,"
            f" state ENUM('WAITING', 'ACTIVE') NOT NULL DEFAULT 'WAITING' {self.indexes})",
            "CREATE TABLE IF NOT EXISTS pass (id BIGINT AUTO_INCREMENT PRIMARY KEY,"
            " number BIGINT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS gate (number BIGINT PRIMARY KEY)",
            "REPLACE INTO gate VALUES (0)",
        )

    async def close(self) -> None:
        await self._database.close()

    async def _run(self, statement: str, *values: object) -> tuple[Any, int]:
        """The rows of one statement, and the number that it gave."""
        async with self._database.session() as cursor:
            await cursor.execute(statement, values)
            return await cursor.fetchall(), cursor.lastrowid

    async def join(self, user: str) -> int:
        rows, _ = await self._run("SELECT number FROM place WHERE user = %s", user)
        if rows:
            return int(rows[0][0])
        return (await self._run("INSERT INTO place (user) VALUES (%s)", user))[1]

    async def ask(self, user: str, number: int) -> Place | None:
        rows, _ = await self._run(
            "SELECT number, state = 'ACTIVE', (SELECT COUNT(*) FROM place AS other"
            " WHERE other.state = 'WAITING' AND other.number < place.number)"
            " FROM place WHERE user = %s",
            user,
        )
        return Place(rows[0][0], rows[0][2], bool(rows[0][1])) if rows else None

    async def admit(self, count: int, reached: Reached) -> None:
        rows, _ = await self._run(_NEXT, count)
        reached("read")
        if rows:
            numbers = tuple(row[0] for row in rows)
            await self._run(_TAKE_OUT, numbers)
            reached("taken out")
            await self._run(_LET_IN, numbers)
            reached("let in")

    async def admissions(self) -> list[int]:
        rows, _ = await self._run("SELECT number FROM pass ORDER BY id")
        return [row[0] for row in rows]


class _Indexed(_Table):
    """With the indexes that it needs, and promotion in one transaction, whose lock also waits for a
    smaller number that is not committed yet. A user is found at once and cannot line up twice (who
    tries uses up a number, which is nobody's: numbers have gaps, and what is counted are rows).
    Counting still walks over all who are ahead, in the index."""

    name = "mariadb-index"
    title = "MariaDB, indexed"
    points: ClassVar[tuple[str, ...]] = (
        "locked",
        "taken out",
        "let in, not committed",
        "committed",
    )
    indexes = ", UNIQUE KEY (user), KEY (state, number)"

    async def join(self, user: str) -> int:
        insert = "INSERT INTO place (user) VALUES (%s)"
        again = " ON DUPLICATE KEY UPDATE number = LAST_INSERT_ID(number)"
        return (await self._run(insert + again, user))[1]

    async def admit(self, count: int, reached: Reached) -> None:
        async with self._database.transaction() as cursor:
            await cursor.execute(f"{_NEXT} FOR UPDATE", (count,))
            numbers = tuple(row[0] for row in await cursor.fetchall())
            reached("locked")
            if numbers:
                await cursor.execute(_TAKE_OUT, (numbers,))
                reached("taken out")
                await cursor.execute(_LET_IN, (numbers,))
                reached("let in, not committed")
        reached("committed")


class _Watermark(_Indexed):
    """The best that we know of in a relational database: nobody is counted and no row is changed.
    Letting in appends one row that says up to which number everybody is inside; how many are ahead
    is a difference. A smaller number that is committed later is inside from its start. With people
    who leave, those between would have to be counted as well."""

    name = "mariadb-watermark"
    title = "MariaDB, watermark"
    points = ("before", "committed")
    indexes = ", UNIQUE KEY (user)"

    async def ask(self, user: str, number: int) -> Place | None:
        question = "SELECT number, (SELECT MAX(number) FROM gate) FROM place WHERE user = %s"
        rows, _ = await self._run(question, user)
        if not rows:
            return None
        mine, through = rows[0]
        return Place(mine, max(0, mine - through - 1), mine <= through)

    async def admit(self, count: int, reached: Reached) -> None:
        reached("before")
        await self._run(
            "INSERT INTO gate SELECT * FROM (SELECT LEAST((SELECT MAX(number) FROM gate) + %s,"
            " (SELECT MAX(number) FROM place)) AS through) AS next"
            " WHERE through > (SELECT MAX(number) FROM gate)",
            count,
        )
        reached("committed")

    async def admissions(self) -> list[int]:
        inside = "SELECT number FROM place WHERE number <= (SELECT MAX(number) FROM gate)"
        return [row[0] for row in (await self._run(f"{inside} ORDER BY number"))[0]]


QUEUES = (_Table, _Indexed, _Watermark)
