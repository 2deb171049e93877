"""Supervised tasks: the only place that creates tasks. The first that fails ends the group."""

import asyncio
import logging
from collections.abc import Coroutine

CANCEL_AGAIN_S = 1.0
"""How long a cancelled task may take before it is cancelled again."""

log = logging.getLogger(__name__)


async def comes(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event for so long at most; whether it came."""
    try:
        async with asyncio.timeout(max(within_s, 0.0)):
            return await event.wait()
    except TimeoutError:
        return False


class Tasks:
    """A group of long-running tasks of one owner."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order they were spawned, so that a run is repeatable to its end."""
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """Done when a task has failed; the result is what it raised."""

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Run it until it returns, fails or is cancelled."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}/{name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.critical("task %s failed", task.get_name(), exc_info=error)
        if not self.failed.done():
            self.failed.set_result(error)

    async def close(self) -> None:
        """Cancel all tasks, again if a library lost that, and wait until they are gone."""
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_AGAIN_S)
