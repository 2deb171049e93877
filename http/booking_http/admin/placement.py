"""Single shards and instances: move, pin, freeze; drain, evict."""

import re
from functools import partial
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

_NUMBER = re.compile(r"[0-9]{1,9}")
_DONE = Answer(200, Done, "In force or under way, and in the audit trail.")


class TargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instance that is to have the shard."""

    to: InstanceName


class FreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the shard has to stay."""

    reason: Reason


_TARGET = (TargetBody, ("unknown_shard", "unknown_instance", "shard_frozen", "conflict"))
_FREEZE = (FreezeBody, ("unknown_shard", "conflict"))
_SHARD = (None, ("unknown_shard", "conflict"))
_INSTANCE = (None, ("unknown_instance", "conflict"))
_OPERATIONS: tuple[tuple[str, str, type | None, tuple[str, ...], str], ...] = (
    ("shard", "move", *_TARGET, "Move a shard now, once"),
    ("shard", "pin", *_TARGET, "Move a shard to an instance and keep it there"),
    ("shard", "unpin", *_SHARD, "Let balance decide where a shard is"),
    ("shard", "freeze", *_FREEZE, "Keep a shard where it is, whatever the plan"),
    ("shard", "unfreeze", *_SHARD, "Let a shard move again"),
    ("instance", "drain", *_INSTANCE, "Move everything away from an instance, and give it nothing"),
    ("instance", "undrain", *_INSTANCE, "Give an instance shards again, also after an eviction"),
    ("instance", "evict", *_INSTANCE, "Take a sick instance's shards away without asking it"),
)
"""What each is about, the method of the cluster's operations, body, problems and summary."""


class PlacementCalls(AdminCalls):
    """The calls about one shard or one instance. Their rows are made from one table."""

    def routes(self) -> tuple[Route, ...]:
        """The rows behind the guard."""
        return tuple(self._guarded(self._row(*each)) for each in _OPERATIONS)

    def _row(
        self, kind: str, verb: str, body: type | None, problems: tuple[str, ...], summary: str
    ) -> Route:
        return Route(
            "POST",
            f"/admin/{kind}s/{{id}}/{verb}",
            _DONE,
            body=body,
            problems=problems,
            name=verb + kind.capitalize(),
            summary=summary,
            handle=partial(self._operate, kind, verb),
        )

    async def _operate(self, kind: str, verb: str, call: Call) -> Reply:
        target = _shard(call) if kind == "shard" else call.path_id
        given = () if call.body is None else msgspec.structs.astuple(call.body)
        await getattr(self.admin.operations, verb)(target, *given, call.who)
        return data_reply(Done(verb, str(target), call.who))


def _shard(call: Call) -> int:
    if _NUMBER.fullmatch(call.path_id) is None:
        raise RefusedError("unknown_shard")
    return int(call.path_id)
