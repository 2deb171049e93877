"""What an instance shows of all entities, and the entities themselves, as the cluster's node is
given them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define

from actors.address import Address
from actors.clock import Clock
from actors.cluster.application import Application
from actors.subscription import Change, Subscription
from booking.accounts.entity import AccountBehaviour
from booking.catalogue.domain import Catalogue
from booking.entities import LEDGER, QUEUE
from booking.instance.metrics import Tallies
from booking.queue.domain.events import Policy
from booking.queue.entity import QueueBehaviour
from booking.queue.view import QueueView
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.seats.view import SeatMaps, Stocks
from booking.settings import Settings

REPLICATED = {LEDGER: True, QUEUE: False}
"""What views are made of: the ledgers' states, and the queues' events."""


class Views:
    """The views of one instance. ``started_ms`` keeps versions newer than an earlier run's."""

    def __init__(
        self, settings: Settings, clock: Clock, started_ms: int, draw: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._draw = draw
        self._policy = Policy(
            settings.queue_active_max, settings.queue_admit_per_minute, settings.active_s * 1000
        )
        self.seats = SeatMaps(Catalogue({}), first_version=started_ms * 1000)
        self._stocks = Stocks(self.seats)
        self.queues: dict[str, QueueView] = {}
        self.tallies = Tallies()

    def use(self, catalogue: Catalogue) -> None:
        """Take over a catalogue. Queues that left it stay: people may stand in them."""
        self.seats.use(catalogue)
        for name in sorted(catalogue.queues - self.queues.keys()):
            self.queues[name] = self._make_queue(name)

    def _make_queue(self, name: str) -> QueueView:
        return QueueView(
            name,
            self._policy,
            now_ms=self._clock.now_ms,
            idle_ms=self._settings.queue_idle_s * 1000,
            draw=self._draw,
            stock=self._stocks.of,
        )

    def application(
        self,
        *,
        on_lost: Callable[[int], None],
        on_gained: Callable[[Collection[int]], None],
        on_message: Callable[[str, bytes], None],
        hot: Callable[[int], Sequence[Address]],
    ) -> Application:
        """All entities, and these views as those who are told of them."""
        settings = self._settings
        rules = HoldRules(settings.hold_s * 1000, settings.holds_max, settings.rehold_ms)
        catalogue = partial(getattr, self.seats, "catalogue")
        return Application(
            behaviours=[
                AccountBehaviour(),
                SeatBehaviour(catalogue, rules),
                LedgerBehaviour(catalogue, rules),
                QueueBehaviour(lambda: self._policy),
            ],
            subscriptions=[Projections(self.seats, self.queues, self.tallies, on_lost)],
            replicated=REPLICATED,
            on_gained=on_gained,
            on_message=on_message,
            hot=hot,
        )


@define(eq=False)
class Projections(Subscription):
    """Follow what any instance decides.

    ``loaded`` gives an entity's whole state, ``committed`` what happened since; the runtime calls
    them in order for each entity, so a view that follows both has missed nothing. After ``lost``
    what the views say of that shard grows stale; ``on_lost`` has to deal with it. ``tallies`` count
    what this instance decides; the others count what they decide.
    """

    kinds_loaded = (LEDGER, QUEUE)

    _seats: SeatMaps
    _queues: Mapping[str, QueueView]
    _tallies: Tallies
    _on_lost: Callable[[int], None]

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        """Take over an entity's whole state."""
        if address.kind == LEDGER:
            self._seats.put(address.key, state)
        elif address.kind == QUEUE and (view := self._queues.get(address.key)) is not None:
            view.reset(state)

    def committed(self, change: Change) -> None:
        """Follow a change that is in the journal."""
        address = change.address
        if change.rows:
            self._tallies.note(change.events)
        if address.kind == LEDGER:
            self._seats.put(address.key, change.state)
        elif address.kind == QUEUE and (view := self._queues.get(address.key)) is not None:
            view.apply(change.events)

    def lost(self, shard: int) -> None:
        """Another instance owns the shard now."""
        self._on_lost(shard)
