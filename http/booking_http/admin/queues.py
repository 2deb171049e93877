"""Reports about the waiting queues, and changes of their rules during a sale."""
# ruff: noqa: N815  -- the field names are the public ones

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.calls import UnknownError
from booking.queue.admin import QueueChange, QueueReport
from booking_http.admin.service import AdminCalls
from booking_http.problems import RefusedError, malformed
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route

_REPORT = Answer(200, QueueReport, "The rules in force, and how the queue is doing.")
_UNKNOWN = "There is no such queue."


class QueueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; a field left out stays as it is."""

    mode: Literal["open", "paused", "queue_all"] | UnsetType = UNSET
    maxActive: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    admitPerInterval: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET
    intervalS: Annotated[int, Meta(ge=1, le=86_400)] | UnsetType = UNSET
    activeS: Annotated[int, Meta(ge=1, le=86_400)] | UnsetType = UNSET
    maxWaiting: Annotated[int, Meta(ge=0, le=1_000_000_000)] | UnsetType = UNSET
    opensAt: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET
    reason: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    """For the trail."""


class QueueList(msgspec.Struct, frozen=True):
    """All queues."""

    items: list[QueueReport]


class QueueAdminCalls(AdminCalls):
    """The calls about queues."""

    @Route(
        "GET", "/admin/queues", Answer(200, QueueList, "Each with its rules and how it is doing.")
    )
    async def queues(self, call: Call) -> Reply:
        """All queues."""
        queues = self.admin.queues
        return data_reply(QueueList([await queues.report(name) for name in queues.names()]))

    @Route("GET", "/admin/queues/{id}", _REPORT, problems=("not_found",))
    async def queue(self, call: Call) -> Reply:
        """A queue's rules and how it is doing."""
        try:
            return data_reply(await self.admin.queues.report(call.path_id))
        except UnknownError:
            raise RefusedError("not_found", _UNKNOWN) from None

    @Route(
        "PATCH", "/admin/queues/{id}", _REPORT,
        body=QueueBody, problems=("not_found", "queue_rules_invalid"),
    )  # fmt: skip
    async def change_queue(self, call: Call) -> Reply:
        """Change a queue's rules; in force when it is answered."""
        given = msgspec.structs.asdict(call.body).items()
        wanted = {name: value for name, value in given if value is not UNSET}
        detail = {"queue": call.path_id, **wanted}
        wanted.pop("reason", None)
        if not wanted:
            raise malformed("The body changes nothing.")
        queues, name = self.admin.queues, call.path_id
        change = msgspec.convert(wanted, QueueChange)
        try:
            await queues.report(name)  # no line in the trail about a queue that is not there
            async with self.admin.noted(call, "queue", detail):
                return data_reply(await queues.change(name, change, call.who))
        except UnknownError:
            raise RefusedError("not_found", _UNKNOWN) from None
        except ValueError as error:
            raise RefusedError("queue_rules_invalid", str(error)) from None
