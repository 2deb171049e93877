"""Consumers of events: how they are doing, and going on after trouble."""

from typing import Annotated

import msgspec
from msgspec import Meta

from actors.address import SLOT_COUNT
from actors.consumers.operations import ConsumerView, SkippedEvent
from booking_http.admin.placement import Reason
from booking_http.admin.service import AdminCalls, Done
from booking_http.problems import RefusedError
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route

Shard = Annotated[int, Meta(ge=0, lt=SLOT_COUNT)]

_DONE = Answer(200, Done, "In force everywhere within a second, and in the audit trail.")


class ConsumerList(msgspec.Struct, frozen=True):
    """All consumers of the instance that answers."""

    items: list[ConsumerView]


class SkipBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shard that stopped, and why its event may be left out."""

    shard: Shard
    reason: Reason


class RewindBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """After which event to begin again, and where; no shards: everywhere."""

    seq: Annotated[int, Meta(ge=0)] = 0
    shards: Annotated[tuple[Shard, ...], Meta(max_length=SLOT_COUNT)] = ()


class ConsumerAdminCalls(AdminCalls):
    """The calls about consumers."""

    @Route("GET", "/admin/consumers", Answer(200, ConsumerList, "Each with what stopped it."))
    async def consumers(self, call: Call) -> Reply:
        """How all consumers of events are doing."""
        return data_reply(ConsumerList(await self.admin.consumers.views()))

    @Route("POST", "/admin/consumers/{id}/pause", _DONE, problems=("unknown_consumer",))
    async def pause_consumer(self, call: Call) -> Reply:
        """Have a consumer take nothing more, until it is resumed."""
        async with self.admin.noted(call, "consumer_pause", {"consumer": call.path_id}):
            await self.admin.consumers.pause(call.path_id)
        return _done("pause", call)

    @Route("POST", "/admin/consumers/{id}/resume", _DONE, problems=("unknown_consumer",))
    async def resume_consumer(self, call: Call) -> Reply:
        """Have a consumer go on; what it stopped at is tried again."""
        async with self.admin.noted(call, "consumer_resume", {"consumer": call.path_id}):
            await self.admin.consumers.resume(call.path_id)
        return _done("resume", call)

    @Route(
        "POST", "/admin/consumers/{id}/skip", Answer(200, SkippedEvent, "What was left out."),
        body=SkipBody, problems=("unknown_consumer", "nothing_to_skip"),
    )  # fmt: skip
    async def skip_event(self, call: Call) -> Reply:
        """Leave out the event that a consumer stopped at."""
        body: SkipBody = call.body
        detail = {"consumer": call.path_id, "shard": body.shard, "reason": body.reason}
        async with self.admin.noted(call, "consumer_skip", detail):
            skipped = await self.admin.consumers.skip(
                call.path_id, body.shard, body.reason, call.who
            )
        if skipped is None:
            raise RefusedError("nothing_to_skip")
        return data_reply(skipped)

    @Route(
        "POST", "/admin/consumers/{id}/rewind", _DONE,
        body=RewindBody, problems=("unknown_consumer",),
    )  # fmt: skip
    async def rewind_consumer(self, call: Call) -> Reply:
        """Have a consumer take events again that it is done with."""
        body: RewindBody = call.body
        detail = {"consumer": call.path_id, "seq": body.seq, "shards": list(body.shards)}
        async with self.admin.noted(call, "consumer_rewind", detail):
            shards = body.shards or range(SLOT_COUNT)
            await self.admin.consumers.rewind(call.path_id, body.seq, shards)
        return _done("rewind", call)


def _done(verb: str, call: Call) -> Reply:
    return data_reply(Done(f"consumer_{verb}", call.path_id, call.who))
