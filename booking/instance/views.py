"""What an instance shows of all entities, and the entities themselves, as the cluster's node is
given them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from actors.address import Address
from actors.clock import Clock
from actors.cluster.application import Application
from booking.accounts.entity import AccountBehaviour
from booking.addresses import LEDGER, QUEUE
from booking.catalogue.domain import Catalogue
from booking.instance.projections import Projections
from booking.instance.tallies import Tallies
from booking.queue.domain.queue import Policy
from booking.queue.entity import QueueBehaviour
from booking.queue.view import QueueView
from booking.queue.views import QueueViews
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.seats.stock import Stocks
from booking.seats.view import SeatMaps
from booking.settings import Settings

SHOWN = {LEDGER: True, QUEUE: False}
"""What views are made of: the ledgers' states, and the queues' events."""


class Views:
    """The views of one instance. ``started_ms`` makes the versions of its seat maps newer than
    those of any earlier run."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, clock: Clock, started_ms: int
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._policy = Policy(
            settings.queue_active_max, settings.queue_admit_per_minute, settings.active_s * 1000
        )
        self.seats = SeatMaps(catalogue, first_version=started_ms * 1000)
        self._stocks = Stocks(self.seats)
        self.queues = QueueViews(self._make_queue, catalogue)
        self.tallies = Tallies()

    def _make_queue(self, name: str) -> QueueView:
        idle_ms = self._settings.queue_idle_s * 1000
        return QueueView(
            name,
            self._policy,
            now_ms=self._clock.now_ms,
            idle_ms=idle_ms,
            stock=self._stocks.of,
        )

    def application(
        self,
        *,
        on_lost: Callable[[int], None],
        on_gained: Callable[[Collection[int]], None],
        on_told: Callable[[str, bytes], None],
        hot: Callable[[int], Sequence[Address]],
    ) -> Application:
        """All entities, and these views as those who are told of them."""
        settings = self._settings
        rules = HoldRules(settings.hold_s * 1000, settings.holds_max, settings.rehold_ms)
        return Application(
            behaviours=[
                AccountBehaviour(),
                SeatBehaviour(lambda: self.seats.catalogue, rules),
                LedgerBehaviour(rules),
                QueueBehaviour(lambda: self._policy),
            ],
            observer=Projections(self.seats, self.queues, self.tallies, on_lost),
            follower=Projections(self.seats, self.queues, None, on_lost),
            shown=SHOWN,
            on_gained=on_gained,
            on_told=on_told,
            hot=hot,
        )
