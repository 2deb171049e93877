"""Single shards and instances: move, pin, freeze; drain, evict; what a shard has lost."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.address import SLOT_COUNT
from actors.cluster.admin_views import LossView
from booking_http.admin.service import AdminCalls, Done
from booking_http.problems import RefusedError, malformed
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

_Shards = Annotated[tuple[int, ...], Meta(min_length=1, max_length=SLOT_COUNT)]

_NUMBER = re.compile(r"[0-9]{1,9}")
_DONE = Answer(200, Done, "In force or under way, and in the audit trail.")


class TargetBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The instance that is to have the shard."""

    to: InstanceName


class FreezeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the shard has to stay."""

    reason: Reason


class LossList(msgspec.Struct, frozen=True):
    """Everything that was ever found lost, newest first."""

    items: Sequence[LossView]


class AcceptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"shards": [...]}`` accepts the losses of these, ``{"all": true}`` of all that wait."""

    shards: _Shards | UnsetType = UNSET
    all: bool | UnsetType = UNSET


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
    """The calls about single shards and instances; most rows are made from one table."""

    def routes(self) -> tuple[Route, ...]:
        """The rows behind the guard."""
        return (*super().routes(), *(self._guarded(self._row(*each)) for each in _OPERATIONS))

    @Route("GET", "/admin/losses", Answer(200, LossList, "Open ones have no acceptedAtMs."))
    async def losses(self, call: Call) -> Reply:
        """What was committed and is no longer in the journal."""
        return data_reply(LossList(await self.admin.operations.losses()))

    @Route(
        "POST", "/admin/losses/accept", Answer(200, Done, "The shards are served again."),
        body=AcceptBody, problems=("unknown_shard", "no_loss"),
    )  # fmt: skip
    async def accept_losses(self, call: Call) -> Reply:
        """Serve these shards again from what there is."""
        body: AcceptBody = call.body
        if (body.shards is UNSET) is not (body.all is True):
            raise malformed("shards: name them, or send all: true")
        shards = None if body.shards is UNSET else body.shards
        accepted = await self.admin.operations.accept_losses(shards, call.who)
        return data_reply(Done("accept_loss", ", ".join(map(str, accepted)), call.who))

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
