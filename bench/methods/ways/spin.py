"""A lock in the process whose waiters ask again and again."""

from __future__ import annotations

import asyncio

from bench.methods.way import Command, jitter
from bench.methods.ways.lock import LockWay


class SpinWay(LockWay):
    """The simple lock with a loop in place of a queue.

    Reviewed: a loop that never waits would take the only thread from the holder, so it waits
    between tries, with jitter and longer each time. Nobody is served in order, and who comes late
    may win; that is the way itself. Like the simple lock it ends at the process.
    """

    name = "spin lock"

    async def start(self) -> None:
        await super().start()
        self._taken: set[int] = set()

    async def change(self, command: Command) -> int:
        tries = 0
        self.attempts += 1
        while command.row in self._taken:
            await asyncio.sleep(jitter(tries, 0.0002, 0.01))
            tries += 1
            self.attempts += 1
        self._taken.add(command.row)
        try:
            return await self.update(command)
        finally:
            self._taken.remove(command.row)
