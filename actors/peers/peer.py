"""Another instance as this one sees it: a link that is kept up, and who waits for it.

::

    connecting --(greeted)--> up --(lost)--> resting --(back-off over)--> connecting
        |                                       ^             |
        +-------(not reached)-------------------+             +--(no member any more)--> gone

Who asks while it connects waits; who asks while it rests is refused at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from actors.clock import Clock
from actors.core.deadlines import Deadlines
from actors.errors import DeadlineExceededError, NotOwnedError, OverloadedError
from actors.peers.dial import NOT_REACHED, Dialler
from actors.peers.greeting import TurnedAwayError
from actors.peers.limits import PeerLimits
from actors.peers.link import Link, PeerRequest
from actors.peers.statistics import PeerStatistics, RoundTrip, Traffic
from actors.peers.wire import Wire
from actors.transport import Answer

log = logging.getLogger(__name__)

UrlOf = Callable[[str], str | None]
"""The address of an instance, as ``http://host:port``, or ``None`` if it is no member. Asked anew
at each connect."""


class Peer:
    """One other instance, by name, through all its incarnations. :meth:`run` keeps the link."""

    def __init__(
        self,
        instance: str,
        *,
        dialler: Dialler,
        url_of: UrlOf,
        clock: Clock,
        random: Random,
        deadlines: Deadlines,
        limits: PeerLimits,
    ) -> None:
        self.instance = instance
        self._dialler = dialler
        self._url_of = url_of
        self._clock = clock
        self._random = random
        self._deadlines = deadlines
        self._limits = limits
        self._link: Link | None = None
        self._attempt: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._rests_until = 0.0
        self._failures = 0
        self._incarnation = ""
        self._ups = 0
        self._asks = 0
        self._in_flight = 0
        self._refused = 0
        self._traffic = Traffic()
        self._round_trip = RoundTrip()

    @property
    def connected(self) -> bool:
        """A link is up; one on which nothing is heard is cut after a while."""
        return self._link is not None

    # -- asking --------------------------------------------------------------------------------

    async def ask(self, parcel: PeerRequest) -> Answer:
        """The answer, its reply still encoded. Raises as :meth:`actors.transport.Transport.ask`."""
        self._asks += 1
        if self._in_flight >= self._limits.asks_max:
            self._refused += 1
            raise OverloadedError(f"too much is waiting for {self.instance}")
        self._in_flight += 1
        try:
            link = self._link or await self._linked(parcel.deadline)
            number, future = self._send(link, parcel)
            try:
                return await future
            finally:
                link.forget(number)
        finally:
            self._in_flight -= 1

    def _send(self, link: Link, parcel: PeerRequest) -> tuple[int, asyncio.Future[Answer]]:
        try:
            return link.send(parcel)
        except OverloadedError:
            self._refused += 1
            raise

    async def _linked(self, deadline: float) -> Link:
        attempt = self._attempt
        if attempt is not None:
            wait_s = deadline - self._clock.monotonic()
            # Not awaited itself: a caller who gives up must not take the others' future along.
            await asyncio.wait((attempt,), timeout=max(wait_s, 0.0))
            if self._link is None and not attempt.done():
                raise DeadlineExceededError(f"{self.instance} was not reached in time")
        if self._link is None:
            self._refused += 1
            wait_s = max(self._rests_until - self._clock.monotonic(), self._limits.backoff_min_s)
            raise NotOwnedError(f"{self.instance} cannot be reached", wait_s)
        return self._link

    # -- keeping the link ----------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and again whenever the link is lost, as long as it is a member."""
        try:
            while (url := self._url_of(self.instance)) is not None:
                if self._attempt is None:
                    self._attempt = asyncio.get_running_loop().create_future()
                await self._keep(url)
                await asyncio.sleep(self._rest())
        finally:
            self._attempt_ends()

    async def _keep(self, url: str) -> None:
        try:
            link = await self._connect(url)
        except NOT_REACHED as error:
            level = logging.WARNING if isinstance(error, TurnedAwayError) else logging.INFO
            words = str(error) or type(error).__name__
            log.log(level, "no link to %s at %s: %s", self.instance, url, words)
            return
        began = self._clock.monotonic()
        self._link, self._incarnation = link, link.incarnation
        self._ups += 1
        self._attempt_ends()
        try:
            await link.wire.run(link.on_message)
        finally:
            self._link = None
            link.over(link.wire.ended)
        log.info("the link to %s has ended: %s", self.instance, link.wire.ended)
        if self._clock.monotonic() - began >= self._limits.backoff_max_s:
            self._failures = 0

    async def _connect(self, url: str) -> Link:
        async with asyncio.timeout(self._limits.greeting_s):
            socket, challenge = await self._dialler.dial(url, self.instance)
        wire = Wire(
            socket,
            socket.abort,
            clock=self._clock,
            limits=self._limits,
            traffic=self._traffic,
            round_trip=self._round_trip,
        )
        return Link(
            wire,
            challenge.incarnation,
            clock=self._clock,
            deadlines=self._deadlines,
            limits=self._limits,
        )

    def _rest(self) -> float:
        """Seconds until the next attempt: doubled each time, and spread, lest all instances come
        back to a restarted one together."""
        limits = self._limits
        doubled_s = limits.backoff_min_s * 2.0 ** min(self._failures, 16)
        wait_s = min(doubled_s, limits.backoff_max_s) * self._random.uniform(0.5, 1.0)
        self._failures += 1
        self._rests_until = self._clock.monotonic() + wait_s
        self._attempt_ends()
        return wait_s

    def _attempt_ends(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None and not attempt.done():
            attempt.set_result(None)

    async def close(self) -> None:
        """Answer everybody who waits, and say goodbye. :meth:`run` has to be cancelled after."""
        self._attempt_ends()
        link, self._link = self._link, None
        if link is not None:
            link.over("stopping")
            await link.wire.goodbye("stopping")

    def statistics(self) -> PeerStatistics:
        """Counts and gauges at this moment."""
        return PeerStatistics(
            instance=self.instance,
            incarnation=self._incarnation,
            connected=self._link is not None,
            asks=self._asks,
            in_flight=self._in_flight,
            refused=self._refused,
            reconnects=max(self._ups - 1, 0),
            round_trip_avg_ms=self._round_trip.avg_ms,
            round_trip_max_ms=self._round_trip.max_ms,
            frames=self._traffic.frames_sent,
            messages=self._traffic.messages_sent,
            batch_avg=self._traffic.batch_avg,
        )
