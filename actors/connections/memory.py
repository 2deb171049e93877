"""What the in-memory twins of stores have in common: a connection that a test can take away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class FaultyConnection:
    """One instance's connection to a store in memory. ``store_away`` says whether the store itself
    is away, for everybody; ``refusal`` makes what a call raises then. ``latency_s`` is how long
    each call takes on the event loop's clock; 0 yields once."""

    def __init__(
        self,
        store_away: Callable[[], bool],
        refusal: Callable[[], Exception],
        *,
        latency_s: float = 0.0,
    ) -> None:
        self.latency_s = latency_s
        self._store_away = store_away
        self._refusal = refusal
        self._away = False
        self._running = asyncio.Event()
        self._running.set()

    def go_away(self) -> None:
        """Every call of this instance fails until :meth:`come_back`."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def pause(self) -> None:
        """Every call hangs until :meth:`resume`, as with a stopped server or process."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def _reach(self) -> None:
        """What every call does first."""
        await asyncio.sleep(self.latency_s)
        await self._running.wait()
        if self._away or self._store_away():
            raise self._refusal()
