"""All queues of the catalogue as this instance knows them."""

from __future__ import annotations

from collections.abc import Callable

from booking.catalogue.domain import Catalogue
from booking.queue.view import QueueView


class QueueViews(dict[str, QueueView]):
    """By name. A queue whose concerts have left the catalogue stays: people may stand in it."""

    def __init__(self, make: Callable[[str], QueueView], catalogue: Catalogue) -> None:
        super().__init__()
        self._make = make
        self.use(catalogue)

    def use(self, catalogue: Catalogue) -> None:
        """Take over a changed catalogue."""
        for name in sorted(catalogue.queues - self.keys()):
            self[name] = self._make(name)
