"""The sockets that listen to the seats of one date.

A round begins when the date has changed. The change is encoded once, and everybody who has the
state before it gets the same bytes. Newcomers, and clients that were passed over, get a snapshot,
which is also encoded once. So a gap in ``seq`` is always followed by a snapshot.
"""

from __future__ import annotations

from collections.abc import Set

from actors.errors import UnavailableError
from booking.calls import UnknownError
from booking.catalogue.domain import Schedule
from booking.seats.view import SeatMap
from booking.services import Services
from booking_http.seats.schemas import SeatWord
from booking_http.sockets import codes
from booking_http.sockets.limits import Pace
from booking_http.sockets.messages import Ended, SeatChanges, SeatState, SeatsUpdate, encoded
from booking_http.sockets.socket import Keeper, Socket
from booking_http.sockets.spread import Spread

_OUT_OF_STEP = 0
"""A socket's ``seq`` that no change follows: it gets a snapshot next."""
_GONE = Ended("not_found", "The date is no longer sold.")


class _State:
    """The seats at one version."""

    __slots__ = ("held", "schedule", "sold", "version")

    def __init__(self, seats: SeatMap) -> None:
        self.schedule: Schedule = seats.schedule
        self.version = seats.version
        self.held: Set[int] = frozenset(seats.held)
        self.sold: Set[int] = frozenset(seats.sold)

    def of(self, number: int) -> SeatState:
        word: SeatWord = "available"
        if number in self.sold:
            word = "sold"
        elif number in self.held:
            word = "held"
        return SeatState(number, word)

    def snapshot(self, seq: int) -> bytes:
        every = [self.of(number) for number in sorted(self.schedule.prices)]
        return encoded(SeatsUpdate(seq, SeatChanges(self.schedule.id, self.version, True, every)))

    def since(self, before: _State, seq: int) -> bytes:
        """What is different; empty if nothing is."""
        numbers = (before.held ^ self.held) | (before.sold ^ self.sold)
        changed = [self.of(each) for each in sorted(numbers & self.schedule.prices.keys())]
        if not changed:
            return b""
        return encoded(
            SeatsUpdate(seq, SeatChanges(self.schedule.id, self.version, False, changed))
        )


class SeatSubscribers:
    """The sockets that listen to one date."""

    def __init__(self, schedule: str, services: Services, keeper: Keeper, pace: Pace) -> None:
        self._schedule = schedule
        self._services = services
        self._keeper = keeper
        self._pace = pace
        self._members: dict[Socket, None] = {}
        self._round: Spread[Socket] = Spread(pace.round_s, pace.tick_s)
        self._round_at = 0.0
        self._seq = 1
        self._state: _State | None = None
        """What those in step know."""
        self._change = b""
        """From the state before to this one; empty if everybody gets a snapshot."""
        self._snapshot = b""
        """Of this state, made when the first one needs it."""

    def __len__(self) -> int:
        return len(self._members)

    def join(self, socket: Socket, now: float) -> None:
        """Tell a socket every seat, and from now on what changes. Raises :class:`UnknownError`."""
        self._members[socket] = None
        socket.seq = _OUT_OF_STEP
        try:
            seats = self._services.seats.seat_map(self._schedule)
        except UnavailableError:
            return  # told when something is known again
        if self._state is None:
            self._state = _State(seats)
        if seats.version == self._state.version:
            self._tell_all(socket, now)
        else:
            # Others are told of the change in their round; who comes with fresh eyes is not told
            # old news, but has to have the state of that round too before changes to it make sense.
            self._write(socket, _State(seats).snapshot(self._seq), now)
            socket.seq = _OUT_OF_STEP

    def leave(self, socket: Socket) -> None:
        """End the subscription of a socket."""
        self._members.pop(socket, None)

    def tick(self, now: float) -> None:
        """Push what is due, or nothing while the view of the date is too old."""
        try:
            if self._round.done and now - self._round_at >= self._pace.gap_s:
                self._look(now)
        except UnavailableError:
            return
        except UnknownError:
            for socket in tuple(self._members):
                socket.close(codes.DONE, _GONE.message, encoded(_GONE))
            return
        for socket in self._round.due(now):
            if socket.open:
                self._keeper.guarded(self._visit, socket, now)

    def _look(self, now: float) -> None:
        """Begin a round if there is something to tell, or someone who missed it."""
        seats = self._services.seats.seat_map(self._schedule)
        state = self._state
        if state is None or seats.version != state.version:
            self._advance(_State(seats), now)
        elif now - self._round_at >= self._pace.refresh_s:
            behind = [each for each in self._members if each.seq != self._seq]
            self._round.begin(behind, now)
            self._round_at = now

    def _advance(self, state: _State, now: float) -> None:
        before, self._state = self._state, state
        same = before is not None and before.schedule.prices.keys() == state.schedule.prices.keys()
        change = state.since(before, self._seq + 1) if before is not None and same else b""
        self._snapshot = b""
        if same and not change:
            return  # a version of its own, but nothing to see
        self._change = change
        self._seq += 1
        self._round.begin(self._members, now)
        self._round_at = now

    def _visit(self, socket: Socket, now: float) -> None:
        if socket.seq == self._seq:
            return
        if self._change and socket.seq == self._seq - 1:
            self._write(socket, self._change, now)
        else:
            self._tell_all(socket, now)

    def _tell_all(self, socket: Socket, now: float) -> None:
        assert self._state is not None, "nothing is told before the first state"
        if not self._snapshot:
            self._snapshot = self._state.snapshot(self._seq)
        self._write(socket, self._snapshot, now)

    def _write(self, socket: Socket, data: bytes, now: float) -> None:
        if self._keeper.reads(socket, now):
            self._keeper.push(socket, data)
            socket.seq = self._seq
