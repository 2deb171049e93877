"""Control messages to and from other instances. One that is only sent may get lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from actors.clock import Clock
from actors.cluster.control_messages import (
    CONTROL_ADDRESS,
    Acknowledged,
    ApplicationMessage,
    ControlMessage,
    ControlReply,
    PlacementChanged,
)
from actors.errors import EntityCrashedError, UnavailableError
from actors.tasks import Tasks
from actors.transport import Answer, Request, Transport

log = logging.getLogger(__name__)

NOTIFY_TIMEOUT_S = 1.0
"""Receivers find out by themselves after that: every loop reads its table each second."""

Handler = Callable[[Any], None]
Responder = Callable[[Any], Awaitable[ControlReply]]


class ControlChannel:
    """Sends control messages over the peer links, and hands received ones to their handlers."""

    def __init__(self, instance: str, links: Transport, clock: Clock, tasks: Tasks) -> None:
        self._instance = instance
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._handlers: dict[type, Handler] = {}
        self._responders: dict[type, Responder] = {}

    def on(self, kind: type[ControlMessage], handler: Handler) -> None:
        """Call ``handler`` with each message of this type, and acknowledge it."""
        self._handlers[kind] = handler

    def answer(self, kind: type[ControlMessage], responder: Responder) -> None:
        """Reply to each message of this type with what ``responder`` returns."""
        self._responders[kind] = responder

    # -- receiving -----------------------------------------------------------------------------

    def receive(self, message: ControlMessage) -> asyncio.Future[Answer]:
        """Handle a message of another instance; the future gets the reply."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        kind = type(message)
        if kind in self._responders:
            self._tasks.spawn(self._respond(message, future), kind.__name__)
        else:
            try:
                self._handlers[kind](message)
            except UnavailableError as error:
                future.set_exception(error)
            else:
                future.set_result(Answer(Acknowledged()))
        return future

    async def _respond(self, message: ControlMessage, future: asyncio.Future[Answer]) -> None:
        reply = await self._responders[type(message)](message)
        if not future.done():
            future.set_result(Answer(reply))

    # -- sending -------------------------------------------------------------------------------

    async def ask(self, instance: str, message: ControlMessage, timeout_s: float) -> ControlReply:
        """Send a message and return the reply. Raises as
        :meth:`actors.transport.Transport.ask`."""
        deadline = self._clock.monotonic() + timeout_s
        answer = await self._links.ask(instance, Request(CONTROL_ADDRESS, message, deadline))
        reply: ControlReply = answer.reply
        return reply

    def tell(self, instance: str, message: bytes, on_lost: Callable[[], None]) -> None:
        """Send an encoded message that is not answered, as
        :meth:`actors.transport.Transport.tell`."""
        deadline = self._clock.monotonic() + NOTIFY_TIMEOUT_S
        self._links.tell(instance, Request(CONTROL_ADDRESS, message, deadline), on_lost)

    def notify(self, instance: str, message: ControlMessage) -> None:
        """Send a message without waiting. One to this instance itself is handled at once."""
        if instance == self._instance:
            self._handlers[type(message)](message)
        else:
            self._tasks.spawn(self._notify(instance, message), type(message).__name__)

    async def _notify(self, instance: str, message: ControlMessage) -> None:
        try:
            await self.ask(instance, message, NOTIFY_TIMEOUT_S)
        except (UnavailableError, EntityCrashedError) as error:
            log.info("%s did not receive %s: %s", instance, type(message).__name__, error)

    def announce_placement(self, instances: Collection[str]) -> None:
        """Tell these instances that the stored placement has changed."""
        for name in instances:
            self.notify(name, PlacementChanged())

    def send(self, instance: str, topic: str, body: bytes) -> None:
        """Send a message to the application of another instance."""
        self.notify(instance, ApplicationMessage(topic, body))

    def connected(self, instance: str) -> bool:
        """Whether there is a peer link to the instance on which it answers."""
        return self._links.connected(instance)

    async def close(self) -> None:
        """Close the peer links."""
        await self._links.close()
