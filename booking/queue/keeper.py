"""What a queue's owner does for it beside answering: makes the draw of an opening, and drops those
who have been silent for too long.

The queue itself cannot: it decides by what is in its journal, and neither a random seed nor the
polls of 100,000 waiting users are in there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.address import Address
from actors.clock import Clock
from actors.errors import EntityCrashedError, UnavailableError
from booking.addresses import queue_address
from booking.queue.domain.queue import DrawPlaces, DropSilent
from booking.queue.view import QueueView

log = logging.getLogger(__name__)

TICK_S = 0.1
"""A draw is late by no more."""

LOOK_EVERY_MS = 5_000
"""Between two looks for silent users: a twelfth of the default limit, at 5 ms for 100,000."""

DROPPED_TOGETHER_MAX = 250
"""Named in one command, some milliseconds of the owner's time."""


class QueueKeeper:
    """Tends the queues that this instance owns."""

    def __init__(
        self,
        *,
        ask: Callable[[Address, Any], Awaitable[Any]],
        queues: Mapping[str, QueueView],
        owns: Callable[[str], bool],
        clock: Clock,
        idle_ms: int,
        draw_seed: Callable[[], str],
    ) -> None:
        """``draw_seed`` gives a new seed that nobody can foretell."""
        self._ask = ask
        self._queues = queues
        self._owns = owns
        self._clock = clock
        self._idle_ms = idle_ms
        self._draw_seed = draw_seed
        self._owned: set[str] = set()
        self._looked_ms: dict[str, int] = {}
        self._troubled: set[str] = set()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.tend()

    async def tend(self) -> None:
        """One round over all queues. Trouble of one is none of the others'."""
        for name, view in list(self._queues.items()):
            if not self._owns(name):
                self._owned.discard(name)
                continue
            try:
                await self._tend(name, view)
            except (UnavailableError, EntityCrashedError) as error:
                if name not in self._troubled:
                    self._troubled.add(name)
                    log.warning("queue %s cannot be tended now, it goes on: %s", name, error)
            else:
                self._troubled.discard(name)

    async def _tend(self, name: str, view: QueueView) -> None:
        now_ms = self._clock.now_ms()
        if name not in self._owned:
            # Whoever owned it before may have heard of people that nobody told us of.
            view.presence.forgive(now_ms)
            self._owned.add(name)
        if 0 < view.draw_due_ms <= now_ms:
            # Should its outcome be unknown, the next one finds no draw to be made.
            await self._ask(queue_address(name), DrawPlaces(self._draw_seed()))
        if now_ms - self._looked_ms.get(name, 0) >= LOOK_EVERY_MS:
            self._looked_ms[name] = now_ms
            await self._drop_silent(view, now_ms)

    async def _drop_silent(self, view: QueueView, now_ms: int) -> None:
        silent = view.presence.silent(now_ms, self._idle_ms, view.last_number, view.awaited_since)
        for at in range(0, len(silent), DROPPED_TOGETHER_MAX):
            numbers = tuple(silent[at : at + DROPPED_TOGETHER_MAX])
            await self._ask(queue_address(view.name), DropSilent(numbers))
