"""What the journal's events are to the outside. Pure: what it has to know of the past it is given.

The journal packs what happens to many people at once into one event, and leaves out who has a
number. Outside, everybody has an event of their own: :class:`Places` knows who is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from attrs import define, field

from actors.consumers.contract import Event
from booking.accounts.domain import account
from booking.catalogue.domain import seat_id
from booking.entities import Codec
from booking.events import contract as public
from booking.queue.domain import events as queue
from booking.queue.domain.lots import DrawRow, numbers_of
from booking.seats.domain import seat

Place = tuple[str, int]
"""Queue and number."""

decode = Codec(
    states=Any,
    events=account.AccountEvent | seat.SeatEvent | queue.QueueEvent,
    commands=Any,
    replies=Any,
).decode_event
"""An event of an account, a seat or a queue, from its type, version and payload."""

_LEAVES: Mapping[type, Any] = {
    queue.Left: "given_up",
    queue.WentSilent: "silent",
    queue.TokenUsed: "paid",
    queue.TokensExpired: "expired",
}
_Told = Iterator[tuple[str, str, msgspec.Struct]]
"""What is added to the id, the subject, and the data."""


@define(eq=False)
class Places:
    """Who has which place in a queue: of those that a batch is about as they were before it, and
    what it changes."""

    users: dict[Place, str] = field(factory=dict)
    draws: list[DrawRow] = field(factory=list)
    joined: list[tuple[str, int, str, int]] = field(factory=list, init=False)
    left: list[tuple[str, int, int]] = field(factory=list, init=False)
    """As ``joined``, with the seq of the event."""
    drawn: list[DrawRow] = field(factory=list, init=False)


def wanted(events: Sequence[Event], draws: Sequence[DrawRow]) -> list[tuple[str, int, int, int]]:
    """The places that have to be known to translate these events: queue, first and last number, and
    the seq of the first of its events here. ``draws`` are those of the past."""
    since: dict[str, int] = {}
    found = []
    known = [*draws]
    for event in events:
        name, data = event.address.key, event.data
        seq = since.setdefault(name, event.seq)
        if isinstance(data, queue.Drawn):
            known.append((name, data.seed, data.first, data.last))
        elif isinstance(data, queue.Admitted):
            ranges = numbers_of(name, data.first, data.last, known)
            found += [(name, first, last, seq) for first, last in ranges]
        elif isinstance(data, queue.WentSilent | queue.TokensExpired):
            found += [(name, number, number, seq) for number in data.numbers]
    return found


def translate(events: Sequence[Event], source: str, places: Places) -> Iterator[public.CloudEvent]:
    """The public events of these of the journal, of each shard in order."""
    for event in events:
        tell = TELLS.get(type(event.data))
        if tell is None:
            continue
        name, time = f"{event.shard}-{event.seq}", _moment(event.at_ms)
        for suffix, subject, data in tell(event, event.data, places):
            yield public.CloudEvent(
                id=name + suffix,
                source=source,
                type=public.TYPES[type(data)],
                subject=subject,
                time=time,
                data=data,
            )


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


# -- queues ----------------------------------------------------------------------------------------


def _subject(name: str, number: int) -> str:
    return f"queue/{name}/{number}"


def _joined(event: Event, data: queue.Joined | queue.Entered, places: Places) -> _Told:
    name, number, user = event.address.key, data.number, data.user
    places.users[name, number] = user
    places.joined.append((name, number, user, event.seq))
    joined = public.QueueJoined(queue=name, number=number, user_id=user)
    yield "", _subject(name, number), joined
    if isinstance(data, queue.Entered):
        yield from _admitted(event, data.admitted, places)


def _admitted(event: Event, data: queue.Admitted, places: Places) -> _Told:
    name, until = event.address.key, _moment(data.until_ms)
    for first, last in numbers_of(name, data.first, data.last, places.draws):
        for number in range(first, last + 1):
            user = places.users.get((name, number))
            if user is not None:
                told = public.QueueAdmitted(
                    queue=name, number=number, user_id=user, expires_at=until
                )
                yield f"-{number}", _subject(name, number), told


def _left(event: Event, data: Any, places: Places) -> _Told:
    name, reason = event.address.key, _LEAVES[type(data)]
    if isinstance(data, queue.Left | queue.TokenUsed):
        ended = [("", data.number, data.user)]
    else:
        ended = [(f"-{n}", n, places.users.get((name, n), "")) for n in data.numbers]
    for suffix, number, user in ended:
        places.users.pop((name, number), None)
        places.left.append((name, number, event.seq))
        if user:
            told = public.QueueLeft(queue=name, number=number, user_id=user, reason=reason)
            yield suffix, _subject(name, number), told


def _drawn(event: Event, data: queue.Drawn, places: Places) -> _Told:
    name = event.address.key
    if data.first <= data.last:
        row = (name, data.seed, data.first, data.last)
        places.draws.append(row)
        places.drawn.append(row)
        told = public.QueueDrawn(queue=name, seed=data.seed, first=data.first, last=data.last)
        yield "", f"queue/{name}", told


def _changed(event: Event, data: queue.PolicyChanged, _: Places) -> _Told:
    rules = data.policy
    told = public.QueueChanged(
        queue=event.address.key,
        mode=rules.mode,
        max_active=rules.max_active,
        max_waiting=rules.max_waiting,
        active_seconds=rules.active_ms / 1000,
        admit_per_interval=rules.admit_per_interval,
        interval_seconds=rules.interval_ms / 1000,
        opens_at=_moment(rules.opens_ms) if rules.opens_ms else None,
    )
    yield "", f"queue/{event.address.key}", told


# -- seats and accounts ----------------------------------------------------------------------------


def _seat(kind: Callable[..., Any], reads: Callable[[Any], dict[str, Any]]) -> Callable[..., _Told]:
    def tell(event: Event, data: Any, _: Places) -> _Told:
        date, number = event.address.key, int(event.address.name)
        name = seat_id(date, number)
        yield (
            "",
            f"seat/{name}",
            kind(
                concert_schedule_id=date,
                seat_id=name,
                seat_number=number,
                reservation_id=data.reservation,
                user_id=data.user,
                **reads(data),
            ),
        )

    return tell


def _balance(kind: Callable[..., Any], **names: str) -> Callable[..., _Told]:
    def tell(event: Event, data: Any, _: Places) -> _Told:
        user = event.address.key
        more = {name: getattr(data, theirs) for name, theirs in names.items()}
        told = kind(user_id=user, amount=data.amount, balance=data.balance, **more)
        yield "", f"user/{user}", told

    return tell


def _paid(event: Event, data: account.PaymentCompleted, _: Places) -> _Told:
    """One for each seat: their amounts are those of the payment together."""
    user = event.address.key
    for item in data.seats:
        told = public.PaymentCompleted(
            user_id=user,
            payment_id=data.id,
            reservation_id=item.reservation,
            concert_schedule_id=data.schedule,
            seat_id=seat_id(data.schedule, item.seat),
            seat_number=item.seat,
            amount=item.price,
        )
        yield f"-{item.seat}" if data.items else "", f"user/{user}", told


TELLS: Final[Mapping[type, Callable[[Event, Any, Places], _Told]]] = {
    queue.Joined: _joined,
    queue.Entered: _joined,
    queue.Admitted: _admitted,
    **dict.fromkeys(_LEAVES, _left),
    queue.Drawn: _drawn,
    queue.PolicyChanged: _changed,
    seat.SeatHeld: _seat(
        public.SeatHeld, lambda held: {"price": held.price, "expires_at": _moment(held.until_ms)}
    ),
    seat.HoldReleased: _seat(public.SeatReleased, lambda _: {"reason": "cancelled"}),
    seat.HoldExpired: _seat(public.SeatReleased, lambda _: {"reason": "expired"}),
    seat.SeatSold: _seat(
        public.SeatSold, lambda sold: {"payment_id": sold.payment, "price": sold.price}
    ),
    account.Charged: _balance(public.BalanceCharged),
    account.PaymentStarted: _balance(public.BalanceUsed, payment_id="id"),
    account.PaymentRefunded: _balance(public.BalanceRefunded, payment_id="id", reason="code"),
    account.PaymentCompleted: _paid,
}
"""Those that say something to the outside. What an account notes of a hold its seat tells."""
