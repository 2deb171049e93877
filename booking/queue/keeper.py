"""What an instance does for queues besides answering.

The owner makes the draw of an opening, and drops those who have been silent for too long, which no
event tells. All other instances report to the owner who was seen there.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from attrs import define, field

from actors.address import Address
from actors.clock import Clock
from actors.errors import EntityCrashedError, UnavailableError
from booking.entities import queue_address
from booking.queue.domain.queue import DrawPlaces, DropSilent
from booking.queue.view import QueueView

log = logging.getLogger(__name__)

TICK_S = 0.1
"""A draw is late by no more."""

LOOK_EVERY_MS = 5_000
"""Between two looks for silent users: a twelfth of the default limit, at 5 ms for 100,000."""

DROPPED_TOGETHER_MAX = 250
"""Named in one command, some milliseconds of the owner's time."""


REPORT_EVERY_S = 5.0
"""A twelfth of the default limit of silence; at 100,000 waiting users some 20 kB each time."""

MISSED_AFTER_MS = 12_000
"""Two reports of an instance have not come. Less than the shortest limit of silence there is."""

TOPIC = "presence"


@define(eq=False, kw_only=True)
class QueueKeeper:
    """Tends the queues that this instance owns. ``draw_seed`` gives a new seed that nobody can
    foretell."""

    _ask: Callable[[Address, Any], Awaitable[Any]]
    _queues: Mapping[str, QueueView]
    _owns: Callable[[str], bool]
    _clock: Clock
    _idle_ms: int
    _draw_seed: Callable[[], str]
    _owned: set[str] = field(factory=set, init=False)
    _looked_ms: dict[str, int] = field(factory=dict, init=False)
    _troubled: set[str] = field(factory=set, init=False)

    async def run(self) -> None:
        """Tend all queues every :data:`TICK_S`, for ever."""
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
            seed = self._draw_seed()
            for _ in view.draw_ahead(seed):
                await asyncio.sleep(0)
            await self._ask(queue_address(name), DrawPlaces(seed))
        if now_ms - self._looked_ms.get(name, 0) >= LOOK_EVERY_MS:
            self._looked_ms[name] = now_ms
            await self._drop_silent(view, now_ms)

    async def _drop_silent(self, view: QueueView, now_ms: int) -> None:
        silent = list[int]()
        since = view.awaited_since
        for some in view.presence.silent(now_ms, self._idle_ms, view.last_number, since):
            silent += some
            await asyncio.sleep(0)
        for at in range(0, len(silent), DROPPED_TOGETHER_MAX):
            numbers = tuple(silent[at : at + DROPPED_TOGETHER_MAX])
            await self._ask(queue_address(view.name), DropSilent(numbers))


@define(eq=False)
class PresenceReports:
    """Tells the owners of queues who was seen here, so that nobody is dropped who polls elsewhere.

    A report goes out also when it is empty: an instance that lives and is not heard of may have
    seen anybody, so until it is heard again everybody counts as seen. A lost report is made up for
    by the next poll of each user, which comes long before the limit.

    ``owner_of`` names the owner of a slot, if one is known; ``others`` are all other instances not
    taken for dead; ``send`` takes an instance, topic and body, and may lose them.
    """

    _instance: str
    _queues: Mapping[str, QueueView]
    _clock: Clock
    _owner_of: Callable[[int], str] = field(kw_only=True)
    _others: Callable[[], Collection[str]] = field(kw_only=True)
    _send: Callable[[str, str, bytes], None] = field(kw_only=True)
    _heard_ms: dict[tuple[str, str], int] = field(factory=dict, init=False)
    """By queue and instance. Bounded by the instances there have been."""

    async def run(self) -> None:
        """Report every :data:`REPORT_EVERY_S`, for ever."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            await self.report()

    async def report(self) -> None:
        """One round over all queues."""
        for name, view in list(self._queues.items()):
            owner = self._owner_of(queue_address(name).slot)
            if owner == self._instance:
                # The keeper reads the book here itself.
                self._forgive_what_was_missed(name, view)
            elif owner:
                topic = f"{TOPIC}/{name}/{self._instance}"
                self._send(owner, topic, view.presence.report())
                while view.presence.unreported:
                    await asyncio.sleep(0)
                    self._send(owner, topic, view.presence.report())

    def _forgive_what_was_missed(self, name: str, view: QueueView) -> None:
        now_ms = self._clock.now_ms()
        for instance in self._others():
            # Whoever is met for the first time has until then to report.
            heard_ms = self._heard_ms.setdefault((name, instance), now_ms)
            if now_ms - heard_ms > MISSED_AFTER_MS:
                log.info("queue %s: nothing heard of who is at %s", name, instance)
                view.presence.forgive(now_ms)

    def told(self, topic: str, body: bytes) -> None:
        """Another instance reports."""
        kind, _, rest = topic.partition("/")
        name, _, instance = rest.partition("/")
        view = self._queues.get(name)
        if kind != TOPIC or view is None:
            log.warning("another instance told of %r, which is not known here", topic[:100])
            return
        now_ms = self._clock.now_ms()
        try:
            view.presence.merge(body, now_ms)
        except ValueError as error:
            log.warning("a report that cannot be read: %s", error)
        else:
            self._heard_ms[name, instance] = now_ms
