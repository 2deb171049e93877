"""One link that another instance opened: its asks go to the runtime, the answers back.

Callbacks only: no task is made for a message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import CommandKey
from actors.core.supervision import where
from actors.core.tracing import Tracer
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
)
from actors.peers.codec import Codec
from actors.peers.frames import Asked, AskedInTrace, Message, Replied, encode
from actors.peers.limits import FRAME_OVERHEAD_BYTES, HOPS_MAX, PeerLimits
from actors.peers.refusals import refused
from actors.peers.wire import MisspokenError, Wire
from actors.transport import Answer

log = logging.getLogger(__name__)

AskHere = Callable[[Address, Any, CommandKey | None, float], "asyncio.Future[Answer]"]
"""Address, command, key, seconds until the deadline: as :meth:`actors.runtime.Runtime.ask`. The
future has to be done soon after the deadline."""


class Owner(msgspec.Struct, frozen=True):
    """Who owns a slot, and since which epoch, as far as an instance knows."""

    instance: str
    epoch: int


OwnerOf = Callable[[int], Owner | None]
"""The owner of a slot, from memory: it is called while answering."""


class Counts:
    """Over all links of one endpoint."""

    __slots__ = ("asks", "in_flight", "refused", "turned_away")

    def __init__(self) -> None:
        self.asks = 0
        self.in_flight = 0
        self.refused = 0
        self.turned_away = 0


class ServedLink:
    """Answers every ask of one link, at most ``asks_max`` at a time."""

    def __init__(
        self,
        wire: Wire,
        *,
        ask_here: AskHere,
        owner_of: OwnerOf,
        codec: Codec,
        limits: PeerLimits,
        counts: Counts,
        tracer: Tracer | None = None,
    ) -> None:
        self._wire = wire
        self._ask_here = ask_here
        self._owner_of = owner_of
        self._codec = codec
        self._limits = limits
        self._counts = counts
        self._tracer = tracer
        self._in_flight = 0

    def on_message(self, message: Message) -> None:
        """Raises :class:`~actors.peers.wire.MisspokenError` for anything but an ask."""
        if type(message) is not AskedInTrace:
            raise MisspokenError(f"{type(message).__name__} from the side that asks")
        self._counts.asks += 1
        error = self._objection(message)
        if error is None and message.traceparent and self._tracer is not None:
            with self._tracer.continued(message.traceparent):
                error = self._pass_on(message)
        elif error is None:
            error = self._pass_on(message)
        if error is not None:
            self._counts.refused += 1
            self._refuse(message, error)

    def _objection(self, asked: Asked) -> Exception | None:
        """Why this ask does not even reach the runtime."""
        if self._in_flight >= self._limits.asks_max:
            return OverloadedError("too many asks of one peer")
        if asked.remaining_ms <= 0:
            return DeadlineExceededError("it came too late")
        if asked.hops > HOPS_MAX:
            return NotOwnedError(f"sent on more than {HOPS_MAX} times")
        if asked.epoch:
            owner = self._owner_of(asked.address.slot)
            if owner is None or owner.epoch < asked.epoch:
                return NotOwnedError("the sender knows of a later owner")
        return None

    def _pass_on(self, asked: Asked) -> Exception | None:
        kind = asked.address.kind
        try:
            command = self._codec.unpack_command(kind, asked.content, asked.command)
        except Exception as error:  # noqa: BLE001 - a codec of the application, on another's bytes
            log.error("a command for %s cannot be read: %s", kind, where(error))
            return EntityCrashedError("the command cannot be read here")
        future = self._ask_here(asked.address, command, asked.key, asked.remaining_ms / 1000)
        self._in_flight += 1
        self._counts.in_flight += 1
        future.add_done_callback(partial(self._done, asked))
        return None

    def _done(self, asked: Asked, future: asyncio.Future[Answer]) -> None:
        self._in_flight -= 1
        self._counts.in_flight -= 1
        if future.cancelled():
            self._refuse(asked, OutcomeUnknownError("given up while it was decided"))
            return
        error = future.exception()
        if error is not None:
            self._refuse(asked, error)
        elif not self._wire.ended:
            self._reply(asked, future.result())

    def _reply(self, asked: Asked, answer: Answer) -> None:
        try:
            data = self._codec.pack_reply(asked.address.kind, asked.content, answer)
            part = encode(Replied(asked.id, data, answer.replayed))
        except Exception as error:  # noqa: BLE001 - a codec of the application
            log.error("a reply of %s cannot be sent: %s", asked.address.kind, where(error))
            self._refuse(asked, OutcomeUnknownError("the reply cannot be sent"))
            return
        if len(part) > self._limits.frame_bytes_max - FRAME_OVERHEAD_BYTES:
            log.error("a reply of %s is too long: %d bytes", asked.address.kind, len(part))
            self._refuse(asked, OutcomeUnknownError("the reply is too long to be sent"))
            return
        self._wire.outbox.put(part)

    def _refuse(self, asked: Asked, error: BaseException) -> None:
        if self._wire.ended:
            return
        owner = self._owner_of(asked.address.slot) if isinstance(error, NotOwnedError) else None
        message = None
        if isinstance(error, Exception):
            named = (owner.instance, owner.epoch) if owner is not None else ("", 0)
            message = refused(asked.id, error, *named)
        if message is None:
            log.error("an ask of a peer ended in no error that an ask has: %s", where(error))
            message = refused(asked.id, OutcomeUnknownError("an unexpected error"))
            assert message is not None
        self._wire.outbox.put(encode(message))
