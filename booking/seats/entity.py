"""A seat, and the ledger of its date, as actors of one slot.

Commands about one seat go to the seat's mailbox; the ledger is its companion. Those about several
go to the ledger's, with the seats as its companions, and so does the timer that ends holds whose
time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from actors.address import Address
from actors.behaviour import Ask, Behaviour, CommandKey, Decision, TimerFired, Turn
from booking.accounts.domain.account import (
    NoteOrder,
    NoteOutcome,
    NoteReservation,
    OrderRecord,
    OutcomeNoted,
    Reservation,
    ReservationKept,
    ReservationRecord,
)
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Rejected
from booking.entities import (
    LEDGER,
    SEAT,
    Codec,
    account_address,
    ledger_address,
    seat_address,
)
from booking.seats.domain.best import Hall, seating_of
from booking.seats.domain.ledger import (
    EMPTY_LEDGER,
    CoolDown,
    Entry,
    Ledger,
    LedgerEvent,
    LedgerHold,
    LedgerPage,
    due_seats,
    evolve_ledger,
    ledger_next_wake,
    ledger_of,
    with_page,
    word_of,
)
from booking.seats.domain.order import (
    OrderCommand,
    OrderDecision,
    OrderPlaced,
    OrderReply,
    PlaceOrder,
    decide_order,
    placed_seats,
)
from booking.seats.domain.seat import (
    FREE,
    DueDecision,
    HoldGranted,
    HoldSeat,
    SeatCommand,
    SeatEvent,
    SeatReply,
    SeatState,
    Terms,
    decide_seat,
    evolve_seat,
    expire_due,
)

EXPIRED_TOGETHER_MAX = 100
"""Holds ended in one turn; the ledger wakes again at once for the rest, so that other commands of
the date get their turn in between."""

EXPIRED_TOGETHER_MS = 50
"""Holds that end within this time of the first are looked at in the same turn."""


class HoldRules(msgspec.Struct, frozen=True):
    """What the settings say of every hold."""

    hold_ms: int
    max_holds: int
    """How many seats of one date a user may hold at a time."""
    cool_down_ms: int
    """How long a seat cools down from its holder after a whole hold; 0: not at all."""


class SeatTerms:
    """What the catalogue in force and the settings say of a date's seats."""

    def __init__(self, catalogue: Callable[[], Catalogue], rules: HoldRules) -> None:
        self._catalogue = catalogue
        self._rules = rules

    def _terms(self, schedule_id: str, number: int) -> Terms | None:
        schedule = self._catalogue().schedules.get(schedule_id)
        price = None if schedule is None else schedule.prices.get(number)
        if schedule is None or price is None:
            return None
        return Terms(
            price,
            schedule.booking_start_ms,
            schedule.booking_end_ms,
            self._rules.hold_ms,
            self._rules.max_holds,
            schedule.max_per_user,
        )


class SeatBehaviour(SeatTerms, Codec, Behaviour):
    """Addressed as :func:`booking.entities.seat_address`. ``catalogue`` gives the prices
    and times in force; a decision takes them as they are then, and journals what it took."""

    kind = SEAT

    def __init__(self, catalogue: Callable[[], Catalogue], rules: HoldRules) -> None:
        Codec.__init__(
            self, states=SeatState, events=SeatEvent, commands=SeatCommand, replies=SeatReply
        )
        SeatTerms.__init__(self, catalogue, rules)

    def initial(self, address: Address) -> SeatState:
        """A free seat."""
        return FREE

    def companions(
        self, address: Address, state: SeatState, command: SeatCommand, now_ms: int
    ) -> Sequence[Address]:
        """The ledger of the date."""
        return (ledger_address(address.key),)

    def infer(self, address: Address, state_of: Callable[[Address], Any]) -> SeatState | None:
        """A seat that its ledger counts neither as held nor as sold is free: the two books change
        together."""
        ledger = state_of(ledger_address(address.key))
        number = int(address.name)
        if ledger is None or word_of(ledger, number) != "available":
            return None
        return FREE

    def decide(self, turn: Turn) -> Decision:
        """See :func:`booking.seats.domain.seat.decide_seat`."""
        ledger = ledger_address(turn.address.key)
        number = int(turn.address.name)
        decided = decide_seat(
            turn.state,
            turn.companions[ledger],
            number,
            turn.command,
            self._terms(turn.address.key, number),
            self._rules.cool_down_ms,
            turn.now_ms,
        )
        events: list[tuple[Address, SeatEvent | LedgerEvent]] = [
            (turn.address, event) for event in decided.seat_events
        ]
        events += [(ledger, counted) for counted in decided.ledger_events]
        reply = decided.reply
        if isinstance(reply, Rejected) and reply.retry_after_ms:
            return Decision(reply, events, final=False)
        beside = None
        if isinstance(turn.command, HoldSeat) and turn.command.queue:
            beside = _note(turn.address, turn.command, reply)
        return Decision(reply, events, beside=beside)

    def evolve(self, state: SeatState, event: SeatEvent) -> SeatState:
        """See :func:`booking.seats.domain.seat.evolve_seat`."""
        return evolve_seat(state, event)


def _note(seat: Address, hold: HoldSeat, reply: SeatReply) -> Ask | None:
    """Tells the user's account of a hold, and what the user's key was used for."""
    if not isinstance(reply, HoldGranted):
        return _tell(hold, reply, None)
    held = reservation_held(seat.key, int(seat.name), reply)
    noted = NoteReservation(replace(held, beside=True), hold.queue, hold.number)
    return _tell(hold, ReservationRecord(held, "PENDING"), noted)


def _note_order(schedule: str, order: PlaceOrder, reply: OrderReply) -> Ask | None:
    """The same of an order."""
    if not isinstance(reply, OrderPlaced):
        return _tell(order, reply, None)
    held = [reservation_held(schedule, number, hold) for number, hold in reply.holds.items()]
    beside = tuple(replace(each, beside=True) for each in held)
    records = tuple(ReservationRecord(each, "PENDING") for each in held)
    return _tell(
        order, OrderRecord(reply.order, records), NoteOrder(beside, order.queue, order.number)
    )


def _tell(
    hold: HoldSeat | PlaceOrder, outcome: Any, noted: NoteReservation | NoteOrder | None
) -> Ask | None:
    account = account_address(hold.user)
    if hold.key_id:
        note = NoteOutcome(msgspec.msgpack.encode(outcome), noted, beside=True)
        key = CommandKey(hold.key_id, hold.key_fingerprint)
        return Ask(account, note, key, OutcomeNoted)
    return None if noted is None else Ask(account, noted, None, ReservationKept)


def reservation_held(schedule: str, number: int, hold: HoldGranted) -> Reservation:
    """The reservation of a seat that is held."""
    times = hold.price, hold.held_at_ms, hold.until_ms
    return Reservation(hold.reservation, schedule, number, *times)


class LedgerBehaviour(SeatTerms, Codec, Behaviour):
    """Addressed as :func:`booking.entities.ledger_address`. It changes with its seats, decides
    orders of several, and wakes to end holds."""

    kind = LEDGER

    def __init__(self, catalogue: Callable[[], Catalogue], rules: HoldRules) -> None:
        Codec.__init__(
            self,
            states=_Head | OlderLedger,
            events=LedgerEvent,
            commands=OrderCommand,
            replies=OrderReply,
        )
        SeatTerms.__init__(self, catalogue, rules)
        self._halls: dict[str, Hall] = {}
        """By date, as long as its seats on sale and its plan are the same."""

    def initial(self, address: Address) -> Ledger:
        """No holds and no sales."""
        return EMPTY_LEDGER

    def next_timer_ms(self, state: Ledger) -> int | None:
        """When the next hold is over."""
        return ledger_next_wake(state)

    def companions(
        self, address: Address, state: Ledger, command: OrderCommand | TimerFired, now_ms: int
    ) -> Sequence[Address]:
        """The seats of the order; the best that are left for a wish; for the timer those whose
        holds are over now or within a moment."""
        return [
            seat_address(address.key, number)
            for number in self._seats(address.key, state, command, now_ms)
        ]

    def _seats(
        self, schedule: str, state: Ledger, command: OrderCommand | TimerFired, now_ms: int
    ) -> Iterable[int]:
        if isinstance(command, TimerFired):
            first_ms = ledger_next_wake(state)
            if first_ms is None:
                return ()
            return due_seats(state, first_ms + EXPIRED_TOGETHER_MS, EXPIRED_TOGETHER_MAX)
        if not isinstance(command, PlaceOrder) or command.wish is None:
            return command.seats
        placed = placed_seats(state, command.user, command.order)
        hall = None if placed else self._hall(schedule)
        return placed if hall is None else hall.best(state, command.wish, command.user, now_ms)

    def _hall(self, schedule_id: str) -> Hall | None:
        catalogue = self._catalogue()
        schedule = catalogue.schedules.get(schedule_id)
        if schedule is None:
            return None
        hall, venue = self._halls.get(schedule_id), catalogue.venue_of(schedule)
        mark = "" if venue is None else venue.mark
        if hall is None or hall.prices is not schedule.prices or hall.seating.mark != mark:
            alike = (each.seating for each in self._halls.values() if mark)
            known = (seating for seating in alike if seating.mark == mark)
            seating = next(known, None) or seating_of(venue, schedule.prices)
            hall = self._halls[schedule_id] = Hall(seating, schedule.prices)
        return hall

    def decide(self, turn: Turn) -> Decision:
        """End the holds that are over; for an order see
        :func:`booking.seats.domain.order.decide_order`."""
        schedule, command, now_ms = turn.address.key, turn.command, turn.now_ms
        seats = {int(address.name): state for address, state in turn.companions.items()}
        cool_down_ms = self._rules.cool_down_ms
        if isinstance(command, TimerFired):
            decided: Any = expire_due(turn.state, seats, cool_down_ms, now_ms)
            return self._decision(turn, decided, None)
        terms_of = partial(self._terms, schedule)
        decided = decide_order(seats, turn.state, command, terms_of, cool_down_ms, now_ms)
        reply = decided.reply
        if isinstance(reply, Rejected) and reply.retry_after_ms:
            return Decision(reply, final=False)
        decision = self._decision(turn, decided, reply)
        decision.states = {turn.address: decided.ledger}
        if isinstance(command, PlaceOrder):
            decision.beside = _note_order(schedule, command, reply)
        return decision

    def _decision(self, turn: Turn, decided: OrderDecision | DueDecision, reply: Any) -> Decision:
        events: list[tuple[Address, SeatEvent | LedgerEvent]] = [
            (seat_address(turn.address.key, number), event) for number, event in decided.seat_events
        ]
        events += [(turn.address, counted) for counted in decided.ledger_events]
        return Decision(reply, events)

    def evolve(self, state: Ledger, event: LedgerEvent) -> Ledger:
        """See :func:`booking.seats.domain.ledger.evolve_ledger`."""
        return evolve_ledger(state, event)

    def encode_state(self, state: Ledger) -> bytes:
        """The head of a snapshot; everything is in its pages."""
        return super().encode_state(("ledger-3",))

    def decode_state(self, data: bytes) -> Ledger | None:
        """The ledger of a snapshot, without its pages; ``None`` if it has another shape, or is one
        without pages that would take long to read."""
        snapshot = super().decode_state(data) if len(data) <= OLDER_BYTES_MAX else None
        if isinstance(snapshot, tuple):
            return EMPTY_LEDGER
        if snapshot is None:
            return None
        entries: dict[int, Entry] = dict.fromkeys(snapshot.sold, True)
        entries.update(snapshot.holds)
        entries.update(snapshot.cool_downs)
        return ledger_of(entries)

    def pages(self, state: Ledger) -> Mapping[int, LedgerPage]:
        """What there is to say of 1,024 seats each."""
        return state.seats.pages()

    def encode_page(self, page: LedgerPage) -> bytes:
        """See :attr:`booking.seats.domain.ledger.Ledger.seats`."""
        return super().encode_state(page)

    def with_page(self, state: Ledger, number: int, data: bytes) -> Ledger | None:
        """The ledger with one page more."""
        try:
            return with_page(state, number, _PAGE.decode(data))
        except msgspec.ValidationError:
            return None


_Head = tuple[Literal["ledger-2", "ledger-3"]]
"""What tells a snapshot with pages from one without. The second has owners in it, which who knows
only the first would take for free seats."""
_PAGE = msgspec.msgpack.Decoder(
    Annotated[
        list[Annotated[list[bytes | bool | None], msgspec.Meta(min_length=32, max_length=32)]],
        msgspec.Meta(min_length=32, max_length=32),
    ]
)

OLDER_BYTES_MAX = 64 * 1024
"""Of a snapshot without pages: some 650 holds, or 20,000 sold seats. A larger one is not read, and
the journal is replayed bit by bit."""


class OlderLedger(msgspec.Struct, frozen=True):
    """A snapshot without pages, as it was written by the version before."""

    holds: dict[int, LedgerHold]
    sold: set[int]
    cool_downs: dict[int, CoolDown] = msgspec.field(name="rests", default_factory=dict)
