"""What the edge gets of the application: the services of each subject.

A service decides nothing: it says which entities are asked in which order, such that a repeat with
the same key after any crash ends the same.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from actors.clock import Clock
from booking.accounts.service import AccountService
from booking.calls import Freshness
from booking.catalogue.domain import Catalogue
from booking.queue.service import QueueService
from booking.seats.service import SeatService


class Readiness(msgspec.Struct, frozen=True):
    """Each check by name, with ``None`` for good or a few words on what is wrong."""

    checks: Mapping[str, str | None]

    @property
    def ready(self) -> bool:
        """Whether every check is good."""
        return all(problem is None for problem in self.checks.values())


@dataclass(frozen=True, slots=True)
class Services:
    """One instance's services, its clock, and how ready it is."""

    queue: QueueService
    seats: SeatService
    accounts: AccountService
    freshness: Freshness
    clock: Clock
    readiness: Callable[[], Awaitable[Readiness]]

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue in force."""
        return self.seats.catalogue
