"""Single shards and instances: move, pin, freeze; drain, evict."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from booking_http.admin.service import AdminCalls, Done
from booking_http.problems import RefusedError
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route

# The length bounds are not ornament: in Python ``$`` also matches before a final newline.
InstanceName = Annotated[
    str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length=1, max_length=63)
]
Reason = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]+$",
        min_length=1,
        max_length=200,
        description="For whoever finds the shard frozen.",
    ),
]

_SHARD = re.compile(r"[0-9]{1,9}")
_DONE = Answer(200, Done, "In force or under way, and in the audit trail.")
_SHARD_PROBLEMS = ("unknown_shard", "conflict")
_TARGET_PROBLEMS = ("unknown_shard", "unknown_instance", "shard_frozen", "conflict")
_INSTANCE_PROBLEMS = ("unknown_instance", "conflict")


class TargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instance that is to have the shard."""

    to: InstanceName


class FreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the shard has to stay."""

    reason: Reason


class ShardCalls(AdminCalls):
    """The calls about one shard."""

    @Route("POST", "/admin/shards/{id}/move", _DONE, body=TargetBody, problems=_TARGET_PROBLEMS)
    async def move_shard(self, call: Call) -> Reply:
        """Move a shard now, once."""
        shard = _shard(call)
        await self.admin.operations.move(shard, call.body.to, call.who)
        return _done(call, "move", shard)

    @Route("POST", "/admin/shards/{id}/pin", _DONE, body=TargetBody, problems=_TARGET_PROBLEMS)
    async def pin_shard(self, call: Call) -> Reply:
        """Move a shard to an instance and keep it there."""
        shard = _shard(call)
        await self.admin.operations.pin(shard, call.body.to, call.who)
        return _done(call, "pin", shard)

    @Route("POST", "/admin/shards/{id}/unpin", _DONE, problems=_SHARD_PROBLEMS)
    async def unpin_shard(self, call: Call) -> Reply:
        """Let balance decide where a shard is."""
        shard = _shard(call)
        await self.admin.operations.unpin(shard, call.who)
        return _done(call, "unpin", shard)

    @Route("POST", "/admin/shards/{id}/freeze", _DONE, body=FreezeBody, problems=_SHARD_PROBLEMS)
    async def freeze_shard(self, call: Call) -> Reply:
        """Keep a shard where it is, whatever the plan."""
        shard = _shard(call)
        await self.admin.operations.freeze(shard, call.body.reason, call.who)
        return _done(call, "freeze", shard)

    @Route("POST", "/admin/shards/{id}/unfreeze", _DONE, problems=_SHARD_PROBLEMS)
    async def unfreeze_shard(self, call: Call) -> Reply:
        """Let a shard move again."""
        shard = _shard(call)
        await self.admin.operations.unfreeze(shard, call.who)
        return _done(call, "unfreeze", shard)


class InstanceCalls(AdminCalls):
    """The calls about one instance."""

    @Route("POST", "/admin/instances/{id}/drain", _DONE, problems=_INSTANCE_PROBLEMS)
    async def drain_instance(self, call: Call) -> Reply:
        """Move everything away from an instance, and give it nothing."""
        await self.admin.operations.drain(call.path_id, call.who)
        return _done(call, "drain", call.path_id)

    @Route("POST", "/admin/instances/{id}/undrain", _DONE, problems=_INSTANCE_PROBLEMS)
    async def undrain_instance(self, call: Call) -> Reply:
        """Give an instance shards again, also after an eviction."""
        await self.admin.operations.undrain(call.path_id, call.who)
        return _done(call, "undrain", call.path_id)

    @Route("POST", "/admin/instances/{id}/evict", _DONE, problems=_INSTANCE_PROBLEMS)
    async def evict_instance(self, call: Call) -> Reply:
        """Take a sick instance's shards away without asking it."""
        await self.admin.operations.evict(call.path_id, call.who)
        return _done(call, "evict", call.path_id)


def _shard(call: Call) -> int:
    if _SHARD.fullmatch(call.path_id) is None:
        raise RefusedError("unknown_shard")
    return int(call.path_id)


def _done(call: Call, what: str, target: int | str) -> Reply:
    return data_reply(Done(what, str(target), call.who))
