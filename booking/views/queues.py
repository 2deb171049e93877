"""All queues of the catalogue as this instance knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from booking.domain.catalogue import Catalogue
from booking.views.queue import QueueView


class QueueViews(Mapping[str, QueueView]):
    """By name. A queue whose concerts have left the catalogue stays: people may stand in it."""

    def __init__(self, make: Callable[[str], QueueView], catalogue: Catalogue) -> None:
        self._make = make
        self._views: dict[str, QueueView] = {}
        self.use(catalogue)

    def use(self, catalogue: Catalogue) -> None:
        """Take over a changed catalogue."""
        for name in sorted(catalogue.queues - self._views.keys()):
            self._views[name] = self._make(name)

    def __getitem__(self, name: str) -> QueueView:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)
