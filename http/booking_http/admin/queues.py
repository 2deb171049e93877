"""The waiting queues: how they are doing, and their rules, changed during a sale."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from booking.calls import UnknownError
from booking.queue.admin import QueueChange, QueueReport
from booking_http.admin.desk import Desk
from booking_http.admin.rows import row
from booking_http.admin.schemas import QueueBody, QueueList
from booking_http.bodies import BodyReader
from booking_http.dispatch import data_reply
from booking_http.problems import RefusedError, malformed
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Route

_REPORT = Answer(200, QueueReport, "The rules in force, and how the queue is doing.")
_UNKNOWN = "There is no such queue."


class QueueDeskCalls:
    def __init__(self, desk: Desk, body_timeout_s: float) -> None:
        self._desk = desk
        self._body = BodyReader(QueueBody, body_timeout_s)

    async def reports(self, call: Call) -> Reply:
        queues = self._desk.queues
        return data_reply(QueueList([await queues.report(name) for name in queues.names()]))

    async def report(self, call: Call) -> Reply:
        try:
            return data_reply(await self._desk.queues.report(call.path_id))
        except UnknownError:
            raise RefusedError("not_found", _UNKNOWN) from None

    async def change(self, call: Call) -> Reply:
        body = await self._body.read(call.request)
        wanted = {
            name: value
            for name, value in msgspec.structs.asdict(body).items()
            if value is not UNSET
        }
        if not wanted:
            raise malformed("The body changes nothing.")
        queues, name = self._desk.queues, call.path_id
        change = msgspec.convert(wanted, QueueChange)
        try:
            await queues.report(name)  # no line in the trail about a queue that is not there
            async with self._desk.noted(call, "queue", {"queue": name, **wanted}):
                return data_reply(await queues.change(name, change, call.who))
        except UnknownError:
            raise RefusedError("not_found", _UNKNOWN) from None
        except ValueError as error:
            raise RefusedError("queue_rules_invalid", str(error)) from None

    def routes(self) -> tuple[Route, ...]:
        desk = self._desk
        return (
            row(
                desk, "GET", "/admin/queues", self.reports, "queues", "All queues",
                Answer(200, QueueList, "Each with its rules and how it is doing."),
            ),
            row(
                desk, "GET", "/admin/queues/{id}", self.report, "queue",
                "A queue's rules and how it is doing", _REPORT, problems=("not_found",),
            ),
            row(
                desk, "PATCH", "/admin/queues/{id}", self.change, "changeQueue",
                "Change a queue's rules; in force when it is answered", _REPORT,
                body=QueueBody, problems=("not_found", "queue_rules_invalid"),
            ),
        )  # fmt: skip
