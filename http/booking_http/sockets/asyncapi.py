"""The AsyncAPI 3.1 document of the websockets and the public events, written from the rows that
serve and the Structs that encode."""

from collections import ChainMap
from collections.abc import Sequence
from typing import Any

import msgspec

from booking.events.contract import MEDIA_TYPE, TYPES, CloudEvent
from booking_http.routes import Route
from booking_http.settings import EdgeSettings
from booking_http.sockets.codes import CLOSE_CODES
from booking_http.sockets.handshake import PROTOCOL
from booking_http.sockets.limits import MESSAGE_SIZE_MAX, MESSAGES_PER_MINUTE_MAX
from booking_http.sockets.messages import (
    Ended,
    Hello,
    Ping,
    Pong,
    QueueUpdate,
    Reconnect,
    SeatsUpdate,
)

Json = dict[str, Any]
Kinds = tuple[type[msgspec.Struct], ...]
_SCHEMA = "#/components/schemas/{name}"

_EVERY_CHANNEL: Kinds = (Hello, Ended, Reconnect, Pong)
CHANNELS: dict[str, tuple[str, Kinds]] = {
    "/queue/ws": ("queue", (QueueUpdate, *_EVERY_CHANNEL)),
    "/concert/seats/ws": ("seats", (SeatsUpdate, *_EVERY_CHANNEL)),
}
"""Each socket's path to its name and all that the service may say there."""


def asyncapi(routes: Sequence[Route], version: str, settings: EdgeSettings) -> bytes:
    """The document of those rows that are websockets, as JSON."""
    shown = [route for route in routes if route.path in CHANNELS]
    said: set[type[msgspec.Struct]] = {Ping}
    said.update(*(CHANNELS[route.path][1] for route in shown))
    kinds = sorted(said, key=lambda kind: kind.__name__)
    every = [*kinds, CloudEvent, *TYPES]
    _, schemas = msgspec.json.schema_components(every, ref_template=_SCHEMA)
    return msgspec.json.encode(
        {
            "asyncapi": "3.1.0",
            "info": {
                "title": "booking: websockets and events",
                "version": version,
                "description": _description(settings),
                "license": {"name": "Apache-2.0"},
            },
            "defaultContentType": "application/json",
            "channels": {**dict(map(_channel, shown)), "events": _EVENTS},
            "operations": {**ChainMap(*map(_operations, shown)), "tell_events": _TELL_EVENTS},
            "components": {
                "schemas": schemas,
                "messages": {kind.__name__: _message(kind) for kind in kinds}
                | {kind.__name__: _event(kind, name) for kind, name in TYPES.items()},
            },
            "x-close-codes": msgspec.to_builtins(CLOSE_CODES),
        }
    )


def _description(settings: EdgeSettings) -> str:
    return (
        f"The token goes into the queue-token header, into Authorization: Bearer, into "
        f"Sec-WebSocket-Protocol (offer {PROTOCOL!r} and the token), or into ?token=. What may not "
        f"come in is refused before the upgrade, as in /openapi.json. Frames are JSON text. A ping "
        f"comes every {settings.heartbeat_s:g} s; who answers none is closed. Clients may send "
        f"{MESSAGES_PER_MINUTE_MAX} frames a minute of at most {MESSAGE_SIZE_MAX} bytes."
    )


def _channel(route: Route) -> tuple[str, Json]:
    name, said = CHANNELS[route.path]
    kinds: Kinds = (*said, Ping)
    query: Json = {
        "type": "object",
        "properties": {
            param.name: {**param.schema, "description": param.description} for param in route.params
        },
        "required": [param.name for param in route.params if param.required],
        "additionalProperties": False,
    }
    headers: Json = {
        "type": "object",
        "properties": {"queue-token": {"type": "string", "description": "The queue token."}},
    }
    ws = {"method": "GET", "query": query, "headers": headers, "bindingVersion": "0.1.0"}
    return name, {
        "address": route.path,
        "title": route.summary,
        "messages": {
            kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in kinds
        },
        "bindings": {"ws": ws},
    }


def _operations(route: Route) -> dict[str, Json]:
    """What the service does there, seen from the service: it sends news and takes pings."""
    name, said = CHANNELS[route.path]
    return {
        f"tell_{name}": _operation("send", name, route.summary, said),
        f"hear_{name}": _operation("receive", name, "Answers a ping", (Ping,)),
    }


def _operation(action: str, channel: str, summary: str, kinds: Kinds) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{kind.__name__}"} for kind in kinds],
    }


_EVENTS: Json = {
    "address": "booking.events.{noun}.{verb}",
    "title": "Public events, as CloudEvents 1.0",
    "description": "The subject in NATS; in Kafka the topic is booking.events, and the key is the "
    "event's subject.",
    "parameters": {
        word: {"enum": sorted({name.split(".")[at] for name in TYPES.values()})}
        for at, word in ((1, "noun"), (2, "verb"))
    },
    "messages": {
        kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in TYPES
    },
    "bindings": {"kafka": {"topic": "booking.events", "bindingVersion": "0.5.0"}},
}
_TELL_EVENTS = _operation("send", "events", _EVENTS["title"], tuple(TYPES))


def _event(kind: type[msgspec.Struct], name: str) -> Json:
    data = {"type": {"const": name}, "data": {"$ref": _SCHEMA.format(name=kind.__name__)}}
    return {
        "name": name,
        "title": kind.__name__,
        "summary": " ".join((kind.__doc__ or "").split()),
        "contentType": MEDIA_TYPE,
        "payload": {"allOf": [{"$ref": _SCHEMA.format(name="CloudEvent")}, {"properties": data}]},
    }


def _message(kind: type[msgspec.Struct]) -> Json:
    tag = kind.__struct_config__.tag
    return {
        "name": tag,
        "title": kind.__name__,
        "summary": " ".join((kind.__doc__ or "").split()),
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMA.format(name=kind.__name__)},
    }
