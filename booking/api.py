"""What the edge may ask of the application, and what it gets back.

The edge knows HTTP and nothing of actors; the application knows actors and nothing of HTTP. This
file is all that lies between them. Refusals are values (``Rejected``);
what is not an outcome is an exception: :mod:`actors.errors` and the few below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Literal, Protocol

import msgspec

from booking.accounts.domain.account import Reservation
from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.decision import Rejected


class Attempt(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key and 16 bytes that name the request's content."""

    key: str
    fingerprint: bytes


class QueueToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a verified queue token says."""

    user: str
    queue: str
    number: int
    issued_ms: int


class TokenError(Exception):
    """The queue token opens nothing. ``code`` is token_missing, token_invalid or token_expired."""

    def __init__(self, code: Literal["token_missing", "token_invalid", "token_expired"]) -> None:
        super().__init__(code)
        self.code = code


class QueueStatus(msgspec.Struct, frozen=True, tag=True):
    """Where a token stands in its queue."""

    token: str
    user: str
    number: int
    active: bool
    position: int
    """1 for the next to be admitted; 0 when active."""
    ahead: int
    eta_s: int
    eta_known: bool
    poll_after_ms: int
    expires_ms: int
    """End of the active time; 0 while waiting."""
    opens_ms: int = 0
    """While waiting for a scheduled opening: when it is, and the places are drawn."""
    seats_left: int | None = None
    """While waiting: free seats of all dates behind the queue whose sale is not over."""
    seats_held: int | None = None
    """Of those dates: what others hold, and may give back or let lapse."""


class NotAdmittedError(Exception):
    """The token is valid and its holder still waits."""

    def __init__(self, standing: QueueStatus) -> None:
        super().__init__("not admitted yet")
        self.standing = standing


class UnknownError(Exception):
    """What was named does not exist, or is someone else's. Both look the same from outside."""


class SeatMap(Protocol):
    """The seats of one date as this instance knows them."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def version(self) -> int:
        """Grows with every change, also over restarts of the process."""

    @property
    def held(self) -> Set[int]: ...
    @property
    def sold(self) -> Set[int]: ...


class Charged(msgspec.Struct, frozen=True):
    balance: int


class Payment(msgspec.Struct, frozen=True):
    id: str
    schedule: str
    seat: int
    amount: int
    at_ms: int


class HistoryItem(msgspec.Struct, frozen=True):
    id: str
    """Opaque; also the cursor."""
    type: Literal["CHARGE", "USE", "REFUND"]
    amount: int
    balance: int
    at_ms: int


class Page(msgspec.Struct, frozen=True):
    items: Sequence[HistoryItem | Payment]
    has_more: bool


class ReservationRecord(msgspec.Struct, frozen=True, tag=True):
    reservation: Reservation
    status: Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]


class Outcome(msgspec.Struct, frozen=True):
    """A result, and whether it is the stored one of an earlier attempt with the same key."""

    value: QueueStatus | ReservationRecord | Charged | Payment | Rejected
    replayed: bool = False


class Readiness(msgspec.Struct, frozen=True):
    """Each check by name with ``None`` for good, or what is wrong in a few words."""

    checks: Mapping[str, str | None]

    @property
    def ready(self) -> bool:
        return all(problem is None for problem in self.checks.values())


class QueueReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A queue for its operators: the rules in force, and how it is doing."""

    queue: str
    mode: Literal["open", "paused", "queue_all"]
    """``open``: who has room comes in at once; ``paused``: nobody comes in; ``queue_all``:
    everybody lines up, and comes in at the rate, also when there is room."""
    max_active: int
    """How many may be inside at once; 0 for no such limit."""
    admit_per_interval: int
    """How many may come in per interval, released evenly; 0 for no such limit."""
    interval_s: int
    active_s: int
    max_waiting: int
    opens_at: str | None
    """RFC 3339: who comes before it waits for a draw; ``None`` without a scheduled opening."""
    seed: str | None
    """Of that draw, once it was made."""
    waiting: int
    active: int
    last_number: int
    watermark: int
    admitted_last_minute: int
    left_last_minute: int


class QueueChange(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an operator wants different; a field left out stays as it is."""

    mode: Literal["open", "paused", "queue_all"] | msgspec.UnsetType = msgspec.UNSET
    max_active: int | msgspec.UnsetType = msgspec.UNSET
    admit_per_interval: int | msgspec.UnsetType = msgspec.UNSET
    interval_s: int | msgspec.UnsetType = msgspec.UNSET
    active_s: int | msgspec.UnsetType = msgspec.UNSET
    max_waiting: int | msgspec.UnsetType = msgspec.UNSET
    opens_at: str | msgspec.UnsetType | None = msgspec.UNSET


class QueueDesk(Protocol):
    """What operators may ask of a queue. Raises as the coroutines of :class:`Bookings`."""

    async def queue_report(self, queue: str) -> QueueReport:
        """:class:`UnknownError` for an unknown queue."""

    async def change_queue(self, queue: str, change: QueueChange, who: str) -> QueueReport:
        """In force when it returns. :class:`UnknownError`, and :class:`ValueError` with words for
        the operator when the rules would contradict each other."""


class Bookings(Protocol):
    """The application. Coroutines raise :class:`actors.errors.UnavailableError` and its kin,
    :class:`actors.errors.KeyReusedError` and :class:`actors.errors.KeyInFlightError`."""

    @property
    def catalogue(self) -> Catalogue: ...

    def now_ms(self) -> int: ...

    # -- queue: answered from memory but for issue and leave -------------------------------------

    async def issue(self, user: str, queue: str, attempt: Attempt | None) -> Outcome:
        """Line up. ``QueueStatus`` or ``Rejected``; :class:`UnknownError` for an unknown queue."""

    def token(self, text: str) -> QueueToken:
        """A token's content if it is authentic, else :class:`TokenError`. Says nothing of whether
        it has ended."""

    def standing(self, token: QueueToken, text: str) -> QueueStatus:
        """Where it stands, or :class:`TokenError` if it has ended. Says nothing of whether its
        holder is there: see :meth:`present`."""

    def polled(self, token: QueueToken, text: str) -> QueueStatus:
        """:meth:`present` and :meth:`standing` at once; present also if nothing can be told."""

    def admitted(self, text: str) -> QueueToken:
        """The token's content if its holder is inside now, else :class:`TokenError` or
        :class:`NotAdmittedError`. The gate before dates, seats, reservation and payment."""

    async def owners_standing(
        self, token: QueueToken, text: str, refusal: Exception
    ) -> QueueStatus:
        """Where it stands by the word of the queue's owner, if that may know more than
        :meth:`standing` and :meth:`admitted`, which refused; else raises ``refusal``."""

    async def leave(self, token: QueueToken) -> None: ...

    def present(self, token: QueueToken) -> None:
        """The token's holder is there: polls, or listens on a socket. Cheap; call it often."""

    def queue_version(self, queue: str) -> int:
        """Grows with every change of what :meth:`standing` says in this queue;
        :class:`UnknownError`."""

    # -- seats: answered from memory --------------------------------------------------------------

    def seat_map(self, schedule: str, *, fresh: bool = True) -> SeatMap:
        """:class:`UnknownError` for an unknown date. With ``fresh``
        :class:`actors.errors.UnavailableError` if what is known here is older than two seconds."""

    # -- reservations -----------------------------------------------------------------------------

    async def reserve(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome:
        """``ReservationRecord`` or ``Rejected``."""

    async def reservations(self, token: QueueToken) -> list[ReservationRecord]:
        """Newest first."""

    async def reservation(self, token: QueueToken, reservation_id: str) -> ReservationRecord:
        """:class:`UnknownError` if it is not this user's."""

    async def release(self, token: QueueToken, reservation_id: str) -> Rejected | None:
        """``None`` when the hold is given up; repeated, the same."""

    # -- money ------------------------------------------------------------------------------------

    async def charge(self, user: str, amount: int, attempt: Attempt | None) -> Outcome:
        """``Charged`` or ``Rejected``."""

    async def balance(self, user: str) -> int: ...

    async def history(self, user: str, limit: int, after: str | None) -> Page:
        """:class:`UnknownError` for a cursor that is not this user's."""

    async def pay(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome:
        """``Payment`` or ``Rejected``."""

    async def replay(
        self, token: QueueToken, call: Literal["reservation", "payment"], attempt: Attempt
    ) -> Outcome | None:
        """The stored outcome of this user's earlier call with this key, ``None`` without one;
        :class:`actors.errors.KeyReusedError` and ``KeyInFlightError`` as the call itself. It does
        nothing. For clients whose token the call itself used up, and whose answer got lost."""

    async def payments(self, user: str, limit: int, after: str | None) -> Page: ...

    async def payment(self, user: str, payment_id: str) -> Payment:
        """:class:`UnknownError` if it is not this user's."""

    # -- health -----------------------------------------------------------------------------------

    async def readiness(self) -> Readiness: ...
