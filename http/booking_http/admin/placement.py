"""Single shards and instances: move, pin, freeze; drain, evict."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from booking_http.admin.desk import Desk
from booking_http.admin.rows import row
from booking_http.admin.schemas import Done, FreezeBody, TargetBody
from booking_http.bodies import BodyReader
from booking_http.dispatch import data_reply
from booking_http.problems import RefusedError
from booking_http.reply import Reply
from booking_http.routes import Answer, Call, Route

_SHARD = re.compile(r"[0-9]{1,9}")
_DONE = Answer(200, Done, "In force or under way, and in the audit trail.")
_SHARD_PROBLEMS = ("unknown_shard", "conflict")
_TARGET_PROBLEMS = ("unknown_shard", "unknown_instance", "shard_frozen", "conflict")
_INSTANCE_PROBLEMS = ("unknown_instance", "conflict")


class ShardCalls:
    def __init__(self, desk: Desk, body_timeout_s: float) -> None:
        self._desk = desk
        self._target = BodyReader(TargetBody, body_timeout_s)
        self._freeze = BodyReader(FreezeBody, body_timeout_s)

    async def move(self, call: Call) -> Reply:
        shard, body = _shard(call), await self._target.read(call.request)
        await self._desk.operations.move(shard, body.to, call.who)
        return _done(call, "move", shard)

    async def pin(self, call: Call) -> Reply:
        shard, body = _shard(call), await self._target.read(call.request)
        await self._desk.operations.pin(shard, body.to, call.who)
        return _done(call, "pin", shard)

    async def unpin(self, call: Call) -> Reply:
        shard = _shard(call)
        await self._desk.operations.unpin(shard, call.who)
        return _done(call, "unpin", shard)

    async def freeze(self, call: Call) -> Reply:
        shard, body = _shard(call), await self._freeze.read(call.request)
        await self._desk.operations.freeze(shard, body.reason, call.who)
        return _done(call, "freeze", shard)

    async def unfreeze(self, call: Call) -> Reply:
        shard = _shard(call)
        await self._desk.operations.unfreeze(shard, call.who)
        return _done(call, "unfreeze", shard)

    def routes(self) -> tuple[Route, ...]:
        desk, at = self._desk, "/admin/shards/{id}"
        return (
            row(
                desk, "POST", f"{at}/move", self.move, "moveShard", "Move a shard now, once",
                _DONE, body=TargetBody, problems=_TARGET_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/pin", self.pin, "pinShard",
                "Move a shard to an instance and keep it there",
                _DONE, body=TargetBody, problems=_TARGET_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/unpin", self.unpin, "unpinShard",
                "Let balance decide where a shard is", _DONE, problems=_SHARD_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/freeze", self.freeze, "freezeShard",
                "Keep a shard where it is, whatever the plan",
                _DONE, body=FreezeBody, problems=_SHARD_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/unfreeze", self.unfreeze, "unfreezeShard",
                "Let a shard move again", _DONE, problems=_SHARD_PROBLEMS,
            ),
        )  # fmt: skip


class InstanceCalls:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def drain(self, call: Call) -> Reply:
        return await self._ask(call, "drain", self._desk.operations.drain)

    async def undrain(self, call: Call) -> Reply:
        return await self._ask(call, "undrain", self._desk.operations.undrain)

    async def evict(self, call: Call) -> Reply:
        return await self._ask(call, "evict", self._desk.operations.evict)

    async def _ask(
        self, call: Call, what: str, operation: Callable[[str, str], Awaitable[None]]
    ) -> Reply:
        await operation(call.path_id, call.who)
        return _done(call, what, call.path_id)

    def routes(self) -> tuple[Route, ...]:
        desk, at = self._desk, "/admin/instances/{id}"
        return (
            row(
                desk, "POST", f"{at}/drain", self.drain, "drainInstance",
                "Move everything away from an instance, and give it nothing",
                _DONE, problems=_INSTANCE_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/undrain", self.undrain, "undrainInstance",
                "Give an instance shards again, also after an eviction",
                _DONE, problems=_INSTANCE_PROBLEMS,
            ),
            row(
                desk, "POST", f"{at}/evict", self.evict, "evictInstance",
                "Take a sick instance's shards away without asking it",
                _DONE, problems=_INSTANCE_PROBLEMS,
            ),
        )  # fmt: skip


def _shard(call: Call) -> int:
    if _SHARD.fullmatch(call.path_id) is None:
        raise RefusedError("unknown_shard")
    return int(call.path_id)


def _done(call: Call, what: str, target: int | str) -> Reply:
    return data_reply(Done(what, str(target), call.who))
