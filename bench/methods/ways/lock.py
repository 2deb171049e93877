"""A lock in the process: simple, and without help from any server."""

import asyncio
from weakref import WeakValueDictionary

from bench.methods.database import DatabaseWay
from bench.methods.way import Command, decide


class LockWay(DatabaseWay):
    """An ``asyncio.Lock`` for each row, held while the row is read and written.

    Reviewed: a lock for each row, not one for all; locks that nobody wants are forgotten; the two
    statements need no transaction, for the second is one statement. Waiters are served in order.
    It is right in one process only: a second one has locks of its own, and loses updates.
    """

    name = "simple lock"
    exact_in = 1
    interruptible = False

    async def start(self) -> None:
        await super().start()
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def change(self, command: Command) -> int:
        lock = self._locks.get(command.row)
        if lock is None:
            lock = self._locks[command.row] = asyncio.Lock()
        async with lock:
            return await self.update(command)

    async def update(self, command: Command) -> int:
        """Read, decide, write: what must not happen twice at a time."""
        async with self.database.session() as session:
            before, _ = await self.database.read(session, command.row)
            value = decide(before, command)
            await self.database.write(session, command, value)
        return value
