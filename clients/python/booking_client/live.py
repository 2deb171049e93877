"""The place in the queue as it changes: pushed over a websocket, or polled where there is none.

What a close code means for a client is the service's table (docs/reference/http.md): 1000 is the
end, 1008 and 1009 are never tried again, after 1012, 1013 and a lost connection the client comes
back within the spread that the service asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec

from booking_client.answers import Place
from booking_client.errors import BookingError
from booking_client.transport import Transport

DONE, REFUSED, TOO_BIG = 1000, 1008, 1009
NEVER_AGAIN = frozenset({REFUSED, TOO_BIG})

FRUITLESS_MAX = 3
"""Connections in a row without a single frame; after that the place is polled."""
JITTER_DEFAULT_MS = 5_000
"""Until the service has said its own: the spread of a reconnect."""
SILENCE_MAX_S = 60.0
"""A heartbeat comes much more often; a socket that is silent for this long is dead."""
FRAME_SIZE_MAX = 64 * 1024
_NO_SOCKET = frozenset({400, 404, 405, 426, 501})
"""Answers to the handshake of a service, or a proxy, that speaks no websocket."""


class _Hello(msgspec.Struct, rename="camel", tag_field="type", tag="hello"):
    reconnect_jitter_ms: int = JITTER_DEFAULT_MS
    heartbeat_ms: int = 0


class _Queue(msgspec.Struct, tag_field="type", tag="queue"):
    data: Place
    seq: int = 0


_DECODER: msgspec.json.Decoder[_Hello | _Queue] = msgspec.json.Decoder(_Hello | _Queue)


_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)


class _DoneError(Exception):
    """The service says that all is told."""


class _NoSocketError(Exception):
    """The handshake was answered, but not with a websocket."""


class Watch:
    """Follows one token. ``draw`` gives 0 to 1, for the spread."""

    def __init__(self, transport: Transport, token: str, draw: Callable[[], float]) -> None:
        self._transport = transport
        self._token = token
        self._draw = draw
        self._jitter_ms = JITTER_DEFAULT_MS
        self.connections = 0
        """Websockets that were opened; for curious callers and tests."""

    async def places(self) -> AsyncGenerator[Place, None]:
        """Each place the service tells of. Ends when it says that all is told (1000);
        :class:`TokenExpired` and its like when the token has ended."""
        fruitless = 0
        while fruitless < FRUITLESS_MAX:
            told = False
            try:
                async with aclosing(self._pushed()) as places:
                    async for place in places:
                        told = True
                        yield place
            except _DoneError:
                return
            except _NoSocketError:
                break
            except _LOST:
                pass  # come back, as after a close that says so
            fruitless = 0 if told else fruitless + 1
            await asyncio.sleep(self._jitter_ms / 1000 * self._draw())
        while True:
            place = await self._polled()
            yield place
            await asyncio.sleep(place.poll_after_ms / 1000)

    async def _pushed(self) -> AsyncGenerator[Place, None]:
        """The places of one connection."""
        async with await self._connect() as socket:
            self.connections += 1
            while True:
                message = await socket.receive(SILENCE_MAX_S)
                match message.type:
                    case aiohttp.WSMsgType.TEXT:
                        frame = _frame(message.data)
                        if isinstance(frame, _Queue):
                            yield frame.data
                        elif frame is not None:
                            self._jitter_ms = frame.reconnect_jitter_ms
                    case aiohttp.WSMsgType.CLOSE | aiohttp.WSMsgType.CLOSED:
                        break
                    case aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.ERROR:
                        break
                    case _:
                        pass
        if socket.close_code == DONE:
            raise _DoneError
        if socket.close_code in NEVER_AGAIN:
            await self._why_refused(socket.close_code)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse[Any]:
        """An open websocket; raises what the service says instead."""
        try:
            return await self._transport.session.ws_connect(
                self._transport.url + "/queue/ws",
                headers={"queue-token": self._token},
                max_msg_size=FRAME_SIZE_MAX,
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                await self._polled()  # which raises what exactly is wrong with the token
            if error.status in _NO_SOCKET:
                raise _NoSocketError from error
            raise

    async def _polled(self) -> Place:
        return await self._transport.call(Place, "GET", "/queue/status", token=self._token)

    async def _why_refused(self, code: int) -> None:
        """Raises what is wrong with the token; if it is good after all, that the service did not
        want this client."""
        await self._polled()
        words = f"the service closed the websocket with {code}, which means not to come back"
        raise BookingError(words)


def _frame(data: str) -> _Hello | _Queue | None:
    """``None`` for a kind that this client does not know."""
    try:
        return _DECODER.decode(data)
    except msgspec.ValidationError:
        return None
