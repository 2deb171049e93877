"""All websockets of an instance, and the one loop that serves them."""

import asyncio
import logging
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import TypeVar

from actors.errors import UnavailableError
from booking.calls import QueueToken
from booking.queue.view import QueueStatus
from booking.services import Services
from booking_http.metrics import SocketNumbers
from booking_http.problems import RefusedError
from booking_http.queue.subscribers import QueueSubscribers
from booking_http.seats.subscribers import SeatSubscribers
from booking_http.settings import EdgeSettings
from booking_http.sockets import codes
from booking_http.sockets.limits import SILENT_HEARTBEATS_MAX
from booking_http.sockets.messages import Hello, Reconnect, encoded
from booking_http.sockets.socket import Channel, Socket
from booking_http.sockets.spread import Spread

log = logging.getLogger("booking.http.sockets")

S = TypeVar("S", QueueSubscribers, SeatSubscribers)


class Hub:
    """Keeps the sockets, their subscriptions and their limits."""

    def __init__(self, services: Services, settings: EdgeSettings, numbers: SocketNumbers) -> None:
        self._services = services
        self._settings = settings
        self._numbers = numbers
        self._sockets: dict[Socket, None] = {}
        self._by_user: Counter[str] = Counter()
        self._queues: dict[str, QueueSubscribers] = {}
        self._dates: dict[str, SeatSubscribers] = {}
        pace = self._pace = settings.pace
        self._heartbeats: Spread[Socket] = Spread(settings.heartbeat_s * 0.9, pace.tick_s, 0)
        self._heartbeat_at = 0.0
        self._leaving: Spread[Socket] = Spread(pace.leaving_s, pace.tick_s, 0)
        self._closing: deque[Socket] = deque()
        """In the order in which their connections are cut if the client does not answer."""
        self._some = asyncio.Event()
        self.stopping = False
        hello = Hello(
            heartbeatMs=round(settings.heartbeat_s * 1000),
            reconnectJitterMs=round(settings.reconnect_jitter_s * 1000),
        )
        self._hello = encoded(hello)

    def __len__(self) -> int:
        return len(self._sockets)

    # -- coming and going -------------------------------------------------------------------------

    def check_limits(self, user: str) -> None:
        """:class:`RefusedError` if one more of this user would be too many."""
        if self.stopping:
            words = "The instance is stopping; another one serves you."
            raise RefusedError("stopping", words, {"Retry-After": "1"})
        if len(self._sockets) >= self._settings.sockets_max:
            raise RefusedError("too_many_connections", headers={"Retry-After": "5"})
        if self._by_user[user] >= self._settings.sockets_per_user_max:
            words = f"At most {self._settings.sockets_per_user_max} sockets of one user; close one."
            raise RefusedError("too_many_sockets", words, {"Retry-After": "30"})

    def open(
        self,
        transport: asyncio.Transport,
        channel: Channel,
        token: QueueToken,
        text: str,
        standing: QueueStatus,
        schedule: str = "",
    ) -> Socket:
        """A new socket on this connection; it gets the present state at once."""
        clock = asyncio.get_running_loop().time
        socket = Socket(transport, clock, self, channel, token, text, schedule)
        now = clock()
        if not self._sockets:
            self._heartbeat_at = now
        self._sockets[socket] = None
        self._by_user[token.user] += 1
        self._numbers.open[channel] += 1
        self._some.set()
        socket.write(self._hello)
        self._services.queue.mark_present(token)
        self._subscribers(self._queues, token.queue, QueueSubscribers).join(socket, standing, now)
        if channel == "seats":
            date = self._subscribers(self._dates, schedule, SeatSubscribers)
            self.guarded(date.join, socket, now)
        return socket

    def _subscribers(self, known: dict[str, S], name: str, kind: type[S]) -> S:
        found = known.get(name)
        if found is None:
            found = known[name] = kind(name, self._services, self, self._pace)
        return found

    def alive(self, socket: Socket) -> None:
        """Note that the holder of the socket is there."""
        self._services.queue.mark_present(socket.token)

    def closing(self, socket: Socket) -> None:
        """Cut the connection if the client has not answered the close in time."""
        socket.close_by = asyncio.get_running_loop().time() + self._pace.linger_s
        self._closing.append(socket)

    def gone(self, socket: Socket) -> None:
        """The connection is no more."""
        if socket not in self._sockets:
            return
        del self._sockets[socket]
        user = socket.token.user
        self._by_user[user] -= 1
        if not self._by_user[user]:
            del self._by_user[user]
        self._numbers.open[socket.channel] -= 1
        self._numbers.closed[socket.code if socket.code in codes.KNOWN else 0] += 1
        _leave(self._queues, socket.token.queue, socket)
        _leave(self._dates, socket.schedule, socket)

    # -- what subscribers ask ---------------------------------------------------------------------

    def reads(self, socket: Socket, now: float) -> bool:
        """See :class:`booking_http.sockets.socket.Keeper`."""
        if not socket.open:
            return False
        if socket.ready(now):
            return True
        self._numbers.skipped[socket.channel] += 1
        if now - socket.slow_since > self._settings.slow_socket_s:
            socket.close(codes.OVERLOAD, "too slow: it did not read")
        return False

    def push(self, socket: Socket, *parts: bytes) -> None:
        """Write news, and count it."""
        socket.write(*parts)
        self._numbers.pushed[socket.channel] += 1

    def guarded(self, visit: Callable[[Socket, float], None], socket: Socket, now: float) -> None:
        """See :class:`booking_http.sockets.socket.Keeper`."""
        try:
            visit(socket, now)
        except UnavailableError:
            raise
        except Exception as error:
            log.error("a websocket on %s failed", socket.channel, exc_info=error)
            socket.close(codes.BROKEN, "something broke on our side")

    # -- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve them until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            self.tick(loop.time())
            if not self._sockets:
                self._some.clear()
            await asyncio.sleep(self._pace.tick_s)

    def tick(self, now: float) -> None:
        """Do everything that is due now."""
        for queue in tuple(self._queues.values()):
            queue.tick(now)
        for date in tuple(self._dates.values()):
            date.tick(now)
        self._beat(now)
        for socket in self._leaving.due(now):
            self._send_away(socket)
        while self._closing and self._closing[0].close_by <= now:
            socket = self._closing.popleft()
            if socket in self._sockets:
                socket.abort()

    def _beat(self, now: float) -> None:
        """Pings, spread over the time between two heartbeats."""
        if self._heartbeats.done and now - self._heartbeat_at >= self._settings.heartbeat_s:
            self._heartbeats.begin(self._sockets, now)
            self._heartbeat_at = now
        silent_since = now - SILENT_HEARTBEATS_MAX * self._settings.heartbeat_s
        for socket in self._heartbeats.due(now):
            if not socket.open:
                continue
            if socket.heard_at < silent_since:
                socket.close(codes.OVERLOAD, "silent: it answered no ping")
            elif socket.ready(now):
                socket.ping()

    def leave(self) -> None:
        """Close all sockets, spread over a time, and accept no more."""
        if not self.stopping:
            self.stopping = True
            self._leaving.begin(self._sockets, asyncio.get_running_loop().time())

    def _send_away(self, socket: Socket) -> None:
        spread = random.random()  # noqa: S311  -- no secret
        after_ms = round(spread * self._settings.reconnect_jitter_s * 1000)
        socket.close(codes.RESTART, "the instance stops", encoded(Reconnect(after_ms)))


def _leave(known: dict[str, S], name: str, socket: Socket) -> None:
    """End a subscription; what nobody listens to any more is forgotten."""
    found = known.get(name)
    if found is not None:
        found.leave(socket)
        if not len(found):
            del known[name]
