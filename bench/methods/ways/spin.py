"""A lock in the process whose waiters ask again and again."""

from bench.methods.way import Command
from bench.methods.ways.lock import LockWay


class SpinWay(LockWay):
    """The simple lock with a loop in place of a queue.

    Reviewed: a loop that never waits would take the only thread from the holder, so it waits
    between tries, with jitter, longer each time up to 10 ms, which is about what a change takes.
    Nobody is served in order, and who comes late may win; that is the way itself. Like the simple
    lock it ends at the process.
    """

    name = "spin lock"

    async def start(self) -> None:
        await super().start()
        self._taken: set[int] = set()

    async def _take(self, row: int) -> bool | None:
        if row in self._taken:
            return None
        self._taken.add(row)
        return True

    async def change(self, command: Command) -> int:
        await self.until_done(lambda: self._take(command.row), 0.0002, 0.01)
        try:
            return await self.update(command)
        finally:
            self._taken.remove(command.row)
