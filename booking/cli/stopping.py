"""How a process that serves is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from booking.cli.outcome import FAILED

log = logging.getLogger(__name__)

EXIT_WITH_STDIN = "--exit-with-stdin"
"""Used by `booking up`: the process must not outlive the one that started it."""


class StopRequest:
    """SIGTERM or SIGINT asks for a drain; a second one, or the parent's death, ends at once."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._starting: asyncio.Task[object] | None = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    def watch_stdin(self) -> None:
        """Also end when standard input ends."""
        fd = sys.stdin.fileno()
        asyncio.get_running_loop().add_reader(fd, self._parent_wrote, fd)

    def started(self) -> None:
        """From now on there is something to drain; until now, stopping means giving up."""
        self._starting = None

    async def wait(self) -> None:
        """Return when it was asked for."""
        await self._asked.wait()

    def _ask(self) -> None:
        if self._asked.is_set():
            _end_now("stopped at once")
        self._asked.set()
        if self._starting is not None:
            self._starting.cancel()

    @staticmethod
    def _parent_wrote(fd: int) -> None:
        if not os.read(fd, 4096):
            _end_now("the process that started this one is gone")


def _end_now(why: str) -> None:
    """Like a crash, which the journal is made for: nothing acknowledged is lost."""
    log.warning(why)
    sys.stdout.flush()
    os._exit(FAILED)
