"""What the in-memory twins of stores share: a connection that a test can take away."""

from __future__ import annotations

import asyncio
from typing import Protocol


class SharedStore(Protocol):
    """What all connections to one in-memory store share."""

    away: bool
    """The store's own outage: every connection fails."""


class FaultyConnection:
    """One instance's connection to a store in memory. A call that cannot reach the store raises
    ``refusal``. It takes ``latency_s`` on the event loop's clock; 0 yields once."""

    def __init__(
        self, shared: SharedStore, refusal: type[Exception], *, latency_s: float = 0.0
    ) -> None:
        self.latency_s = latency_s
        self._shared = shared
        self._refusal = refusal
        self._away = False
        self._running = asyncio.Event()
        self._running.set()

    def go_away(self) -> None:
        """Fail every call of this instance until :meth:`come_back`."""
        self._away = True

    def come_back(self) -> None:
        """End what :meth:`go_away` began."""
        self._away = False

    def pause(self) -> None:
        """Let every call hang until :meth:`resume`, as with a stopped server or process."""
        self._running.clear()

    def resume(self) -> None:
        """End what :meth:`pause` began."""
        self._running.set()

    async def close(self) -> None:
        """Close nothing: there is nothing to close."""

    async def _reach(self) -> None:
        """What every call does first."""
        await asyncio.sleep(self.latency_s)
        await self._running.wait()
        if self._away or self._shared.away:
            name = type(self).__name__.removeprefix("Memory").lower()
            raise self._refusal(f"the {name} store is out of reach")
