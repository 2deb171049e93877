"""A consumer of the journal that publishes public events to a broker.

A broker keeps what it is sent in order, but after a failure in the middle nobody knows which of the
messages in flight it has. So two events of one subject are never in flight together: events go in
waves, in each of which all subjects are different, and a wave begins when the one before has been
acknowledged whole. The offset moves after the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from attrs import define, field

from actors.consumers.contract import Consumer, Event
from booking.events.contract import CloudEvent
from booking.events.mapping import translate
from booking.events.places import KINDS, keep, places_of

LIMIT_S = 30.0
"""Of one batch, which is up to 500 admissions of 500 people each."""
PIECE = 5_000
"""Public events that are made at a time: some megabytes."""
ANSWER_MAX_S = 5.0
"""For a broker to acknowledge a wave."""


class Broker(Protocol):
    """Where events are published."""

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """Return when the broker has acknowledged all of these, whose subjects are different.
        Raises :class:`OSError` if it may have none, some or all of them."""

    async def close(self) -> None:
        """Close every connection."""


@define(eq=False)
class Relay:
    """Publishes to one broker, which ``make`` makes when there is something to publish."""

    name: str
    """Of its consumer."""
    _source: str
    """Of all events."""
    _make: Callable[[], Broker]
    _broker: Broker | None = field(default=None, init=False)

    def consumer(self) -> Consumer:
        """It follows the journal from the beginning."""
        return Consumer(name=self.name, handle=self.handle, kinds=KINDS, limit_s=LIMIT_S)

    async def handle(self, events: Sequence[Event], connection: Any) -> None:
        """Publish what these events are to the outside."""
        if self._broker is None:
            self._broker = self._make()
        places = await places_of(connection, events)
        told = translate(events, self._source, places)
        while piece := list(islice(told, PIECE)):
            for wave in waves(piece):
                await self._broker.publish(wave)
        await keep(connection, places)

    async def close(self) -> None:
        """Close every connection."""
        if self._broker is not None:
            await self._broker.close()


def waves(events: Iterable[CloudEvent]) -> Iterator[Sequence[CloudEvent]]:
    """The same events, those of one subject in different waves, in order."""
    found: list[list[CloudEvent]] = []
    taken: dict[str, int] = {}
    for event in events:
        wave = taken[event.subject] = taken.get(event.subject, -1) + 1
        if wave == len(found):
            found.append([])
        found[wave].append(event)
    yield from found
