"""How long a service's event loop stands still: a clock inside that loop, read from outside.

:func:`watch` runs in the service's process, :class:`Stops` in the bench's. They share a file, so
that what was seen survives a kill -9.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import uvloop

TICK_S = 0.005
"""Between two looks at the clock."""
_FORMAT = struct.Struct("dd")


class Stop(msgspec.Struct, frozen=True):
    """The longest time in which the loop did not run what was due."""

    wall_ms: float
    """As clients feel it: also while other processes had the processor."""
    work_ms: float
    """The most that the loop's own thread computed without a pause: its own fault."""

    def __str__(self) -> str:
        return f"{self.wall_ms:.0f} ms ({self.work_ms:.0f} ms of it or another its own work)"


class Stops:
    """The bench's side."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(_FORMAT.pack(0.0, 0.0))

    def take(self) -> Stop:
        """The longest since this was last asked."""
        wall_s, work_s = _FORMAT.unpack(self._file.read_bytes())
        with self._file.open("r+b") as stream:
            stream.write(_FORMAT.pack(0.0, 0.0))
        return Stop(round(wall_s * 1000, 1), round(work_s * 1000, 1))


def watch(file: str) -> None:
    """Have every loop that is made from now on watched. Costs some 0.1 % of a core."""
    make = uvloop.new_event_loop
    with open(file, "r+b") as stream:
        seen = mmap.mmap(stream.fileno(), _FORMAT.size)

    def watched() -> uvloop.Loop:
        loop = make()
        loop.call_soon(_Clock(loop, seen).tick)
        return loop

    uvloop.new_event_loop = watched


class Parts:
    """Notes the largest stop of this process's own loop in each part of a run. ``say`` is told what
    is under way."""

    def __init__(
        self, stops_ms: dict[str, float], seen: Stops, say: Callable[[str], object] = str
    ) -> None:
        self._stops_ms, self._seen, self._say = stops_ms, seen, say

    @asynccontextmanager
    async def __call__(self, name: str) -> AsyncIterator[None]:
        """One part, or one more piece of it."""
        self._say(name)
        await asyncio.sleep(3 * TICK_S)
        self._seen.take()
        yield
        await asyncio.sleep(3 * TICK_S)
        self._stops_ms[name] = max(self._stops_ms.get(name, 0.0), self._seen.take().work_ms)


class _Clock:
    def __init__(self, loop: asyncio.AbstractEventLoop, seen: mmap.mmap) -> None:
        self._loop, self._seen = loop, seen
        self._wall_s, self._work_s = time.monotonic(), time.thread_time()

    def tick(self) -> None:
        wall_s, work_s = time.monotonic(), time.thread_time()
        late_s, worked_s = wall_s - self._wall_s - TICK_S, work_s - self._work_s
        longest_s, most_s = _FORMAT.unpack_from(self._seen)
        if late_s > longest_s or worked_s > most_s:
            _FORMAT.pack_into(self._seen, 0, max(late_s, longest_s), max(worked_s, most_s))
        self._wall_s, self._work_s = wall_s, work_s
        self._loop.call_later(TICK_S, self.tick)
