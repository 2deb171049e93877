"""Events, states, replies and commands as bytes.

Events are JSON, so that people can read the journal; the rest is msgpack. The journal knows an
event by its Struct's name and a version; :data:`UPCASTERS` brings payloads of older versions up to
date before they are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""``(event type, version)`` to a function that makes the payload one version newer."""


class Codec:
    """The codecs of one kind of entity. A snapshot that is of another shape than ``states`` is left
    aside, and the journal replayed."""

    def __init__(
        self,
        *,
        states: Any,
        events: Any,
        commands: Any,
        replies: Any,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> None:
        self._json = msgspec.json.Encoder()
        self._pack = msgspec.msgpack.Encoder()
        self._states = msgspec.msgpack.Decoder(states)
        self._events = msgspec.json.Decoder(events)
        self._event_type = events
        self._commands = msgspec.msgpack.Decoder(commands)
        self._replies = msgspec.msgpack.Decoder(replies)
        self._upcasters = upcasters
        self._newest: dict[str, int] = {}
        for event_type, version in upcasters:
            self._newest[event_type] = max(version + 1, self._newest.get(event_type, 1))

    def encode_event(self, event: msgspec.Struct) -> tuple[str, int, bytes]:
        event_type = type(event).__name__
        return event_type, self._newest.get(event_type, 1), self._json.encode(event)

    def decode_event(self, event_type: str, version: int, payload: bytes) -> Any:
        if (event_type, version) not in self._upcasters:
            return self._events.decode(payload)
        document = msgspec.json.decode(payload)
        while upcast := self._upcasters.get((event_type, version)):
            document, version = upcast(document), version + 1
        return msgspec.convert(document, self._event_type)

    def encode_state(self, state: Any) -> bytes:
        return self._pack.encode(state)

    def decode_state(self, data: bytes) -> Any | None:
        try:
            return self._states.decode(data)
        except msgspec.ValidationError:
            return None

    def encode_reply(self, reply: Any) -> bytes:
        return self._pack.encode(reply)

    def decode_reply(self, data: bytes) -> Any:
        return self._replies.decode(data)

    def encode_command(self, command: Any) -> bytes:
        return self._pack.encode(command)

    def decode_command(self, data: bytes) -> Any:
        return self._commands.decode(data)
