"""Two instances on loopback with a relay between them that a test can cut or stop."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from aiohttp import web

from actors.address import Address
from actors.behaviour import Behaviour, CommandKey
from actors.clock import SystemClock
from actors.core.envelope import LOOK_UP, QUERY, Tracer
from actors.errors import DeadlineExceededError
from actors.membership.contract import Member
from actors.membership.foreign import ForeignInstances
from actors.peers import Handshake, PeerEndpoint, PeerLimits, PeerTransport, Secret
from actors.peers.handshake import IsPrevious
from actors.transport import Answer, Request, ShardOwner
from tests.support.toys import Counter

SECRET = b"a secret of the whole cluster"
ANN = Address("counter", "ann")
WAIT_MAX_S = 30.0
LIMITS = PeerLimits(
    backoff_min_s=0.01,
    backoff_max_s=0.05,
    close_timeout_s=0.2,
    handshake_timeout_s=WAIT_MAX_S,
    silence_max_s=WAIT_MAX_S,
)
"""As in service, but that tests wait less for a peer that comes back, and give none up because
their machine stood still."""
log = logging.getLogger(__name__)


FOREIGN = ForeignInstances()
"""Met by any instance of these tests."""


def nobody(instance: str, incarnation: str) -> bool:
    return False


def handshake(member: Member, secret: bytes, is_previous: IsPrevious) -> Handshake:
    return Handshake(member, Secret(secret), secrets.token_bytes, is_previous, FOREIGN)


class Clerk:
    """Answers asks as the command says: ``["wait"]`` when :meth:`finish` is called, an exception
    of :attr:`errors` by its name, anything else with itself."""

    def __init__(self) -> None:
        self.got: list[tuple[Address, Any, CommandKey | None, float]] = []
        self.waiting: list[asyncio.Future[Answer]] = []
        self.errors: dict[str, Exception] = {}
        self.replayed = False
        self.behaviours: dict[str, Behaviour] = {"counter": Counter()}

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        timeout_s: float | None = None,
    ) -> asyncio.Future[Answer]:
        assert timeout_s is not None
        self.got.append((address, command, key, timeout_s))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if command in (["wait"], ("wait",)):
            self.waiting.append(future)
            loop.call_later(timeout_s, _too_late, future)
        elif isinstance(command, str) and command in self.errors:
            future.set_exception(self.errors[command])
        else:
            reply = (
                {LOOK_UP: None, QUERY: 7}.get(command) if command in (LOOK_UP, QUERY) else command
            )
            future.set_result(Answer(reply, self.replayed))
        return future

    def ask_here(self, request: Request) -> asyncio.Future[Answer]:
        timeout_s = request.deadline - SystemClock().monotonic()
        return self.ask(request.address, request.command, key=request.key, timeout_s=timeout_s)

    def finish(self, reply: Any = "finished") -> None:
        for future in self.waiting:
            if not future.done():
                future.set_result(Answer(reply))
        self.waiting.clear()


def _too_late(future: asyncio.Future[Answer]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceededError("no answer in time"))


class Relay:
    """Passes bytes on in both directions, until it is stopped or cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self.accepted = 0
        self._open = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._open += 1
        self._writers.append(writer)
        try:
            await self._carry(reader, writer)
        finally:
            self._open -= 1

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.append(far_writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, far_writer))
            group.create_task(self._pump(far_reader, writer))
        for either in (writer, far_writer):
            with suppress(OSError):
                await either.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError) as error:  # uvloop tells of a closed one by the second
            log.debug("a connection of the relay ended: %s", error)
        writer.close()

    def stop(self) -> None:
        """Let nothing through, in neither direction, and keep the connections open."""
        self._flows.clear()

    def go_on(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """Cut all connections; new ones are let through."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        self._server.close()
        self.go_on()
        self.cut()
        await until(lambda: not self._open)


class Listening:
    """An endpoint behind aiohttp's low-level server, and its relay."""

    def __init__(
        self,
        clerk: Clerk,
        *,
        instance: str = "two",
        incarnation: str = "two-1",
        secret: bytes = SECRET,
        cluster: str = "",
        is_previous: IsPrevious = nobody,
        limits: PeerLimits = LIMITS,
        owner_of: Callable[[int], ShardOwner | None] = lambda shard: None,
        tracer: Tracer | None = None,
    ) -> None:
        self.endpoint = PeerEndpoint(
            handshake(Member(instance, incarnation, "", 0, cluster=cluster), secret, is_previous),
            ask_here=clerk.ask_here,
            behaviour_of=clerk.behaviours.__getitem__,
            clock=SystemClock(),
            owner_of=owner_of,
            limits=limits,
            tracer=tracer,
        )

    async def start(self, port: int = 0) -> None:
        self._web = web.Server(self.endpoint.serve)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._web, "127.0.0.1", port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._listener.close()
        await self.endpoint.close()
        await self._web.shutdown(1.0)


class Pair:
    """Instance ``one`` asks, instance ``two`` answers, through a relay."""

    def __init__(self) -> None:
        self.clerk = Clerk()
        self.behaviours = self.clerk.behaviours
        self.transports: list[PeerTransport] = []
        self.members: dict[str, str] = {}
        self.clock = SystemClock()
        self.looked_up = 0

    async def start(self, **options: Any) -> None:
        self.listening = Listening(self.clerk, **options)
        await self.listening.start()
        self.relay = Relay(self.listening.port)
        await self.relay.start()
        self.members["two"] = self.relay.url

    async def restart(self, **options: Any) -> None:
        """The instance that answers comes back as another incarnation, on the same port."""
        port = self.listening.port
        await self.listening.close()
        self.relay.cut()
        self.listening = Listening(self.clerk, **options)
        await self.listening.start(port)

    def url_of(self, instance: str) -> str | None:
        self.looked_up += 1
        return self.members.get(instance)

    def transport(
        self,
        *,
        secret: bytes = SECRET,
        cluster: str = "",
        is_previous: IsPrevious = nobody,
        limits: PeerLimits = LIMITS,
    ) -> PeerTransport:
        transport = PeerTransport(
            handshake(Member("one", "one-1", "", 0, cluster=cluster), secret, is_previous),
            url_of=self.url_of,
            behaviour_of=self.behaviours.__getitem__,
            clock=self.clock,
            random=Random(1),
            limits=limits,
        )
        self.transports.append(transport)
        return transport

    def in_s(self, seconds: float) -> float:
        """A deadline so far from now."""
        return self.clock.monotonic() + seconds

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()
            assert not transport.failed.done()
        await self.listening.close()
        await self.relay.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds, for at most :data:`WAIT_MAX_S`."""
    async with asyncio.timeout(WAIT_MAX_S):
        while not condition():  # noqa: ASYNC110 - conditions of any kind
            await asyncio.sleep(0.002)
