"""Keeps the views by what the journal has taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actors.address import Address
from booking.addresses import LEDGER, QUEUE
from booking.instance.tallies import Tallies
from booking.queue.view import QueueView
from booking.seats.view import SeatMaps


class Projections:
    """The runtime's observer.

    ``loaded`` gives an entity's whole state, ``committed`` what happened since; the runtime calls
    them in order for each entity, so a view that follows both has missed nothing. After ``lost``
    what the views say of that shard grows stale; ``on_lost`` has to deal with it.
    """

    def __init__(
        self,
        seats: SeatMaps,
        queues: Mapping[str, QueueView],
        tallies: Tallies | None,
        on_lost: Callable[[int], None],
    ) -> None:
        """Without ``tallies`` for what other instances decide: they count it themselves."""
        self._seats = seats
        self._queues = queues
        self._tallies = tallies
        self._on_lost = on_lost

    def loaded(self, address: Address, state: Any) -> None:
        if address.kind == LEDGER:
            self._seats.put(address.key, state)
        elif address.kind == QUEUE and (view := self._queues.get(address.key)) is not None:
            view.reset(state)

    def committed(self, address: Address, events: Sequence[Any], state: Any) -> None:
        if self._tallies is not None:
            self._tallies.note(events)
        if address.kind == LEDGER:
            self._seats.put(address.key, state)
        elif address.kind == QUEUE and (view := self._queues.get(address.key)) is not None:
            view.apply(events)

    def lost(self, shard: int) -> None:
        self._on_lost(shard)
