"""A user's account: balance, reservations, payments.

A payment is a saga that the account runs: ``Pay`` takes the money and notes the intent in one event
(:class:`PaymentStarted`), the seat is asked to confirm the sale (idempotent by payment id), and
``SettlePayment`` completes the payment or gives the money back. After a crash it goes on at the
seat. A completed payment uses the token up (:attr:`Account.spent`) unless the user holds another
unpaid seat; the queue is told of it as a follow-up, which no answer waits for.
"""

from typing import Literal

import msgspec

from booking.domain.decision import Code, Rejected

CHARGE_MAX = 10_000_000
BALANCE_MAX = 10**15
"""In won. Well below 2**53, so that a client in any language reads it exactly."""

ReservationStatus = Literal["PENDING", "COMPLETED", "EXPIRED", "CANCELLED"]
OrderStatus = Literal["PENDING", "PAID", "EXPIRED", "CANCELLED"]
_ORDER_WORDS: dict[ReservationStatus, OrderStatus] = {
    "PENDING": "PENDING",
    "COMPLETED": "PAID",
    "EXPIRED": "EXPIRED",
    "CANCELLED": "CANCELLED",
}

# -- state -----------------------------------------------------------------------------------------


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """A seat this user holds, held or bought. Its end is judged by :func:`reservation_status`."""

    id: str
    schedule: str
    seat: int
    price: int
    created_ms: int
    until_ms: int
    payment: str = ""
    """The payment that is under way or completed."""
    paid: bool = False
    cancelled: bool = False
    beside: bool = False
    """Noted while the hold was on its way into the journal, which may have lost it."""


class ReservationRecord(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A reservation and its state at the time of asking."""

    reservation: Reservation
    status: ReservationStatus


class OrderRecord(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reservations of one order, and their states at the time of asking."""

    id: str
    reservations: tuple[ReservationRecord, ...]

    @property
    def status(self) -> OrderStatus:
        """That of the reservations that matter: as long as one can be paid, it is pending."""
        found = {record.status for record in self.reservations}
        return next(word for status, word in _ORDER_WORDS.items() if status in found)


class PaidSeat(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One of several seats that are paid together."""

    reservation: str
    seat: int
    price: int


class PendingPayment(msgspec.Struct, frozen=True, gc=False):
    """Money taken, seat not confirmed yet."""

    id: str
    reservation: str
    """Of several seats, the order."""
    amount: int
    started_ms: int
    queue: str
    """The queue of the token the user paid with, and its number."""
    number: int
    key_id: bytes = b""
    key_fingerprint: bytes = b""
    items: tuple[PaidSeat, ...] = ()
    """Of several seats, all of them."""

    @property
    def reservations(self) -> list[str]:
        """What is being paid."""
        return [item.reservation for item in self.items] or [self.reservation]


class Account(msgspec.Struct, frozen=True, gc=False):
    """A user's money in won, reservations, and payments under way."""

    balance: int = 0
    reservations: dict[str, Reservation] = {}
    """Newest last; ended ones are dropped beyond a limit (the journal keeps them)."""
    pending: dict[str, PendingPayment] = {}
    user: str = ""
    spent: dict[str, int] = {}
    """By queue: the number of the token that a payment used up last."""


# -- commands --------------------------------------------------------------------------------------


class Charge(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Add ``amount`` won; idempotent by the command's key."""

    id: str
    amount: int


class NoteReservation(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """A seat was held for this user, or is just being held (:attr:`Reservation.beside`); idempotent
    by reservation id. Refused with :class:`SpentToken` if the token it was held with has been used
    up meanwhile."""

    reservation: Reservation
    queue: str = ""
    number: int = 0


class NoteOrder(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The same of several seats that were held together."""

    reservations: tuple[Reservation, ...]
    queue: str
    number: int


Noted = NoteReservation | NoteOrder
"""What an account is told of a hold."""


class NoteCancellation(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A hold of this user was released; idempotent."""

    reservation: str


class Pay(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Pay for the seat this user holds, or for those of an order that are not paid yet. The reply
    comes when the payment is settled."""

    payment: str
    schedule: str
    seat: int
    queue: str
    number: int
    order: str = ""
    """Instead of a seat."""


class SettlePayment(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The saga's end. ``refused`` is the seat's refusal, or ``None`` if it is sold."""

    payment: str
    refused: Code | None = None
    detail: str = ""


class NoteOutcome(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """Store what another entity decided, for repeats with its key. The first one stays: it says
    what the key was used for."""

    body: bytes
    noted: Noted | None = None
    """The reservations that the outcome tells of."""
    beside: bool = False
    """The outcome is on its way into the journal, under the key of the entity that decided, and
    counts if it gets there. Otherwise it is there, and this body is the answer to all."""


class GetAccount(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Ask for balance and reservations."""


AccountCommand = Charge | Noted | NoteCancellation | Pay | SettlePayment | NoteOutcome | GetAccount

# -- events ----------------------------------------------------------------------------------------


class Charged(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Money was added."""

    id: str
    amount: int
    balance: int


class ReservationNoted(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """The account learned of a hold of its user."""

    id: str
    schedule: str
    seat: int
    price: int
    created_ms: int
    until_ms: int
    beside: bool = False
    """While the hold was on its way into the journal: there may be none, which nobody was told."""


class ReservationCancelled(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A hold of the user was given up."""

    id: str


class PaymentStarted(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Money taken and intent noted."""

    id: str
    reservation: str
    """Of several seats, the order. No version before orders finds a reservation of this name, so
    that none takes them for one."""
    schedule: str
    seat: int
    """Of several, the first."""
    amount: int
    balance: int
    queue: str
    number: int
    at_ms: int
    key_id: bytes = b""
    key_fingerprint: bytes = b""
    items: tuple[PaidSeat, ...] | msgspec.UnsetType = msgspec.UNSET
    """Of several, all of them."""


class PaymentCompleted(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """The seats are sold, and the money is spent. As in :class:`PaymentStarted`."""

    id: str
    reservation: str
    schedule: str
    seat: int
    amount: int
    at_ms: int
    items: tuple[PaidSeat, ...] = ()

    @property
    def seats(self) -> tuple[PaidSeat, ...]:
        """What was paid, also if it is a single seat."""
        return self.items or (PaidSeat(self.reservation, self.seat, self.amount),)


class PaymentRefunded(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The seat could not be sold, and the money is back."""

    id: str
    reservation: str
    amount: int
    balance: int
    code: Code
    detail: str


AccountEvent = (
    Charged
    | ReservationNoted
    | ReservationCancelled
    | PaymentStarted
    | PaymentCompleted
    | PaymentRefunded
)

# -- replies ---------------------------------------------------------------------------------------


class ChargeDone(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The balance after a charge."""

    balance: int


class ReservationKept(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reservation as the account has it now."""

    reservation: Reservation


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The reservation is given up, or was not pending any more."""

    reservation: str


class PaymentDone(PaymentCompleted, frozen=True, tag=True, omit_defaults=True):
    """The payment is completed; the same as its event says."""

    token_spent: bool = False
    """The payment used the token up."""


class PaymentPending(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Not an answer for clients: the payment was started and its saga will settle it."""

    payment: str


class OutcomeNoted(msgspec.Struct, frozen=True, gc=False, tag=True, omit_defaults=True):
    """The outcome is stored under the command's key."""

    body: bytes
    reserved: bool = False
    """The reservation that it tells of is noted, too: not by an owner of the release before."""
    beside: bool = False
    """As in :class:`NoteOutcome`."""


class SpentToken(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Nothing was done, because a payment has used the token up."""


class AccountView(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What :class:`GetAccount` asks for."""

    balance: int
    reservations: tuple[Reservation, ...]
    """Newest first."""
    now_ms: int
    """The owner's time at the answer, against which pending reservations are expired or not."""
    paying: bool = False
    """A payment is under way."""


AccountReply = (
    ChargeDone
    | ReservationKept
    | Cancelled
    | PaymentDone
    | PaymentPending
    | OutcomeNoted
    | SpentToken
    | AccountView
    | Rejected
)

# -- questions -------------------------------------------------------------------------------------

ENDED_KEPT_MAX = 200
"""How many ended reservations an account keeps in memory and shows, the newest ones. The live
ones are few (a handful for each date), and the journal has all: 200 are some 40 kB of snapshot,
and years of concerts for a person."""


def reservation_status(reservation: Reservation, now_ms: int) -> ReservationStatus:
    """What a client is told. A reservation is pending while its payment is under way."""
    if reservation.paid:
        return "COMPLETED"
    if reservation.cancelled:
        return "CANCELLED"
    if reservation.payment or now_ms < reservation.until_ms:
        return "PENDING"
    return "EXPIRED"


def other_unpaid(account: Account, reservation_id: str, now_ms: int) -> tuple[Reservation, ...]:
    """The user's other seats that are held and for which no payment is under way."""
    return tuple(
        reservation
        for reservation in account.reservations.values()
        if reservation.id != reservation_id
        and not reservation.payment
        and reservation_status(reservation, now_ms) == "PENDING"
    )


def spends_token(account: Account, reservation_id: str, now_ms: int) -> bool:
    """Whether the token is used up once this reservation is paid: the user has no other unpaid
    seat.

    A seat whose payment is under way does not count as unpaid: its payment needs the token no more.
    Otherwise two payments at once could each see the other under way, and both leave the token
    open.
    """
    return not other_unpaid(account, reservation_id, now_ms)
