"""The sockets that listen to one queue.

An admission is pushed at the next tick: waiting sockets are kept by number, and the tick looks at
them from the front. All other news is pushed in rounds, spread over a time, each client the state
of its own turn. Sockets on seats are here too, because their token has to stay valid.
"""

from bisect import bisect_left, insort

from msgspec.structs import replace

from actors.errors import UnavailableError
from booking.calls import TokenError, UnknownError
from booking.queue.view import QueueStatus
from booking.services import Services
from booking_http.queue.schemas import place_of
from booking_http.sockets import codes
from booking_http.sockets.limits import (
    BATCH_MAX,
    ETA_STEP_S_MIN,
    ETA_STEP_SHARE,
    FRONT_LOOK_MAX,
    Pace,
)
from booking_http.sockets.messages import Ended, QueueUpdate, encoded
from booking_http.sockets.socket import Keeper, Socket
from booking_http.sockets.spread import Spread

_NEVER = -1
_GONE = -2
"""Versions that no queue has: of one not looked at yet, and of one that is not there any more."""
_ENDED_WORDS = {
    "token_expired": "The token has expired, was used up or was given back.",
    "token_invalid": "The token is not valid any more.",
}


class QueueSubscribers:
    """The sockets that listen to one queue."""

    def __init__(self, queue: str, services: Services, keeper: Keeper, pace: Pace) -> None:
        self._queue = queue
        self._services = services
        self._keeper = keeper
        self._pace = pace
        self._members: dict[Socket, None] = {}
        self._waiting: list[int] = []
        """Numbers of those who wait, ascending, each once."""
        self._by_number: dict[int, list[Socket]] = {}
        self._round: Spread[Socket] = Spread(pace.round_s, pace.tick_s)
        self._round_at = 0.0
        self._round_version = _NEVER
        self._front_version = _NEVER
        self._gone = False
        """The queue is no more; its tokens say so, one by one."""

    def __len__(self) -> int:
        return len(self._members)

    def join(self, socket: Socket, standing: QueueStatus, now: float) -> None:
        """Tell a socket where its token stands, and from now on what changes."""
        self._members[socket] = None
        if not standing.active:
            number = socket.token.number
            if number not in self._by_number:
                insort(self._waiting, number)
            self._by_number.setdefault(number, []).append(socket)
        if socket.channel == "queue":
            self._tell(socket, standing, now)

    def leave(self, socket: Socket) -> None:
        """End the subscription of a socket."""
        self._members.pop(socket, None)
        self._no_longer_waits(socket)

    def _no_longer_waits(self, socket: Socket) -> None:
        number = socket.token.number
        sockets = self._by_number.get(number)
        if sockets is None or socket not in sockets:
            return
        sockets.remove(socket)
        if not sockets:
            del self._by_number[number]
            del self._waiting[bisect_left(self._waiting, number)]

    # -- telling ----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Push what is due, or nothing while the view of the queue is too old."""
        try:
            version = self._version()
            if version != self._front_version:
                self._look_at_front(now)
                self._front_version = version
            self._go_round(version, now)
        except UnavailableError:
            self._round_version = self._front_version = _NEVER

    def _version(self) -> int:
        try:
            version = self._services.queue.version(self._queue)
        except UnknownError:
            version = _GONE
        self._gone = version == _GONE
        return version

    def _look_at_front(self, now: float) -> None:
        """Those admitted since the last look; who cannot be told now has a turn in a round."""
        waiting, missed, at = self._waiting, 0, 0
        for _ in range(BATCH_MAX):
            if missed >= FRONT_LOOK_MAX or at >= len(waiting):
                return
            number = waiting[at]
            for socket in tuple(self._by_number[number]):
                self._keeper.guarded(self._admit, socket, now)
            if number in self._by_number:
                missed += 1
                at += 1

    def _admit(self, socket: Socket, now: float) -> None:
        if not self._still_waits(socket):
            self._no_longer_waits(socket)
            self._visit(socket, now)

    def _still_waits(self, socket: Socket) -> bool:
        try:
            return not self._services.queue.status(socket.token, socket.text).active
        except TokenError:
            return False

    def _go_round(self, version: int, now: float) -> None:
        if self._round.done:
            since = now - self._round_at
            news = version != self._round_version and since >= self._pace.gap_s
            if news or since >= self._pace.refresh_s:
                self._round.begin(self._members, now)
                self._round_at, self._round_version = now, version
        for socket in self._round.due(now):
            if socket.open:
                self._keeper.guarded(self._visit, socket, now)

    def _visit(self, socket: Socket, now: float) -> None:
        try:
            standing = self._services.queue.status(socket.token, socket.text)
        except TokenError as error:
            if error.code == "token_expired" or self._gone:
                last = Ended(error.code, _ENDED_WORDS[error.code])
                socket.close(codes.REFUSED, error.code, encoded(last))
            return  # else it was given a moment ago, and the copy here has not heard of it yet
        if socket.channel == "seats":
            return
        told = socket.told
        if told is not None and told.active and not standing.active:
            return  # nobody goes back: the owner has said more than the copy here knows yet
        if told is None or matters(told, standing):
            self._tell(socket, standing, now)

    def _tell(self, socket: Socket, standing: QueueStatus, now: float) -> None:
        if not self._keeper.reads(socket, now):
            return
        socket.seq += 1
        socket.told = standing
        self._keeper.push(socket, encoded(QueueUpdate(socket.seq, place_of(standing))))


def matters(told: QueueStatus, now: QueueStatus) -> bool:
    """Whether the difference is worth a push: hints and estimates move all the time."""
    if replace(told, poll_after_ms=now.poll_after_ms, eta_s=now.eta_s) != now:
        return True
    return abs(told.eta_s - now.eta_s) > max(ETA_STEP_S_MIN, told.eta_s * ETA_STEP_SHARE)
