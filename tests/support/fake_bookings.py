"""The application as dictionaries: the same rules as the real one, one process, no journal.

For tests of the edge. ``trouble`` makes the next commands fail the way a runtime does, ``gate``
makes them wait; both stand for what a dictionary cannot do by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Literal, cast

from actors.clock import ManualClock
from actors.errors import KeyInFlightError, KeyReusedError, UnavailableError
from booking.accounts.domain.account import BALANCE_MAX, Reservation
from booking.accounts.service import AccountService, Charged, HistoryItem, Page, Payment
from booking.calls import Attempt, Outcome, UnknownError
from booking.catalogue.domain import Catalogue, Schedule
from booking.domain.decision import Code, Rejected
from booking.queue.service import NotAdmittedError, QueueService
from booking.queue.tokens import QueueToken, TokenError
from booking.queue.view import QueueStatus
from booking.seats.service import ReservationRecord, SeatService
from booking.services import Readiness, Services

HOUR_MS = 3_600_000
START_MS = 1_800_000_000_000


def schedule(name: str, seats: int = 50, concert: str = "c1", **changes: Any) -> Schedule:
    """A date that can be booked from an hour before to a day after the fake's first moment."""
    fields: dict[str, Any] = {
        "id": name,
        "concert_id": concert,
        "concert_name": f"Concert {concert}",
        "open_ms": START_MS + 30 * 24 * HOUR_MS,
        "close_ms": START_MS + 30 * 24 * HOUR_MS + 2 * HOUR_MS,
        "booking_start_ms": START_MS - HOUR_MS,
        "booking_end_ms": START_MS + 24 * HOUR_MS,
        "prices": {number: 100_000 + number for number in range(1, seats + 1)},
    }
    return Schedule(**{**fields, **changes})


def catalogue(*schedules: Schedule, version: int = 1) -> Catalogue:
    return Catalogue({each.id: each for each in schedules}, version)


class FakeSeatMap:
    """The seats of one date."""

    def __init__(self, date: Schedule) -> None:
        self.schedule = date
        self.version = 1
        self.held: set[int] = set()
        self.sold: set[int] = set()


class _Place:
    def __init__(self, user: str, number: int) -> None:
        self.user = user
        self.number = number
        self.until_ms = 0
        self.ended = False


class FakeBookings:
    """The services of all subjects in one."""

    def __init__(
        self,
        dates: Catalogue,
        *,
        max_active: int = 100,
        active_ms: int = 10 * 60_000,
        hold_ms: int = 300_000,
        max_holds: int = 4,
        queue_max: int = 1_000,
    ) -> None:
        self.clock = ManualClock(START_MS)
        self.catalogue = dates
        self.max_active, self.active_ms = max_active, active_ms
        self.hold_ms, self.max_holds, self.queue_max = hold_ms, max_holds, queue_max
        self.places: dict[int, _Place] = {}
        self.changes = 0
        self.too_old = False
        """The copies of queue and seats are older than anybody may be told from."""
        self.seen: list[int] = []
        self.maps = {name: FakeSeatMap(date) for name, date in dates.schedules.items()}
        self.balances: dict[str, int] = {}
        self.items: dict[str, list[HistoryItem]] = {}
        self.paid: dict[str, list[Payment]] = {}
        self.holds: dict[str, tuple[str, Reservation]] = {}
        self.rests: dict[tuple[str, int], tuple[str, int]] = {}
        """Seats that rest, as tests want them: from whom, and until when."""
        self.outcomes: dict[tuple[str, str, str], tuple[bytes, Any]] = {}
        self.in_flight: set[tuple[str, str, str]] = set()
        self.checks: dict[str, str | None] = {"journal": None, "shards": None}
        self.trouble: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._ids = 0

    def services(self) -> Services:
        """As the edge gets them."""
        accounts = cast("AccountService", _Replaying(self, "payment"))
        seats = cast("SeatService", _Replaying(self, "reservation"))
        return Services(cast("QueueService", self), seats, accounts, self.clock, self.readiness)

    def now_ms(self) -> int:
        return self.clock.now_ms()

    # -- queue ------------------------------------------------------------------------------------

    async def issue(self, user: str, queue: str, attempt: Attempt | None) -> Outcome[Any]:
        if queue != "main":
            raise UnknownError
        return await self._once(user, "issue", attempt, lambda: self._join(user))

    def _join(self, user: str) -> QueueStatus | Rejected:
        self._tick()
        waiting = [place for place in self.places.values() if not place.ended]
        if any(place.user == user for place in waiting):
            return Rejected(Code.ALREADY_QUEUED, "You are in the queue already.")
        if len(waiting) >= self.queue_max:
            return Rejected(Code.QUEUE_FULL, "The queue is full.")
        number = len(self.places) + 1
        self.places[number] = _Place(user, number)
        self.changes += 1
        self._tick()
        token = QueueToken(user, "main", number, self.now_ms())
        return self.status(token, self.sign(token))

    def _tick(self) -> None:
        """Ends what is over and admits who may come in."""
        now = self.now_ms()
        for place in self.places.values():
            if place.until_ms and now >= place.until_ms and not place.ended:
                place.ended = True
                self.changes += 1
        active = sum(1 for place in self.places.values() if place.until_ms and not place.ended)
        for place in self.places.values():
            if active < self.max_active and not place.until_ms and not place.ended:
                place.until_ms = now + self.active_ms
                self.changes += 1
                active += 1

    def sign(self, token: QueueToken) -> str:
        content = f"{token.user}.{token.queue}.{token.number}.{token.issued_ms}"
        return f"{content}.{blake2b(content.encode(), key=b'fake', digest_size=8).hexdigest()}"

    def read_token(self, text: str) -> QueueToken:
        parts = text.split(".")
        if len(parts) != 5 or not (parts[2].isdigit() and parts[3].isdigit()):
            raise TokenError("token_invalid")
        token = QueueToken(parts[0], parts[1], int(parts[2]), int(parts[3]))
        if self.sign(token) != text:
            raise TokenError("token_invalid")
        return token

    def status(self, token: QueueToken, text: str) -> QueueStatus:
        self._check_age()
        self._tick()
        place = self.places[token.number]
        if place.ended:
            raise TokenError("token_expired")
        ahead = sum(
            1
            for other in self.places.values()
            if other.number < place.number and not other.ended and not other.until_ms
        )
        active = place.until_ms > 0
        return QueueStatus(
            token=text,
            user=token.user,
            number=token.number,
            active=active,
            position=0 if active else ahead + 1,
            ahead=0 if active else ahead,
            eta_s=0 if active else 60 * (ahead + 1),
            eta_known=True,
            poll_after_ms=5_000 if active else 1_500 + 10 * ahead,
            expires_ms=place.until_ms,
        )

    def poll(self, token: QueueToken, text: str) -> QueueStatus:
        self.mark_present(token)
        return self.status(token, text)

    def admitted(self, text: str) -> QueueToken:
        token = self.read_token(text)
        standing = self.status(token, text)
        if not standing.active:
            raise NotAdmittedError(standing)
        return token

    async def leave(self, token: QueueToken) -> None:
        await self._command()
        self.places[token.number].ended = True
        self.changes += 1

    def mark_present(self, token: QueueToken) -> None:
        self.seen.append(token.number)

    def version(self, queue: str) -> int:
        self._check_age()
        if queue != "main":
            raise UnknownError
        self._tick()
        return self.changes

    def _check_age(self) -> None:
        if self.too_old:
            raise UnavailableError("the copy is too old")

    # -- seats and reservations -------------------------------------------------------------------

    async def owners_status(self, token: QueueToken, text: str, refusal: Exception) -> QueueStatus:
        raise refusal

    def seat_map(self, schedule: str, *, fresh: bool = True) -> FakeSeatMap:
        self._check_age()
        found = self.maps.get(schedule)
        if found is None:
            raise UnknownError
        self._expire(found)
        return found

    def _expire(self, seats: FakeSeatMap) -> None:
        for _, hold in self.holds.values():
            due = not hold.paid and not hold.cancelled and self.now_ms() >= hold.until_ms
            if hold.schedule == seats.schedule.id and due and hold.seat in seats.held:
                seats.held.discard(hold.seat)
                seats.version += 1

    async def reserve(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome[Any]:
        return await self._once(
            token.user, "reservation", attempt, lambda: self._hold(token.user, schedule, seat)
        )

    def _hold(self, user: str, name: str, seat: int) -> ReservationRecord | Rejected:
        seats, now = self.seat_map(name), self.now_ms()
        if not seats.schedule.bookable(now):
            return Rejected(Code.BOOKING_CLOSED, "This date cannot be booked now.")
        if seat in seats.held or seat in seats.sold:
            return Rejected(Code.SEAT_UNAVAILABLE, "The seat is taken.")
        open_holds = [
            hold
            for owner, hold in self.holds.values()
            if owner == user and hold.schedule == name and self._status(hold) == "PENDING"
        ]
        if len(open_holds) >= self.max_holds:
            return Rejected(Code.HOLD_LIMIT_REACHED, "You hold too many seats of this date.")
        holder, rested_ms = self.rests.get((name, seat), ("", 0))
        if holder == user and now < rested_ms:
            return Rejected(Code.HOLD_COOLING_DOWN, "The seat rests.", rested_ms - now)
        price = seats.schedule.prices[seat]
        hold = Reservation(self._new_id("rsv"), name, seat, price, now, now + self.hold_ms)
        self.holds[hold.id] = (user, hold)
        seats.held.add(seat)
        seats.version += 1
        return ReservationRecord(hold, "PENDING")

    def _status(self, hold: Reservation) -> Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]:
        if hold.paid:
            return "COMPLETED"
        if hold.cancelled:
            return "CANCELLED"
        return "PENDING" if self.now_ms() < hold.until_ms else "EXPIRED"

    async def reservations(self, token: QueueToken) -> list[ReservationRecord]:
        await self._command()
        return [
            ReservationRecord(hold, self._status(hold))
            for owner, hold in reversed(self.holds.values())
            if owner == token.user
        ]

    async def reservation(self, token: QueueToken, reservation_id: str) -> ReservationRecord:
        await self._command()
        owner, hold = self.holds.get(reservation_id, ("", None))
        if hold is None or owner != token.user:
            raise UnknownError
        return ReservationRecord(hold, self._status(hold))

    async def release(self, token: QueueToken, reservation_id: str) -> Rejected | None:
        record = await self.reservation(token, reservation_id)
        if record.status == "COMPLETED":
            return Rejected(Code.ALREADY_PAID, "The seat is paid.")
        if record.status == "PENDING":
            self._replace(record.reservation, cancelled=True)
            seats = self.maps[record.reservation.schedule]
            seats.held.discard(record.reservation.seat)
            seats.version += 1
        return None

    def _replace(self, hold: Reservation, **changes: Any) -> None:
        owner, _ = self.holds[hold.id]
        fields = {name: getattr(hold, name) for name in hold.__struct_fields__}
        self.holds[hold.id] = (owner, Reservation(**{**fields, **changes}))

    # -- money ------------------------------------------------------------------------------------

    async def charge(self, user: str, amount: int, attempt: Attempt | None) -> Outcome[Any]:
        return await self._once(user, "charge", attempt, lambda: self._charge(user, amount))

    def _charge(self, user: str, amount: int) -> Charged | Rejected:
        balance = self.balances.get(user, 0) + amount
        if balance > BALANCE_MAX:
            return Rejected(Code.BALANCE_LIMIT, "The balance would be too high.")
        self._move(user, "CHARGE", amount, balance)
        return Charged(balance)

    def _move(self, user: str, kind: Literal["CHARGE", "USE"], amount: int, balance: int) -> None:
        self.balances[user] = balance
        item = HistoryItem(self._new_id("itm"), kind, amount, balance, self.now_ms())
        self.items.setdefault(user, []).insert(0, item)

    async def balance(self, user: str) -> int:
        await self._command()
        return self.balances.get(user, 0)

    async def history(self, user: str, limit: int, after: str | None) -> Page[Any]:
        await self._command()
        return _page(self.items.get(user, []), limit, after)

    async def pay(
        self, token: QueueToken, schedule: str, seat: int, attempt: Attempt | None
    ) -> Outcome[Any]:
        return await self._once(
            token.user, "payment", attempt, lambda: self._pay(token, schedule, seat)
        )

    def _pay(self, token: QueueToken, name: str, seat: int) -> Payment | Rejected:
        user, seats = token.user, self.seat_map(name)
        mine = [
            hold
            for owner, hold in self.holds.values()
            if owner == user and (hold.schedule, hold.seat) == (name, seat) and not hold.cancelled
        ]
        if not mine:
            return Rejected(Code.RESERVATION_NOT_FOUND, "You do not hold this seat.")
        hold, status = mine[-1], self._status(mine[-1])
        if status == "COMPLETED":
            return Rejected(Code.ALREADY_PAID, "You have paid for this seat.")
        if status == "EXPIRED":
            return Rejected(Code.HOLD_EXPIRED, "The hold has ended.")
        balance = self.balances.get(user, 0) - hold.price
        if balance < 0:
            return Rejected(Code.INSUFFICIENT_BALANCE, "The balance is too low.")
        self._move(user, "USE", hold.price, balance)
        payment = Payment(self._new_id("pay"), name, seat, hold.price, self.now_ms())
        self.paid.setdefault(user, []).insert(0, payment)
        self._replace(hold, paid=True, payment=payment.id)
        seats.held.discard(seat)
        seats.sold.add(seat)
        seats.version += 1
        if not any(
            owner == user and self._status(other) == "PENDING"
            for owner, other in self.holds.values()
        ):
            self.places[token.number].ended = True
        return payment

    async def payments(self, user: str, limit: int, after: str | None) -> Page[Any]:
        await self._command()
        return _page(self.paid.get(user, []), limit, after)

    async def payment(self, user: str, payment_id: str) -> Payment:
        await self._command()
        for payment in self.paid.get(user, []):
            if payment.id == payment_id:
                return payment
        raise UnknownError

    async def readiness(self) -> Readiness:
        await self.gate.wait()
        return Readiness(self.checks)

    # -- how commands are done --------------------------------------------------------------------

    def _new_id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}_{self._ids}"

    async def _command(self) -> None:
        await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble

    def _stored(self, user: str, call: str, attempt: Attempt) -> Outcome[Any] | None:
        key = (user, call, attempt.key)
        if key in self.in_flight:
            raise KeyInFlightError
        stored = self.outcomes.get(key)
        if stored is None:
            return None
        fingerprint, value = stored
        if fingerprint != attempt.fingerprint:
            raise KeyReusedError
        return Outcome(value, replayed=True)

    async def _once(
        self, user: str, call: str, attempt: Attempt | None, run: Callable[[], Any]
    ) -> Outcome[Any]:
        if attempt is None:
            await self._command()
            return Outcome(run())
        stored = self._stored(user, call, attempt)
        if stored is not None:
            return stored
        key = (user, call, attempt.key)
        self.in_flight.add(key)
        try:
            await self._command()
            value = run()
            if not (isinstance(value, Rejected) and value.retry_after_ms):
                self.outcomes[key] = (attempt.fingerprint, value)
        finally:
            self.in_flight.discard(key)
        return Outcome(value)


class _Replaying:
    """What tells the services of two subjects apart."""

    def __init__(self, bookings: FakeBookings, call: str) -> None:
        self._bookings = bookings
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bookings, name)

    async def replay(self, token: QueueToken, attempt: Attempt) -> Outcome[Any] | None:
        return self._bookings._stored(token.user, self._call, attempt)


def _page(items: list[Any], limit: int, after: str | None) -> Page[Any]:
    start = 0
    if after is not None:
        ids = [item.id for item in items]
        if after not in ids:
            raise UnknownError
        start = ids.index(after) + 1
    return Page(items[start : start + limit], len(items) > start + limit)
