"""What changes, as it changes: pushed over a websocket, or polled where there is none.

The close code says whether to reconnect (docs/reference/websocket.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec
from aiohttp import WSMsgType

from booking_client.answers import Place, Seat, SeatState
from booking_client.errors import BookingError
from booking_client.transport import Transport

DONE = 1000
NEVER_AGAIN = frozenset({1002, 1003, 1007, 1008, 1009})

FRUITLESS_MAX = 3
"""Connections in a row without a single frame of news; after that it is polled."""
JITTER_DEFAULT_MS = 5_000
"""Until the service has said its own: the spread of a reconnect."""
SILENCE_MAX_S = 60.0
"""A heartbeat comes every 20 s; a socket that is silent for this long is dead."""
FRAME_SIZE_MAX = 16 * 1024 * 1024
"""A snapshot takes some 40 bytes a seat: this is a hall of 400,000."""
SEATS_POLLED_EVERY_S = 2.0
"""Where seats are not pushed: about as often as a fan's page used to ask."""
_NO_SOCKET = frozenset({400, 403, 404, 405, 426, 429, 501})
"""Answers to the handshake after which polling serves better, or says exactly what is wrong."""


class _Hello(msgspec.Struct, rename="camel", tag_field="type", tag="hello"):
    reconnect_jitter_ms: int = JITTER_DEFAULT_MS


class _Reconnect(msgspec.Struct, rename="camel", tag_field="type", tag="reconnect"):
    after_ms: int


class QueueFrame(msgspec.Struct, tag_field="type", tag="queue"):
    """A place; each frame stands alone."""

    data: Place


class _SeatChanges(msgspec.Struct):
    snapshot: bool
    changed: list[SeatState]


class SeatsFrame(msgspec.Struct, tag_field="type", tag="seats"):
    """A snapshot, or what is different from the frame with the number before."""

    seq: int
    data: _SeatChanges


News = QueueFrame | SeatsFrame
_DECODER: msgspec.json.Decoder[News | _Hello | _Reconnect] = msgspec.json.Decoder(
    News | _Hello | _Reconnect
)
_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)


class _DoneError(Exception):
    """The service says that all is told."""


class NoSocketError(Exception):
    """No websocket can be opened; poll instead."""


class Channel:
    """One kind of websocket, which reconnects. ``refused`` is awaited when the service turns the
    client away; it raises the reason if it finds one."""

    def __init__(
        self,
        transport: Transport,
        path: str,
        token: str,
        refused: Callable[[], Awaitable[object]],
        query: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._token = token
        self._refused = refused
        self._query = query
        self._jitter_ms = JITTER_DEFAULT_MS
        self._after_ms: int | None = None

    async def news(self) -> AsyncGenerator[News, None]:
        """Every frame of news. Raises :class:`NoSocketError` if the client has to poll."""
        fruitless = 0
        while fruitless < FRUITLESS_MAX:
            told = False
            try:
                async with aclosing(self._one_connection()) as frames:
                    async for frame in frames:
                        told = True
                        yield frame
            except _DoneError:
                return
            except _LOST:
                pass  # come back, as after a close that says so
            fruitless = 0 if told else fruitless + 1
            await asyncio.sleep(self._wait_s())
        raise NoSocketError

    def _wait_s(self) -> float:
        after_ms, self._after_ms = self._after_ms, None
        spread_ms = self._jitter_ms * random.random()  # noqa: S311  -- no secret
        return (spread_ms if after_ms is None else after_ms) / 1000

    async def _one_connection(self) -> AsyncGenerator[News, None]:
        last_seq = 0
        async with await self._connect() as socket:
            while True:
                message = await socket.receive(SILENCE_MAX_S)
                if message.type is WSMsgType.TEXT:
                    match _frame(message.data):
                        case _Hello(jitter_ms):
                            self._jitter_ms = jitter_ms
                        case _Reconnect(after_ms):
                            self._after_ms = after_ms
                        case QueueFrame() as frame:
                            yield frame
                        case SeatsFrame(seq, data) as frame:
                            if not data.snapshot and seq != last_seq + 1:
                                raise ConnectionError("a change of seats was missed")
                            last_seq = seq
                            yield frame
                        case None:
                            pass
                elif message.type in _OVER:
                    break
        if socket.close_code == DONE:
            raise _DoneError
        if socket.close_code in NEVER_AGAIN:
            await self._refused()
            words = "which means not to come back"
            raise BookingError(
                f"the service closed the websocket with {socket.close_code}, {words}"
            )

    async def _connect(self) -> aiohttp.ClientWebSocketResponse[Any]:
        """An open websocket; raises what the service says instead."""
        try:
            return await self._transport.session.ws_connect(
                self._transport.url + self._path,
                params=self._query,
                headers={"queue-token": self._token},
                max_msg_size=FRAME_SIZE_MAX,
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                await self._refused()
            if error.status in _NO_SOCKET:
                raise NoSocketError from error
            raise


_OVER = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR})


def _frame(data: str) -> News | _Hello | _Reconnect | None:
    """``None`` for a kind that this client does not know."""
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError:
        return None


async def places(transport: Transport, token: str) -> AsyncGenerator[Place, None]:
    """Each place that the service sends, until there is nothing more to tell. Raises
    :class:`~booking_client.errors.TokenExpired` and its kin when the token has ended."""

    async def polled() -> Place:
        return await transport.call(Place, "GET", "/queue/status", token=token)

    channel = Channel(transport, "/queue/ws", token, polled)
    try:
        async with aclosing(channel.news()) as news:
            async for frame in news:
                if isinstance(frame, QueueFrame):
                    yield frame.data
            return
    except NoSocketError:
        pass
    while True:
        place = await polled()
        yield place
        await asyncio.sleep(place.poll_after_ms / 1000)


async def seat_states(
    transport: Transport, token: str, date: str
) -> AsyncGenerator[dict[int, SeatState], None]:
    """The changed seats by number: all at first, and after a reconnect."""
    query = {"concertScheduleId": date}

    async def polled() -> dict[int, SeatState]:
        every, path = query | {"all": "true"}, "/concert/available-seats"
        seats = await transport.call(list[Seat], "GET", path, token=token, query=every)
        return {seat.seat_number: SeatState(seat.seat_number, seat.state) for seat in seats}

    channel = Channel(transport, "/concert/seats/ws", token, polled, query)
    try:
        async with aclosing(channel.news()) as news:
            async for frame in news:
                if isinstance(frame, SeatsFrame):
                    yield {state.seat_number: state for state in frame.data.changed}
            return
    except NoSocketError:
        pass
    known: dict[int, SeatState] = {}
    while True:
        now = await polled()
        changed = {number: state for number, state in now.items() if known.get(number) != state}
        if changed:
            yield changed
        known = now
        await asyncio.sleep(SEATS_POLLED_EVERY_S)
