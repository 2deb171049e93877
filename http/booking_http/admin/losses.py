"""What the journal has lost after a fail-over, and going on without it."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.address import SLOT_COUNT
from actors.cluster.admin_views import LossView
from booking_http.admin.service import AdminCalls, Done
from booking_http.problems import malformed
from booking_http.reply import Reply, data_reply
from booking_http.routes import Answer, Call, Route

_Shards = Annotated[tuple[int, ...], Meta(min_length=1, max_length=SLOT_COUNT)]


class LossList(msgspec.Struct, frozen=True):
    """Everything that was ever found lost, newest first."""

    items: Sequence[LossView]


class AcceptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``{"shards": [...]}`` accepts the losses of these, ``{"all": true}`` of all that wait."""

    shards: _Shards | UnsetType = UNSET
    all: bool | UnsetType = UNSET


class LossCalls(AdminCalls):
    """The calls about losses."""

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
