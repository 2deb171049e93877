"""The two ends of a link: asks and waits, and answers. No task is made for a message."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import msgspec
from attrs import define, field

from actors.clock import Clock
from actors.core.envelope import Deadlines, Envelope, Tracer
from actors.core.supervision import where
from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    NotOwnedError,
    OutcomeUnknownError,
    OverloadedError,
)
from actors.peers.connection import Connection, ProtocolError
from actors.peers.limits import FRAME_OVERHEAD_BYTES, HOPS_MAX, PeerLimits
from actors.peers.protocol import (
    Ask,
    Codec,
    Message,
    Refusal,
    Reply,
    TracedAsk,
    encode,
    error_of,
    refusal_of,
)
from actors.transport import Answer, Request, ShardOwner

log = logging.getLogger(__name__)

TOLD = 0
"""The number of all asks that are only refused and not answered. The release before answers them,
and nobody listens."""


@define(eq=False)
class ClientLink:
    """Bounded by the connection's outbox and by how many asks its peer lets wait."""

    connection: Connection
    _codec: Codec = field(kw_only=True)
    _clock: Clock = field(kw_only=True)
    _deadlines: Deadlines = field(kw_only=True)
    _limits: PeerLimits = field(kw_only=True)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _waiting: dict[int, Envelope] = field(factory=dict, init=False)
    _on_lost: Callable[[], None] = field(default=lambda: None, init=False)

    @property
    def full(self) -> bool:
        """Whether the next ask is refused."""
        return self.connection.outbox.full

    async def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer.

        Raises as :meth:`actors.transport.Transport.ask`, :class:`~actors.errors.OverloadedError`
        while the link is full, and :class:`ValueError` for a command that fits into no frame.
        """
        outbox = self.connection.outbox
        if self.full:
            raise OverloadedError("the link to the owner is full")
        remaining_ms = int((request.deadline - self._clock.monotonic()) * 1000)
        if remaining_ms <= 0:
            raise DeadlineExceededError("no time is left to send it")
        kind = request.address.kind
        content, command = self._codec.encode_command(kind, request.command)
        number = outbox.put_count + 1
        part = encode(ask_of(request, number, remaining_ms, content, command))
        if len(part) > self._limits.frame_bytes_max - FRAME_OVERHEAD_BYTES:
            raise ValueError(f"a command of {len(part)} bytes is too long to be sent")
        future: asyncio.Future[Answer] = self._loop.create_future()
        envelope = Envelope(None, request.key, future, request.deadline, True)
        self._waiting[number] = envelope
        outbox.put(part, envelope)
        self._deadlines.watch(envelope)
        try:
            answer = await future
        finally:
            self._waiting.pop(number, None)
        answer.reply = self._codec.decode_reply(kind, content, answer.reply)
        return answer

    def tell(self, request: Request, on_lost: Callable[[], None]) -> None:
        """Send a request without waiting, as :meth:`actors.transport.Transport.tell`."""
        if self.full:
            raise OverloadedError("the link is full")
        content, command = self._codec.encode_command(request.address.kind, request.command)
        remaining_ms = int((request.deadline - self._clock.monotonic()) * 1000)
        self._on_lost = on_lost
        self.connection.outbox.put(encode(ask_of(request, TOLD, remaining_ms, content, command)))

    def on_message(self, message: Message) -> None:
        """Resolve the caller who waits for this answer, if there still is one. Raises
        :class:`~actors.peers.connection.ProtocolError` for anything but an answer."""
        if type(message) is Reply:
            envelope = self._waiting.pop(message.id, None)
            if envelope is not None:
                envelope.answer(Answer(message.reply, message.replayed, message.beside))
        elif type(message) is Refusal:
            envelope = self._waiting.pop(message.id, None)
            if envelope is not None:
                envelope.refuse(error_of(message))
            elif message.id == TOLD:
                self._on_lost()
        else:
            raise ProtocolError(f"{type(message).__name__} from the side that answers")

    def fail(self, why: str) -> None:
        """Refuse all callers: what was not sent was not done, the rest may have been."""
        taken = self.connection.outbox.taken_count
        for number, envelope in self._waiting.items():
            sent = number <= taken
            envelope.refuse(OutcomeUnknownError(why) if sent else NotOwnedError(why))
        self._waiting.clear()
        self._on_lost()


def ask_of(request: Request, number: int, remaining_ms: int, content: int, command: bytes) -> Ask:
    """The message for a request, with this number and encoded command."""
    fields = (
        number,
        request.address,
        command,
        request.key,
        remaining_ms,
        request.hops,
        request.epoch,
        content,
    )
    return TracedAsk(*fields, request.traceparent) if request.traceparent else Ask(*fields)


class ServerContext(msgspec.Struct, frozen=True):
    """What the server's ends of all links of one instance answer with."""

    ask_here: Callable[[Request], asyncio.Future[Answer]]
    """Answers a request; the future has to be done soon after the deadline."""
    owner_of: Callable[[int], ShardOwner | None]
    """The owner of a shard, from memory: it is called while answering."""
    codec: Codec
    clock: Clock
    limits: PeerLimits
    tracer: Tracer | None
    before_reply: Callable[[str], None] = lambda name: None
    """Called with the name of an instance that is about to be answered."""


@define(eq=False)
class ServerCounts:
    """Over all links of one endpoint."""

    asks: int = 0
    in_flight: int = 0
    """Asks that are not answered yet."""
    refused: int = 0
    """Asks refused by the link itself: too many, too late, too far, or not understood."""
    rejected: int = 0
    """Connections that were not let in."""


class ServerLink:
    """Answers every ask of one link, at most ``asks_max`` at a time."""

    def __init__(
        self, connection: Connection, context: ServerContext, counts: ServerCounts, peer: str
    ) -> None:
        self._peer = peer
        self._connection = connection
        self._context = context
        self._codec = context.codec
        self._counts = counts
        self._in_flight = 0

    def on_message(self, message: Message) -> None:
        """Answer an ask. Raises :class:`~actors.peers.connection.ProtocolError` for anything
        else."""
        if type(message) is not TracedAsk:
            raise ProtocolError(f"{type(message).__name__} from the side that asks")
        self._counts.asks += 1
        tracer = self._context.tracer
        error = self._objection(message)
        if error is None and message.traceparent and tracer is not None:
            with tracer.continued(message.traceparent):
                error = self._ask_here(message)
        elif error is None:
            error = self._ask_here(message)
        if error is not None:
            self._counts.refused += 1
            self._refuse(message, error)

    def _objection(self, ask: Ask) -> Exception | None:
        """Why this ask does not even reach the runtime."""
        if self._in_flight >= self._context.limits.asks_max:
            return OverloadedError("too many asks of one peer")
        if ask.remaining_ms <= 0:
            return DeadlineExceededError("it came too late")
        if ask.hops > HOPS_MAX:
            return NotOwnedError(f"sent on more than {HOPS_MAX} times")
        if ask.epoch:
            owner = self._context.owner_of(ask.address.slot)
            if owner is None or owner.epoch < ask.epoch:
                return NotOwnedError("the sender knows of a later owner")
        return None

    def _ask_here(self, ask: TracedAsk) -> Exception | None:
        kind = ask.address.kind
        try:
            command = self._codec.decode_command(kind, ask.content, ask.command)
        except Exception as error:  # noqa: BLE001 - a codec of the application, on another's bytes
            log.error("a command for %s cannot be read: %s", kind, where(error))
            return EntityCrashedError("the command cannot be read here")
        deadline = self._context.clock.monotonic() + ask.remaining_ms / 1000
        request = Request(ask.address, command, deadline, ask.key, ask.hops, ask.epoch)
        future = self._context.ask_here(request)
        self._in_flight += 1
        self._counts.in_flight += 1
        future.add_done_callback(partial(self._done, ask))
        return None

    def _done(self, ask: Ask, future: asyncio.Future[Answer]) -> None:
        self._in_flight -= 1
        self._counts.in_flight -= 1
        if future.cancelled():
            self._refuse(ask, OutcomeUnknownError("given up while it was decided"))
        elif (error := future.exception()) is not None:
            self._refuse(ask, error)
        elif ask.id != TOLD and not self._connection.ended:
            self._context.before_reply(self._peer)
            self._reply(ask, future.result())

    def _reply(self, ask: Ask, answer: Answer) -> None:
        kind = ask.address.kind
        try:
            data = self._codec.encode_reply(kind, ask.content, answer)
            part = encode(Reply(ask.id, data, answer.replayed, answer.beside))
        except Exception as error:  # noqa: BLE001 - a codec of the application
            log.error("a reply of %s cannot be sent: %s", kind, where(error))
            self._refuse(ask, OutcomeUnknownError("the reply cannot be sent"))
            return
        if len(part) > self._context.limits.frame_bytes_max - FRAME_OVERHEAD_BYTES:
            log.error("a reply of %s is too long: %d bytes", kind, len(part))
            self._refuse(ask, OutcomeUnknownError("the reply is too long to be sent"))
            return
        self._connection.outbox.put(part)

    def _refuse(self, ask: Ask, error: BaseException) -> None:
        if self._connection.ended:
            return
        owner = None
        if isinstance(error, NotOwnedError):
            owner = self._context.owner_of(ask.address.slot)
        named = (owner.instance, owner.epoch) if owner is not None else ("", 0)
        message = refusal_of(ask.id, error, *named)
        if message is None:
            log.error("an ask of a peer ended in no error that an ask has: %s", where(error))
            message = refusal_of(ask.id, OutcomeUnknownError("an unexpected error"))
            assert message is not None, "this error is one"
        self._connection.outbox.put(encode(message))
