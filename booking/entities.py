"""What all entities share: where each lives, and how its events, states and messages are encoded.

Events are JSON, known by their Struct's name and a version; the rest is msgpack. :data:`UPCASTERS`
bring payloads of older versions up to date.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from actors.address import Address

ACCOUNT = "account"
SEAT = "seat"
LEDGER = "ledger"
QUEUE = "queue"


def account_address(user: str) -> Address:
    """The account of a user."""
    return Address(ACCOUNT, user)


@lru_cache(maxsize=16_384)
def seat_address(schedule: str, number: int) -> Address:
    """One seat of a date. It shares a slot with the date's ledger."""
    return Address(SEAT, schedule, str(number))


@lru_cache(maxsize=16_384)
def ledger_address(schedule: str) -> Address:
    """The ledger of a date."""
    return Address(LEDGER, schedule)


@lru_cache(maxsize=1_024)
def queue_address(name: str) -> Address:
    """The waiting queue of this name."""
    return Address(QUEUE, name)


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""``(event type, version)`` to a function that makes the payload one version newer."""


class Codec:
    """The codecs of one kind of entity. A snapshot of another shape than ``states`` is ignored."""

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
        """Type, version and JSON of an event."""
        event_type = type(event).__name__
        return event_type, self._newest.get(event_type, 1), self._json.encode(event)

    def decode_event(self, event_type: str, version: int, payload: bytes) -> Any:
        """The event, brought up to date; :class:`msgspec.ValidationError` for an unknown one."""
        if (event_type, version) not in self._upcasters:
            return self._events.decode(payload)
        document = msgspec.json.decode(payload)
        while upcast := self._upcasters.get((event_type, version)):
            document, version = upcast(document), version + 1
        return msgspec.convert(document, self._event_type)

    def encode_state(self, state: Any) -> bytes:
        """A snapshot of the state."""
        return self._pack.encode(state)

    def decode_state(self, data: bytes) -> Any | None:
        """The state of a snapshot, or ``None`` if it has another shape."""
        try:
            return self._states.decode(data)
        except msgspec.ValidationError:
            return None

    def encode_reply(self, reply: Any) -> bytes:
        """A reply, as it is stored and sent."""
        return self._pack.encode(reply)

    def decode_reply(self, data: bytes) -> Any:
        """The reply of :meth:`encode_reply`."""
        return self._replies.decode(data)

    def encode_command(self, command: Any) -> bytes:
        """A command, as it is sent."""
        return self._pack.encode(command)

    def decode_command(self, data: bytes) -> Any:
        """The command of :meth:`encode_command`."""
        return self._commands.decode(data)
