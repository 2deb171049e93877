"""A connection's limits, which aiohttp leaves open: headers in time, and not too many at once.

This uses private names of ``Server`` (``_connections``) and of ``RequestHandler``
(``_force_close``, ``_loop``, ``_messages``, ``_request_count``, ``_task_handler``, ``_upgraded``,
``_waiter``). They may change with a minor version, so ``pyproject.toml`` pins it, and a test checks
that they are there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler
from attrs import define, field

from booking_http.inputs import RequestIds
from booking_http.metrics import EdgeMetrics
from booking_http.problems import Refusal, problem_reply
from booking_http.reply import Reply
from booking_http.settings import EdgeSettings

_log = logging.getLogger("booking.http")

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What answers a request, or takes its connection over."""

HEADER_SIZE_MAX = 8 * 1024
"""Bytes of the request line, and of one header; what common proxies allow."""
HEADERS_MAX = 64
"""Header fields of a request; browsers behind two proxies send about 30."""
REFUSED_LINGER_S = 1.0
"""How long a refused connection may take to read why."""
FIRST_REQUEST_GRACE_S = 0.5
"""For a new connection to send its request although we stop, over a slow network."""
REFUSED_MAX = 256
"""Refused connections waiting for that; further ones are cut off without a word."""


@define(eq=False)
class EdgeConnections(web.Server):
    """All connections of one edge. Requests for a path in ``mounted`` go there."""

    handler: Serve
    mounted: Mapping[str, Serve]
    settings: EdgeSettings
    metrics: EdgeMetrics
    request_ids: RequestIds = field(factory=RequestIds, init=False)
    refused: set[Connection] = field(factory=set, init=False)
    sockets: Callable[[], int] = field(factory=lambda: lambda: 0, init=False)
    """How many of the open connections are websockets, which have a limit of their own."""

    def __attrs_post_init__(self) -> None:
        super().__init__(self._serve if self.mounted else self.handler)
        others = self.metrics.connections  # of a second listener that counts into the same numbers
        self.metrics.connections = lambda: others() + self.open

    def _serve(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        return self.mounted.get(request.raw_path, self.handler)(request)

    def __call__(self) -> Connection:
        """A protocol for one more connection."""
        return Connection(self)

    @property
    def open(self) -> int:
        """Open connections, without those being refused."""
        return len(self._connections)

    @property
    def full(self) -> bool:
        """Whether one more connection would be too many."""
        return self.open - self.sockets() >= self.settings.connections_max

    async def drained(self, timeout_s: float) -> None:
        """End idle connections, and busy ones after their request or ``timeout_s``."""
        self._end_idle(also_new=False)
        await self._some_end(min(FIRST_REQUEST_GRACE_S, timeout_s))
        self._end_idle(also_new=True)
        await self._some_end(timeout_s)
        await self.shutdown(0.1)

    def _end_idle(self, *, also_new: bool) -> None:
        for connection in self.connections:
            if not isinstance(connection, Connection) or not connection.idle:
                continue
            if also_new or not connection.new:
                connection.force_close()

    async def _some_end(self, timeout_s: float) -> None:
        """Wait until all connections have ended, but no longer than this."""
        # A connection's task ends with the request that it is working on. (``_task_handler``)
        tasks = [connection._task_handler for connection in self.connections]
        open_ones = [task for task in tasks if task is not None]
        if open_ones:
            await asyncio.wait(open_ones, timeout=timeout_s)


class Connection(RequestHandler):
    """One connection."""

    __slots__ = ("_edge", "_head_timer", "_refused_timer")

    def __init__(self, edge: EdgeConnections) -> None:
        settings = edge.settings
        super().__init__(
            edge,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keepalive_timeout_s,
            lingering_time=settings.linger_s,
            max_line_size=HEADER_SIZE_MAX,
            max_field_size=HEADER_SIZE_MAX,
            max_headers=HEADERS_MAX,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # documented as the way to switch it off
            logger=_log,
        )
        self._edge = edge
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused_timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request is under way or waiting (``_waiter``: start() waits for one)."""
        return self._waiter is not None and not self._messages

    @property
    def new(self) -> bool:
        """Whether no request has come yet (``_request_count``)."""
        return self._request_count == 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, or refuse it if there are too many."""
        if self._edge.full:
            self._refuse(cast(asyncio.Transport, transport))  # uvloop's are no subclass
        else:
            super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and limit the time for the headers of a request."""
        if self._refused_timer is not None:
            return
        super().data_received(data)
        if self._messages or (self._waiter is None and self._request_count):
            # A request is complete, or one is being worked on (its body has its own limit).
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None and not self._force_close:
            # The rare case: the head did not come in one piece. Only then there is a timer.
            self._head_timer = self._loop.call_later(
                self._edge.settings.header_timeout_s, self._head_timed_out
            )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Cancel the timers of this connection."""
        for timer in (self._head_timer, self._refused_timer):
            if timer is not None:
                timer.cancel()
        self._edge.refused.discard(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer, a :class:`Reply` in one step; it waits only for a slow client."""
        if type(resp) is not Reply or self._upgraded:
            return await super().finish_response(request, resp, start_time)
        try:
            resp.send(request)
            if self.writing_paused:
                await resp.taken(request)
        except ConnectionError:
            return resp, True
        return resp, False

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused as all other refusals. It is not logged."""
        if isinstance(exc, HttpProcessingError):
            refusal = Refusal("malformed", _parser_words(exc))
        else:
            _log.error("a connection failed", exc_info=exc)
            refusal = Refusal("internal_error")
        reply = self._problem(refusal)
        self._edge.metrics.observe("_OTHER", "unmatched", reply.status, 0.0)
        return reply

    def _problem(self, refusal: Refusal) -> Reply:
        request_id = self._edge.request_ids.new()
        reply = problem_reply(refusal, "/", request_id)
        reply.request_id = request_id
        reply.force_close()
        return reply

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport is not None and self.idle:
            limit_s = self._edge.settings.header_timeout_s
            words = f"The headers did not arrive within {limit_s:g} seconds."
            self.transport.write(self._problem(Refusal("request_timeout", words)).wire())
        self.force_close()

    def _refuse(self, transport: asyncio.Transport) -> None:
        """Say so and end it, a moment later: closing at once would reset it under our answer."""
        edge = self._edge
        edge.metrics.connections_refused += 1
        self._force_close = True
        if len(edge.refused) >= REFUSED_MAX:
            transport.abort()
            return
        edge.refused.add(self)
        refusal = Refusal("too_many_connections", headers={"Retry-After": "1"})
        transport.write(self._problem(refusal).wire())
        if transport.can_write_eof():
            transport.write_eof()
        self._refused_timer = self._loop.call_later(REFUSED_LINGER_S, transport.abort)


def _parser_words(error: HttpProcessingError) -> str:
    """What is wrong, without echoing the client's bytes."""
    if isinstance(error, LineTooLong):
        return f"The request line or a header is longer than {HEADER_SIZE_MAX} bytes."
    return "This is not a valid HTTP/1.1 request."
