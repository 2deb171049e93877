"""The websockets as rows of the route table, and the document about them."""

from __future__ import annotations

import asyncio

from booking.calls import TokenError
from booking.queue.service import NotAdmittedError
from booking.queue.view import QueueStatus
from booking.services import Services
from booking_http.reply import JSON, PUBLIC, Reply
from booking_http.routes import DATE, Answer, Call, Calls, Param, Route
from booking_http.sockets.handshake import Upgrade, accepted, token_of
from booking_http.sockets.hub import Hub
from booking_http.sockets.socket import Channel, Socket

_TOKEN = Param(
    "token",
    str,
    {"type": "string", "minLength": 1},
    "The queue token, for clients that can set no header. It is never logged.",
)
_HANDSHAKE_CODES = ("upgrade_required", "too_many_sockets")
_OPENED = Answer(101, None, "The websocket is open; see /asyncapi.json.")


class SocketCalls(Calls):
    """The calls that open a websocket. A refusal is a problem document, as for any request."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services = services
        self._hub = hub
        self.document = b""
        """The document; set when the rows, which it describes, are there."""

    @Route(
        "GET", "/queue/ws", _OPENED, "queue", gate="required", token_text=token_of,
        params=(_TOKEN,), problems=_HANDSHAKE_CODES,
    )  # fmt: skip
    async def queue_socket(self, call: Call) -> Reply:
        """Be told where the token stands, as it changes."""
        standing = await self._standing(call)
        return self._upgrade(call, "queue", standing)

    @Route(
        "GET", "/concert/seats/ws", _OPENED, "concert", gate="required", token_text=token_of,
        params=(DATE, _TOKEN), problems=("not_admitted", "not_found", *_HANDSHAKE_CODES),
    )  # fmt: skip
    async def seats_socket(self, call: Call) -> Reply:
        """Be told of a date's seats, as they change."""
        standing = await self._standing(call)
        if not standing.active:
            refusal = NotAdmittedError(standing)
            text = call.token_text
            standing = await self._services.queue.owners_status(call.holder, text, refusal)
            if not standing.active:
                raise refusal
        schedule = call.params["concertScheduleId"]
        self._services.seats.check_opens(call.holder, schedule)
        self._services.seats.seat_map(schedule)
        return self._upgrade(call, "seats", standing, schedule)

    async def _standing(self, call: Call) -> QueueStatus:
        """From memory, unless the token is newer than what is known here."""
        token, text = call.holder, call.token_text
        try:
            return self._services.queue.status(token, text)
        except TokenError as error:
            return await self._services.queue.owners_status(token, text, error)

    def _upgrade(
        self, call: Call, channel: Channel, standing: QueueStatus, schedule: str = ""
    ) -> Upgrade:
        token, text = call.holder, call.token_text
        head = accepted(call.request)
        self._hub.check_limits(token.user)

        def open_socket(transport: asyncio.Transport) -> Socket:
            return self._hub.open(transport, channel, token, text, standing, schedule)

        return Upgrade(call.request, head, open_socket)

    @Route("GET", "/asyncapi.json", Answer(200, {"type": "object"}, "AsyncAPI 3.1."))
    async def asyncapi(self, call: Call) -> Reply:
        """The document about the websockets."""
        return Reply(200, JSON + PUBLIC, self.document)
