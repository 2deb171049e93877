"""What events make of the tables: a batch folded to at most one row for each key of each table.

Pure, and it reads nothing. Each table but ``users`` is written by the events of one kind of entity,
so it does not matter how far other shards are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from actors.address import Address
from booking.accounts.domain import account
from booking.catalogue.domain import seat_id
from booking.queue.domain import events as queue
from booking.queue.domain.lots import DrawRow, numbers_of
from booking.seats.domain import seat

Columns: TypeAlias = tuple[list[Any], ...]

_ENDS: Mapping[type, str] = {
    seat.HoldReleased: "CANCELLED",
    seat.HoldExpired: "EXPIRED",
    seat.SeatSold: "COMPLETED",
}
_LEAVES: Mapping[type, str] = {
    queue.Left: "LEFT",
    queue.WentSilent: "SILENT",
    queue.TokenUsed: "USED",
    queue.TokensExpired: "EXPIRED",
}


class ReadBatch:
    """Takes events, of each shard in order, and gives the rows to write: :meth:`rows`."""

    def __init__(self) -> None:
        self.schedules: set[str] = set()
        """Dates whose seats have changed."""
        self.admitting: set[str] = set()
        """Queues whose draws :meth:`rows` has to know."""
        self._users: dict[str, int] = {}
        self._cash: dict[str, list[Any]] = {}
        self._movements: list[tuple[Any, ...]] = []
        self._payments: dict[str, list[Any]] = {}
        self._settled: dict[str, tuple[Any, ...]] = {}
        self._reservations: dict[tuple[str, str], list[Any]] = {}
        self._ended: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._seats: dict[str, bool] = {}
        self._joined: dict[tuple[str, int], list[Any]] = {}
        self._first: dict[str, int] = {}
        """Of each queue the first number that lined up in this batch. So did all after it."""
        self._drawn: list[DrawRow] = []
        self._admitted: list[tuple[Any, ...]] = []
        self._gone: dict[tuple[str, int], tuple[str, int, int]] = {}

    def take(self, shard: int, seq: int, address: Address, at_ms: int, event: Any) -> None:
        """The next event of its shard."""
        if (handle := _HANDLERS.get(type(event))) is not None:
            handle(self, address, at_ms, event, (shard, seq))

    def rows(self, draws: Iterable[DrawRow] = ()) -> dict[str, Columns]:
        """The arguments of each statement that has something to write, in the order to run them:
        who comes in has lined up before, and who has gone may have come in. ``draws`` are those of
        the batches before."""
        known = [*draws, *self._drawn]
        earlier = [self._let_in(one) for row in self._admitted for one in _numbers(row, known)]
        admitted = [row for row in earlier if row]
        gone = [(*key, *rest) for key, rest in self._gone.items() if not self._has_gone(key, *rest)]
        before = _columns([(name, number, seq) for name, number, _, _, seq in gone], 3)
        found = {
            "users": _columns(sorted(self._users.items())),
            "cash": _columns([(user, *rest) for user, rest in self._cash.items()]),
            "cash_history": _columns(self._movements),
            "payments": _columns([(key, *rest) for key, rest in self._payments.items()]),
            "settled": _columns([(key, *rest) for key, rest in self._settled.items()]),
            "reservations": _columns([(*key, *rest) for key, rest in self._reservations.items()]),
            "ended": _columns([(*key, *rest) for key, rest in self._ended.items()]),
            "seats": _columns(list(self._seats.items())),
            "joined": _columns([(*key, *rest) for key, rest in self._joined.items()]),
            "drawn": _columns(self._drawn),
            "admitted": (*_columns(admitted), *before) if admitted else (),
            "gone": _columns([row[:4] for row in gone]),
        }
        return {name: columns for name, columns in found.items() if columns}

    # -- accounts ----------------------------------------------------------------------------------

    def _user(self, user: str, at_ms: int) -> None:
        if at_ms < self._users.setdefault(user, at_ms):
            self._users[user] = at_ms

    def _move(
        self, user: str, at_ms: int, event: Any, kind: str, payment: str | None, place: Any
    ) -> None:
        self._user(user, at_ms)
        cash = self._cash.setdefault(user, [0, at_ms, 0])
        cash[0], cash[2] = event.balance, at_ms
        name = f"{place[0]}-{place[1]}"
        self._movements.append((name, user, kind, event.amount, event.balance, payment, at_ms))

    def _charged(self, at: Address, at_ms: int, event: account.Charged, place: Any) -> None:
        self._move(at.key, at_ms, event, "CHARGE", None, place)

    def _noted(self, at: Address, at_ms: int, event: account.ReservationNoted, _: Any) -> None:
        self._user(at.key, at_ms)

    def _started(self, at: Address, at_ms: int, event: account.PaymentStarted, place: Any) -> None:
        self._move(at.key, at_ms, event, "USE", event.id, place)
        first = event.items[0].reservation if event.items else event.reservation
        bought = (at.key, first, seat_id(event.schedule, event.seat), event.amount)
        self._payments[event.id] = [*bought, at_ms, "PENDING", at_ms]

    def _completed(self, at: Address, at_ms: int, event: account.PaymentCompleted, _: Any) -> None:
        self._settle(event.id, "COMPLETED", at_ms)

    def _refund(self, at: Address, at_ms: int, event: account.PaymentRefunded, place: Any) -> None:
        self._move(at.key, at_ms, event, "REFUND", event.id, place)
        self._settle(event.id, "REFUNDED", at_ms)

    def _settle(self, payment: str, status: str, at_ms: int) -> None:
        if (begun := self._payments.get(payment)) is not None:
            begun[-2:] = status, at_ms
        else:
            self._settled[payment] = status, at_ms

    # -- seats -------------------------------------------------------------------------------------

    def _held(self, at: Address, at_ms: int, event: seat.SeatHeld, _: Any) -> None:
        name = f"{at.key}-{at.name}"
        # Events of the first releases do not say when.
        times = (event.held_at_ms or at_ms, event.until_ms)
        row = [at.key, event.user, event.price, *times, "PENDING", at_ms]
        self._reservations[event.reservation, name] = row
        self._ended.pop((event.reservation, name), None)
        self._seat(at.key, name, free=False)

    def _end(self, at: Address, at_ms: int, event: Any, _: Any) -> None:
        status, name = _ENDS[type(event)], f"{at.key}-{at.name}"
        held = self._reservations.get((event.reservation, name))
        if held is not None:
            held[-2:] = status, at_ms
        else:
            self._ended[event.reservation, name] = status, at_ms
        self._seat(at.key, name, free=status != "COMPLETED")

    def _seat(self, schedule: str, name: str, *, free: bool) -> None:
        self.schedules.add(schedule)
        self._seats[name] = free

    # -- queues ------------------------------------------------------------------------------------

    def _join(self, at: Address, at_ms: int, event: queue.Joined, _: Any) -> None:
        self._line_up(at.key, event, None, None, "PENDING")

    def _enter(self, at: Address, at_ms: int, event: queue.Entered, _: Any) -> None:
        self._line_up(at.key, event, event.at_ms, event.until_ms, "ACTIVE")

    def _line_up(self, name: str, event: queue.Joined | queue.Entered, *inside: Any) -> None:
        self._user(event.user, event.at_ms)
        self._first.setdefault(name, event.number)
        self._joined[name, event.number] = [event.user, event.at_ms, *inside, event.at_ms]

    def _admit(self, at: Address, at_ms: int, event: queue.Admitted, place: Any) -> None:
        self.admitting.add(at.key)
        come = (event.first, event.last, event.at_ms, event.until_ms)
        self._admitted.append((at.key, *come, place[1]))

    def _draw(self, at: Address, at_ms: int, event: queue.Drawn, _: Any) -> None:
        if event.first <= event.last:
            self._drawn.append((at.key, event.seed, event.first, event.last))

    def _leave(self, at: Address, at_ms: int, event: Any, place: Any) -> None:
        for number in getattr(event, "numbers", None) or (event.number,):
            self._gone[at.key, number] = _LEAVES[type(event)], at_ms, place[1]

    def _let_in(self, admission: tuple[Any, ...]) -> tuple[Any, ...]:
        """Admit who lined up in this batch; what is left for those of the batches before, if
        anything."""
        name, first, last, at_ms, until_ms, seq = admission
        new = self._first.get(name, last + 1)
        for number in range(max(first, new), last + 1):
            gone = self._gone.get((name, number))
            if gone is None or gone[2] > seq:
                self._joined[name, number][2:] = at_ms, until_ms, "ACTIVE", at_ms
        return (name, first, min(last, new - 1), *admission[3:]) if first < new else ()

    def _has_gone(self, key: tuple[str, int], status: str, at_ms: int, _: int) -> bool:
        """Whether who has gone lined up in this batch."""
        if (row := self._joined.get(key)) is not None:
            row[4:] = status, at_ms
        return row is not None

    HANDLERS: ClassVar[Mapping[type, Callable[..., None]]] = {
        account.Charged: _charged,
        account.ReservationNoted: _noted,
        account.PaymentStarted: _started,
        account.PaymentCompleted: _completed,
        account.PaymentRefunded: _refund,
        seat.SeatHeld: _held,
        **dict.fromkeys(_ENDS, _end),
        queue.Joined: _join,
        queue.Entered: _enter,
        queue.Admitted: _admit,
        queue.Drawn: _draw,
        **dict.fromkeys(_LEAVES, _leave),
    }


_HANDLERS = ReadBatch.HANDLERS


def _numbers(row: tuple[Any, ...], draws: Iterable[DrawRow]) -> Iterator[tuple[Any, ...]]:
    """An admission of places as admissions of ranges of numbers."""
    name, first, last, *rest = row
    for low, high in numbers_of(name, first, last, draws):
        yield (name, low, high, *rest)


def _columns(rows: Iterable[Sequence[Any]], count: int = 0) -> Columns:
    """Rows as columns; of no rows, so many empty ones."""
    return tuple(map(list, zip(*rows, strict=True))) or tuple([] for _ in range(count))
