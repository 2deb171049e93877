"""Links between the instances of one process, with the real ends: what is said is encoded, numbered
and refused as between real instances; only the wire between the two ends is made here.

A cut wire behaves as TCP does: what is said is kept and arrives when it is mended, unless the link
was given up by then for its silence. A process that is gone resets its links at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial

from actors.behaviour import Behaviour
from actors.clock import Clock
from actors.core.envelope import Deadlines, Envelope
from actors.errors import NotOwnedError, StoppingError
from actors.peers.limits import HOPS_MAX, PeerLimits
from actors.peers.link import ClientLink, ServerContext, ServerCounts, ServerLink
from actors.peers.protocol import Codec, Message, decode_frame, frame_of
from actors.transport import Answer, Request

LIMITS = PeerLimits()
LATENCY_S = 0.0005
"""One way, between machines of one data centre."""
RECONNECT_S = 0.2


class PipeWire:
    """Stands for :class:`actors.peers.connection.Connection` and its outbox, at one end. The other
    end hears in ``context``, which is its process'."""

    def __init__(
        self, whole: Callable[[], bool], context: Context, latency_s: Callable[[], float]
    ) -> None:
        self._whole = whole
        self._latency_s = latency_s
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._parts: deque[bytes] = deque()
        self.outbox = self
        self.full = False
        self.put_count = self.taken_count = 0
        self.ended = ""
        self.hear: Callable[[Message], None]
        """Of the other end."""

    def put(self, part: bytes, envelope: Envelope | None = None) -> None:
        self.put_count += 1
        self.taken_count += 1
        self._parts.append(part)
        self._loop.call_later(self._latency_s(), self._deliver, context=self._context)

    def _deliver(self) -> None:
        """The oldest part arrives, if the wire is whole."""
        if self._parts and self._whole() and not self.ended:
            for message in decode_frame(frame_of([self._parts.popleft()])):
                self.hear(message)

    def catch_up(self) -> None:
        """The wire is whole again."""
        for _ in self._parts:
            self._loop.call_soon(self._deliver, context=self._context)


class Door:
    """Where an instance listens: what it answers with, and the context of its process."""

    def __init__(self, instance: str, service: ServerContext, context: Context) -> None:
        self.instance = instance
        self.context = context
        self._service = service

    def served(self, wire: PipeWire, peer: str) -> ServerLink:
        return ServerLink(wire, self._service, ServerCounts(), peer)  # type: ignore[arg-type]  # stands for one


class Pipe:
    """One link from the instance that asks to the one that answers, each named by its address."""

    def __init__(self, network: Network, source: Line, url: str) -> None:
        self.ends = frozenset((source.url, url))
        whole = partial(network.whole, self.ends)
        latency_s = partial(network.latency_s, self.ends)
        self.there = PipeWire(whole, network.doors[url].context, latency_s)
        self.back = PipeWire(whole, network.doors[source.url].context, latency_s)
        self.link = ClientLink(
            self.there,  # type: ignore[arg-type]  # stands for one
            codec=source.codec,
            clock=source.clock,
            deadlines=source.deadlines,
            limits=LIMITS,
        )
        peer = network.doors[source.url].instance
        self.there.hear = network.doors[url].served(self.back, peer).on_message
        self.back.hear = self.link.on_message

    @property
    def up(self) -> bool:
        return not self.there.ended

    def end(self, why: str) -> None:
        if self.up:
            self.there.ended = self.back.ended = why
            self.link.fail(why)


class Network:
    """All doors and links. Instances are known by the addresses that they announce."""

    def __init__(self) -> None:
        self.doors: dict[str, Door] = {}
        self._connections: list[Pipe] = []
        self._cut: dict[frozenset[str], float] = {}
        """Pairs of instances, or one alone for all of its links."""
        self._late: dict[str, Callable[[], float]] = {}
        """By how much messages from and to these instances are late."""

    def whole(self, ends: frozenset[str]) -> bool:
        """Whether something said on a link between these addresses arrives."""
        if not ends <= self.doors.keys():
            return False
        names = frozenset(self.doors[url].instance for url in ends)
        return names not in self._cut and not any(frozenset((name,)) in self._cut for name in names)

    def latency_s(self, ends: frozenset[str]) -> float:
        """How long the next thing said on a link between these addresses is on its way. Nothing
        overtakes what was said before it on the same link."""
        if not self._late:
            return LATENCY_S
        names = {self.doors[url].instance for url in ends & self.doors.keys()}
        return LATENCY_S + sum(late() for name, late in self._late.items() if name in names)

    def connect(self, source: Line, url: str) -> Pipe:
        connection = Pipe(self, source, url)
        self._connections.append(connection)
        return connection

    # -- faults --------------------------------------------------------------------------------

    def cut(self, *names: str) -> None:
        """Part two instances from each other, or one from all others."""
        pair = frozenset(names)
        loop = asyncio.get_running_loop()
        self._cut[pair] = loop.time()
        loop.call_later(LIMITS.silence_max_s, self._give_up, pair, loop.time())

    def _give_up(self, pair: frozenset[str], since_s: float) -> None:
        if self._cut.get(pair) == since_s:
            for connection in self._connections:
                if not self.whole(connection.ends):
                    connection.end("nothing was heard for 3.0 s")

    def mend(self, *names: str) -> None:
        self._cut.pop(frozenset(names), None)
        for connection in list(self._connections):
            connection.there.catch_up()
            connection.back.catch_up()

    def mend_all(self) -> None:
        for pair in list(self._cut):
            self.mend(*pair)

    def delay(self, name: str, late_s: Callable[[], float] | None) -> None:
        """Messages from and to this instance are late, until ``None`` is given."""
        self._late.pop(name, None)
        if late_s is not None:
            self._late[name] = late_s

    def reset(self, name: str) -> None:
        """All links of this instance are lost, with what is on its way."""
        for connection in self._connections:
            if name in {self.doors[url].instance for url in connection.ends & self.doors.keys()}:
                connection.end("the link was lost")

    def remove(self, url: str) -> None:
        """The process is gone."""
        self.doors.pop(url, None)
        for connection in self._connections:
            if url in connection.ends:
                connection.end("the link was lost")
        self._connections = [one for one in self._connections if one.up]


class Line:
    """One instance's :class:`actors.transport.Transport`."""

    def __init__(
        self,
        network: Network,
        url: str,
        clock: Clock,
        url_of: Callable[[str], str | None],
        behaviour_of: Callable[[str], Behaviour],
    ) -> None:
        self.url = url
        self.clock = clock
        self.deadlines = Deadlines(clock, asyncio.get_running_loop())
        self.codec = Codec(behaviour_of)
        self.asks = 0
        self._network = network
        self._url_of = url_of
        self._connections: dict[str, Pipe] = {}
        self._looked_after: set[str] = set()
        self._closed = False

    async def ask(self, instance: str, request: Request) -> Answer:
        if request.hops > HOPS_MAX:
            raise NotOwnedError(f"sent on more than {HOPS_MAX} times")
        link = self._link(instance)
        self.asks += 1
        return await link.ask(request)

    def tell(self, instance: str, request: Request, on_lost: Callable[[], None]) -> None:
        self._link(instance).tell(request, on_lost)

    def _link(self, instance: str) -> ClientLink:
        if self._closed:
            raise StoppingError("the links are closed")
        connection = self._connections.get(instance)
        if connection is not None and connection.up:
            return connection.link
        if not self._connect(instance):
            raise NotOwnedError(f"{instance} cannot be reached", 0.05)
        return self._connections[instance].link

    def _connect(self, instance: str) -> bool:
        url = self._url_of(instance)
        if url is None or not self._network.whole(frozenset((self.url, url))):
            return False
        self._connections[instance] = self._network.connect(self, url)
        if instance not in self._looked_after:
            self._looked_after.add(instance)
            self._look_after(instance)
        return True

    def _look_after(self, instance: str) -> None:
        """Connect again after the link was lost, as long as it is a member."""
        if self._closed or self._url_of(instance) is None:
            self._looked_after.discard(instance)
            return
        if not self._connections[instance].up:
            self._connect(instance)
        asyncio.get_running_loop().call_later(RECONNECT_S, self._look_after, instance)

    def connected(self, instance: str) -> bool:
        connection = self._connections.get(instance)
        return connection is not None and connection.up

    async def close(self) -> None:
        self._closed = True
        for connection in self._connections.values():
            connection.end("stopping")
        self.deadlines.close()
