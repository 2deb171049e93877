"""The websockets as rows of the route table, and the document about them."""

from __future__ import annotations

import asyncio

from booking.calls import UnknownError
from booking.queue.service import NotAdmittedError
from booking.queue.tokens import TokenError
from booking.queue.view import QueueStatus
from booking.services import Services
from booking_http.params import id_param
from booking_http.reply import JSON, Reply
from booking_http.routes import Answer, Call, Param, Route
from booking_http.sockets.handshake import accepted, token_of
from booking_http.sockets.hub import Hub
from booking_http.sockets.socket import Channel, Socket
from booking_http.sockets.upgrade import Upgrade

_TOKEN = Param(
    "token",
    str,
    {"type": "string", "minLength": 1},
    "The queue token, for clients that can set no header. It is never logged.",
)
_HANDSHAKE_CODES = ("upgrade_required", "too_many_sockets")
_REVALIDATE_PUBLIC = b"Cache-Control: no-cache\r\n"


class SocketCalls:
    """A websocket starts as a request and is refused like one, with a problem document. Both rows
    say ``required``, and where else the token may be; whether its holder is inside, the seats'
    handler asks itself."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services = services
        self._hub = hub
        self.asyncapi = b""
        """The document; set when the rows, which it describes, are there."""

    async def queue(self, call: Call) -> Reply:
        standing = await self._standing(call)
        return self._upgrade(call, "queue", standing)

    async def seats(self, call: Call) -> Reply:
        standing = await self._standing(call)
        if not standing.active:
            refusal = NotAdmittedError(standing)
            text = call.token_text
            standing = await self._services.queue.owners_status(call.holder, text, refusal)
            if not standing.active:
                raise refusal
        schedule = call.params["concertScheduleId"]
        if not self._services.catalogue.opens(call.holder.queue, schedule):
            raise UnknownError
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
        self._hub.check_room(token.user)

        def open_socket(transport: asyncio.Transport) -> Socket:
            return self._hub.open(transport, channel, token, text, standing, schedule)

        return Upgrade(call.request, head, open_socket)

    async def document(self, call: Call) -> Reply:
        return Reply(200, JSON + _REVALIDATE_PUBLIC, self.asyncapi)

    def routes(self) -> tuple[Route, ...]:
        opened = Answer(101, None, "The websocket is open; see /asyncapi.json.")
        schedule = id_param("concertScheduleId", "The date.", required=True)
        return (
            Route(
                "GET",
                "/queue/ws",
                self.queue,
                "queueSocket",
                "Be told where the token stands, as it changes",
                opened,
                "queue",
                gate="required",
                token_text=token_of,
                params=(_TOKEN,),
                problems=_HANDSHAKE_CODES,
            ),
            Route(
                "GET",
                "/concert/seats/ws",
                self.seats,
                "seatsSocket",
                "Be told of a date's seats, as they change",
                opened,
                "concert",
                gate="required",
                token_text=token_of,
                params=(schedule, _TOKEN),
                problems=("not_admitted", "not_found", *_HANDSHAKE_CODES),
            ),
            Route(
                "GET",
                "/asyncapi.json",
                self.document,
                "asyncapi",
                "The document about the websockets",
                Answer(200, {"type": "object"}, "AsyncAPI 3.1.", media="application/json"),
                "system",
            ),
        )
