"""The sockets that listen to the seats of one date.

A change is encoded once for everybody who has the state before it. Newcomers, and clients that were
passed over, get a snapshot in shared parts. So a gap in ``seq`` is followed by a snapshot.
"""

from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from actors.errors import UnavailableError
from booking.calls import UnknownError
from booking.catalogue.domain import Schedule
from booking.seats.domain.ledger import Ledger, SeatWord, changed_words
from booking.seats.view import SeatMap
from booking.services import Services
from booking_http.seats.pieces import SeatPieces
from booking_http.sockets import codes
from booking_http.sockets.limits import Pace
from booking_http.sockets.messages import (
    Ended,
    SeatChanges,
    SeatState,
    SeatsUpdate,
    encoded,
    snapshot_frame,
)
from booking_http.sockets.socket import Keeper, Socket
from booking_http.sockets.spread import Spread

PIECES_MAX = 8
"""Pieces of a snapshot rendered in one go: 3 ms. One of 100,000 seats takes half a second."""
SNAPSHOTS_MAX = 50
"""Sockets that are told a snapshot at a tick: some 2,000 a second."""
CHANGES_MAX = 5_000
"""Changed seats that are told one by one: 10 ms. If more have changed, everybody is told all."""

_OUT_OF_STEP = 0
"""A socket's ``seq`` that no change follows: it gets a snapshot next."""
_GONE = Ended("not_found", "The date is no longer sold.")


class _State(NamedTuple):
    """The seats at one version."""

    schedule: Schedule
    version: int
    ledger: Ledger


def _render(number: int, price: int, word: SeatWord) -> bytes:
    """A :class:`SeatState` of a snapshot."""
    return b',{"seatNumber":%d,"state":"%b"}' % (number, word.encode())


class SeatSubscribers:
    """The sockets that listen to one date."""

    def __init__(self, schedule: str, services: Services, keeper: Keeper, pace: Pace) -> None:
        self._schedule = schedule
        self._services = services
        self._keeper = keeper
        self._pace = pace
        self._members: dict[Socket, None] = {}
        self._behind: dict[Socket, None] = {}
        """Those who wait for a snapshot."""
        self._round: Spread[Socket] = Spread(pace.round_s, pace.tick_s)
        self._round_at = 0.0
        self._seq = 1
        self._state: _State | None = None
        """What those in step know."""
        self._told: list[Ledger] = []
        """What snapshots told since, which is newer."""
        self._change = b""
        """From the state before to this one; empty if everybody gets a snapshot."""
        self._pieces: SeatPieces | None = None
        """The snapshot."""

    def __len__(self) -> int:
        return len(self._members)

    def join(self, socket: Socket, now: float) -> None:
        """Tell a socket every seat, and from now on what changes. Raises :class:`UnknownError`."""
        self._members[socket] = None
        self._behind[socket] = None
        socket.seq = _OUT_OF_STEP
        try:
            seats = self._seats()
        except UnavailableError:
            return  # told when something is known again
        if self._state is None:
            self._state = _state(seats)
        if self._pieces is None or len(self._pieces) <= PIECES_MAX:
            self._tell_all(seats, now)

    def leave(self, socket: Socket) -> None:
        """End the subscription of a socket."""
        self._members.pop(socket, None)
        self._behind.pop(socket, None)

    def tick(self, now: float) -> None:
        """Push what is due, or nothing while the view of the date is too old."""
        try:
            seats = self._seats()
            if self._round.done and now - self._round_at >= self._pace.gap_s:
                self._look(seats, now)
            if self._behind:
                self._tell_all(seats, now)
        except UnavailableError:
            return
        except UnknownError:
            for socket in tuple(self._members):
                socket.close(codes.DONE, _GONE.message, encoded(_GONE))
            return
        for socket in self._round.due(now):
            if socket.open:
                self._keeper.guarded(self._visit, socket, now)

    def _seats(self) -> SeatMap:
        return self._services.seats.seat_map(self._schedule)

    def _look(self, seats: SeatMap, now: float) -> None:
        """Begin a round if there is something to tell, or someone who missed it."""
        state = self._state
        if state is None or seats.version != state.version:
            self._advance(_state(seats), now)
        elif now - self._round_at >= self._pace.refresh_s:
            behind = [each for each in self._members if each.seq != self._seq]
            self._round.begin(behind, now)
            self._round_at = now

    def _advance(self, state: _State, now: float) -> None:
        before, self._state = self._state, state
        known, self._told = self._told, []
        change: list[SeatState] | None = None
        if before is not None and _same_seats(before.schedule, state.schedule):
            change = _changed((before.ledger, *known, state.ledger), state.schedule)
        if change == []:
            return  # a version of its own, but nothing to see
        self._seq += 1
        self._change = b""
        if change is not None:
            told = SeatChanges(state.schedule.id, state.version, False, change)
            self._change = encoded(SeatsUpdate(self._seq, told))
        self._round.begin(self._members, now)
        self._round_at = now

    def _visit(self, socket: Socket, now: float) -> None:
        if self._change and socket.seq == self._seq - 1:
            self._write(socket, (self._change,), now)
        elif socket.seq != self._seq:
            self._behind[socket] = None

    def _tell_all(self, seats: SeatMap, now: float) -> None:
        """Render a share of the snapshot; once it is whole, tell it to some of those behind."""
        state, pieces = self._state, self._pieces
        if state is None:
            return
        if pieces is None or pieces.schedule is not seats.schedule:
            pieces = self._pieces = SeatPieces(seats.schedule, _render)
        if not pieces.advance(seats, PIECES_MAX) or pieces.version < state.version:
            return
        if pieces.version > state.version and not (self._told and self._told[-1] is pieces.ledger):
            self._told.append(pieces.ledger)
        frame = snapshot_frame(self._seq, self._schedule, pieces.version, pieces.texts)
        for socket in tuple(islice(self._behind, SNAPSHOTS_MAX)):
            del self._behind[socket]
            self._keeper.guarded(lambda one, at: self._write(one, frame, at), socket, now)

    def _write(self, socket: Socket, parts: Sequence[bytes], now: float) -> None:
        if self._keeper.reads(socket, now):
            self._keeper.push(socket, *parts)
            socket.seq = self._seq


def _state(seats: SeatMap) -> _State:
    return _State(seats.schedule, seats.version, seats.ledger)


def _same_seats(one: Schedule, other: Schedule) -> bool:
    return one is other or one.prices.same_seats(other.prices)


def _changed(ledgers: Sequence[Ledger], schedule: Schedule) -> list[SeatState] | None:
    """The seats with another word than before; ``None`` if they are too many."""
    words: dict[int, SeatWord] = {}
    for before, after in pairwise(ledgers):
        for number, word in changed_words(before, after):
            words[number] = word
            if len(words) > CHANGES_MAX:
                return None
    return [SeatState(each, words[each]) for each in sorted(words) if each in schedule.prices]
