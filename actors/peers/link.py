"""One link that this instance opened: who waits for which answer on it."""

from __future__ import annotations

import asyncio

from actors.address import Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.core.deadlines import Deadlines
from actors.core.envelope import Envelope
from actors.errors import (
    DeadlineExceededError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
)
from actors.peers.frames import Asked, AskedInTrace, Message, Refused, Replied, encode
from actors.peers.limits import FRAME_OVERHEAD_BYTES, PeerLimits
from actors.peers.refusals import error_of
from actors.peers.wire import MisspokenError, Wire
from actors.transport import Answer


class PeerRequest:
    """An ask as it is handed to a link, all but its number."""

    __slots__ = ("address", "content", "data", "deadline", "epoch", "hops", "key", "traceparent")

    def __init__(
        self,
        address: Address,
        content: int,
        data: bytes,
        key: CommandKey | None,
        deadline: float,
        hops: int,
        epoch: int,
        traceparent: str = "",
    ) -> None:
        self.address = address
        self.content = content
        self.data = data
        self.key = key
        self.deadline = deadline
        self.hops = hops
        self.epoch = epoch
        self.traceparent = traceparent

    def asked(self, number: int, remaining_ms: int) -> Asked:
        """What is said of it."""
        fields = (
            number,
            self.address,
            self.data,
            self.key,
            remaining_ms,
            self.hops,
            self.epoch,
            self.content,
        )
        return AskedInTrace(*fields, self.traceparent) if self.traceparent else Asked(*fields)


class Link:
    """Bounded by its outbox and by how many asks its peer lets wait."""

    def __init__(
        self,
        wire: Wire,
        incarnation: str,
        *,
        clock: Clock,
        deadlines: Deadlines,
        limits: PeerLimits,
    ) -> None:
        self.wire = wire
        self.incarnation = incarnation
        self._clock = clock
        self._deadlines = deadlines
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, Envelope] = {}

    def send(self, parcel: PeerRequest) -> tuple[int, asyncio.Future[Answer]]:
        """Queue an ask; gives its number, for :meth:`forget`, and its answer, whose reply is
        still encoded. Raises :class:`~actors.errors.OverloadedError`,
        :class:`~actors.errors.DeadlineExceededError`, and :class:`ValueError` for a command that
        fits into no frame."""
        outbox = self.wire.outbox
        if outbox.full:
            raise OverloadedError("the link to the owner is full")
        remaining_ms = int((parcel.deadline - self._clock.monotonic()) * 1000)
        if remaining_ms <= 0:
            raise DeadlineExceededError("no time is left to send it")
        number = outbox.put_count + 1
        part = encode(parcel.asked(number, remaining_ms))
        if len(part) > self._limits.frame_bytes_max - FRAME_OVERHEAD_BYTES:
            raise ValueError(f"a command of {len(part)} bytes is too long to be sent")
        future: asyncio.Future[Answer] = self._loop.create_future()
        envelope = Envelope(None, parcel.key, future, parcel.deadline, True)
        self._waiting[number] = envelope
        outbox.put(part, envelope)
        self._deadlines.watch(envelope)
        return number, future

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._waiting.pop(number, None)

    def on_message(self, message: Message) -> None:
        """Raises :class:`~actors.peers.wire.MisspokenError` for anything but an answer. One that
        nobody waits for any more is dropped."""
        if type(message) is Replied:
            envelope = self._waiting.pop(message.id, None)
            if envelope is not None:
                envelope.answer(Answer(message.reply, message.replayed))
        elif type(message) is Refused:
            envelope = self._waiting.pop(message.id, None)
            if envelope is not None:
                envelope.refuse(error_of(message))
        else:
            raise MisspokenError(f"{type(message).__name__} from the side that answers")

    def over(self, why: str) -> None:
        """Answer everybody who still waits: nothing was done of what had not left, the rest may
        be."""
        taken = self.wire.outbox.taken_count
        for number, envelope in self._waiting.items():
            left = number <= taken
            envelope.refuse(OutcomeUnknownError(why) if left else NotOwnedError(why))
        self._waiting.clear()
