"""Webhooks: who is told of events, what could not be delivered, and trying it again."""
# ruff: noqa: N815  -- the field names are the public ones

from typing import Annotated, Any, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from booking.webhooks.contract import (
    AttemptResult,
    DeliveryView,
    State,
    WebhookView,
    secret_of,
)
from booking_http.admin.service import AdminCalls, Done
from booking_http.problems import malformed
from booking_http.reply import Reply, data_reply
from booking_http.routes import LIMIT, Answer, Call, Param, Route

Url = Annotated[str, Meta(min_length=1, max_length=2_000)]
Types = Annotated[list[str], Meta(max_length=100, description="Public types of events; none: all.")]
About = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Secret = Annotated[str, Meta(max_length=100, description="whsec_... of 24 to 64 bytes.")]


class WebhookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell, and of what; without a secret one is made."""

    url: Url
    types: Types = []
    about: About = ""
    secret: Secret | None = None


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; a field left out stays as it is."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    about: About | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another secret, or none for a new one; how long the present one signs too."""

    secret: Secret | None = None
    overlapSeconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400


class ResendBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids of events; none: all that were given up."""

    events: Annotated[list[str], Meta(max_length=1_000)] = []


class WebhookSecret(msgspec.Struct, frozen=True):
    """The only time that the secret is told."""

    id: str
    secret: str


class WebhookList(msgspec.Struct, frozen=True):
    """All endpoints, if webhooks are on."""

    on: bool
    items: list[WebhookView]


class DeliveryList(msgspec.Struct, frozen=True):
    """Newest first."""

    items: list[DeliveryView]


class ResendCount(msgspec.Struct, frozen=True):
    """How many are due again."""

    count: int


_STATES = get_args(State)


def _state(text: str) -> str:
    if text not in _STATES:
        raise ValueError(f"one of {', '.join(_STATES)} is expected")
    return text


_STATE = Param("state", _state, {"enum": [*_STATES]}, "Only those in this state.")
_OFF = ("webhooks_off",)
_ONE = (*_OFF, "unknown_webhook")
_VIEW = Answer(200, WebhookView, "The endpoint and how it is doing.")


class WebhookCalls(AdminCalls):
    """The calls about webhooks."""

    @Route("GET", "/admin/webhooks", Answer(200, WebhookList, "All endpoints."))
    async def webhooks(self, call: Call) -> Reply:
        """Who is told of events, and how each is doing."""
        if not self.admin.has_webhooks:
            return data_reply(WebhookList(False, []))
        return data_reply(WebhookList(True, await self.admin.webhooks.store.all()))

    @Route(
        "POST", "/admin/webhooks", Answer(201, WebhookSecret, "Its id, and once its secret."),
        body=WebhookBody, problems=(*_OFF, "webhook_invalid"),
    )  # fmt: skip
    async def create_webhook(self, call: Call) -> Reply:
        """Have events posted to an address from now on."""
        body: WebhookBody = call.body
        webhooks, detail = self.admin.webhooks, {"url": body.url, "types": body.types}
        async with self.admin.noted(call, "webhook_create", detail):
            made = await webhooks.create(body.url, body.types, body.about, body.secret)
        return data_reply(WebhookSecret(*made), 201)

    @Route("GET", "/admin/webhooks/{id}", _VIEW, problems=_ONE)
    async def webhook(self, call: Call) -> Reply:
        """One endpoint."""
        return data_reply(await self.admin.webhooks.store.view(call.path_id))

    @Route(
        "PATCH", "/admin/webhooks/{id}", _VIEW,
        body=WebhookChange, problems=(*_ONE, "webhook_invalid"),
    )  # fmt: skip
    async def change_webhook(self, call: Call) -> Reply:
        """Change an endpoint, disable or enable it; in force when it is answered."""
        given = msgspec.structs.asdict(call.body).items()
        wanted: dict[str, Any] = {name: value for name, value in given if value is not UNSET}
        if not wanted:
            raise malformed("The body changes nothing.")
        webhooks, name = self.admin.webhooks, call.path_id
        async with self.admin.noted(call, "webhook_change", {"webhook": name, **wanted}):
            await webhooks.change(name, **wanted)
        return data_reply(await webhooks.store.view(name))

    @Route(
        "DELETE", "/admin/webhooks/{id}", Answer(200, Done, "And all it was to be told."),
        problems=_ONE,
    )  # fmt: skip
    async def delete_webhook(self, call: Call) -> Reply:
        """Tell an address nothing any more."""
        webhooks, name = self.admin.webhooks, call.path_id
        async with self.admin.noted(call, "webhook_delete", {"webhook": name}):
            await webhooks.store.delete(name)
        return data_reply(Done("webhook_delete", name, call.who))

    @Route(
        "GET", "/admin/webhooks/{id}/deliveries", Answer(200, DeliveryList, "Newest first."),
        params=(LIMIT, _STATE), problems=_ONE,
    )  # fmt: skip
    async def deliveries(self, call: Call) -> Reply:
        """What an endpoint is and was to be told; the dead ones are those given up."""
        state, limit = call.params["state"], call.params["limit"]
        store = self.admin.webhooks.store
        return data_reply(DeliveryList(await store.deliveries(call.path_id, state, limit)))

    @Route(
        "POST", "/admin/webhooks/{id}/resend", Answer(200, ResendCount, "They are due now."),
        body=ResendBody, problems=_ONE,
    )  # fmt: skip
    async def resend(self, call: Call) -> Reply:
        """Send events again under their ids: those named, or all that were given up."""
        webhooks, name, events = self.admin.webhooks, call.path_id, call.body.events
        detail = {"webhook": name, "events": events}
        async with self.admin.noted(call, "webhook_resend", detail):
            return data_reply(ResendCount(await webhooks.store.resend(name, events)))

    @Route(
        "POST", "/admin/webhooks/{id}/rotate", Answer(200, WebhookSecret, "Once its new secret."),
        body=RotateBody, problems=(*_ONE, "webhook_invalid"),
    )  # fmt: skip
    async def rotate_secret(self, call: Call) -> Reply:
        """Sign with another secret, and for a while with the present one too."""
        body: RotateBody = call.body
        webhooks, name = self.admin.webhooks, call.path_id
        detail = {"webhook": name, "overlapSeconds": body.overlapSeconds}
        async with self.admin.noted(call, "webhook_rotate", detail):
            secret = secret_of(body.secret)
            await webhooks.store.rotate(name, secret, body.overlapSeconds)
        return data_reply(WebhookSecret(name, secret))

    @Route(
        "POST", "/admin/webhooks/{id}/test", Answer(200, AttemptResult, "What it answered."),
        problems=_ONE,
    )  # fmt: skip
    async def test_webhook(self, call: Call) -> Reply:
        """Post an event of the type booking.webhook.ping.v1, and wait for the answer."""
        return data_reply(await self.admin.webhooks.ping(call.path_id))
