"""The asking side: commands for entities of other instances, over one link to each."""

from __future__ import annotations

import asyncio
from contextvars import Context
from random import Random
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey
from actors.clock import Clock
from actors.core.deadlines import Deadlines
from actors.errors import NotOwnedError, StoppingError
from actors.peers.codec import BehaviourOf, Codec
from actors.peers.dial import Dialler
from actors.peers.greeting import Nonces, Secret
from actors.peers.limits import HOPS_MAX, PeerLimits
from actors.peers.link import PeerRequest
from actors.peers.peer import Peer, UrlOf
from actors.peers.statistics import PeerStatistics
from actors.tasks import Tasks
from actors.transport import Answer


class PeerTransport:
    """A :class:`~actors.transport.Transport` over websockets. Create and use it on one event loop.

    ``url_of`` tells where an instance listens, ``behaviour_of`` who encodes a kind's commands,
    ``nonces`` draws random bytes and ``random`` spreads the attempts to connect. Links are opened
    at the first ask and kept while the peer is a member.
    """

    def __init__(
        self,
        *,
        instance: str,
        incarnation: str,
        secret: Secret,
        url_of: UrlOf,
        behaviour_of: BehaviourOf,
        clock: Clock,
        nonces: Nonces,
        random: Random,
        limits: PeerLimits | None = None,
    ) -> None:
        self._limits = limits if limits is not None else PeerLimits()
        self._url_of = url_of
        self._codec = Codec(behaviour_of)
        self._clock = clock
        self._random = random
        self._deadlines = Deadlines(clock, asyncio.get_running_loop())
        self._dialler = Dialler(
            instance=instance,
            incarnation=incarnation,
            secret=secret,
            nonces=nonces,
            limits=self._limits,
        )
        self._tasks = Tasks(f"{instance}/peers")
        self._peers: dict[str, Peer] = {}
        self._closed = False

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Done when a broken invariant has ended a link's task; the process should end then."""
        return self._tasks.failed

    async def ask(
        self,
        instance: str,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None,
        deadline: float,
        hops: int = 1,
        epoch: int = 0,
        traceparent: str = "",
    ) -> Answer:
        """As :meth:`actors.transport.Transport.ask`. ``hops`` says which instance this is that
        the command is sent to, 2 for the one that the first named; ``epoch`` is the highest one of
        the slot that the caller has seen, and an owner who has not is refused; ``traceparent`` is
        the span that the answering side continues, if there is one.

        Raises :class:`~actors.peers.refusals.MovedError` when the asked instance knows the owner,
        and :class:`ValueError` for a command that fits into no frame.
        """
        if hops > HOPS_MAX:
            raise NotOwnedError(f"sent on more than {HOPS_MAX} times")
        peer = self._peers.get(instance) or self._meet(instance)
        content, data = self._codec.pack_command(address.kind, command)
        parcel = PeerRequest(address, content, data, key, deadline, hops, epoch, traceparent)
        answer = await peer.ask(parcel)
        answer.reply = self._codec.unpack_reply(address.kind, content, answer.reply)
        return answer

    def connected(self, instance: str) -> bool:
        """Whether there is a link to it on which it answers."""
        peer = self._peers.get(instance)
        return peer is not None and peer.connected

    def _meet(self, instance: str) -> Peer:
        if self._closed:
            raise StoppingError("the links are closed")
        if self._url_of(instance) is None:
            raise NotOwnedError(f"{instance} is no member")
        peer = Peer(
            instance,
            dialler=self._dialler,
            url_of=self._url_of,
            clock=self._clock,
            random=self._random,
            deadlines=self._deadlines,
            limits=self._limits,
        )
        self._peers[instance] = peer
        # The link outlives the request that was the first to need it, and is no part of its trace.
        Context().run(self._tasks.spawn, self._keep(peer), peer.instance)
        return peer

    async def _keep(self, peer: Peer) -> None:
        try:
            await peer.run()
        finally:
            if self._peers.get(peer.instance) is peer:
                del self._peers[peer.instance]

    async def close(self) -> None:
        """Answer everybody who waits and end all links. Safe to call twice."""
        self._closed = True
        await asyncio.gather(*(peer.close() for peer in list(self._peers.values())))
        await self._tasks.close()
        self._deadlines.close()
        await self._dialler.close()

    def statistics(self) -> list[PeerStatistics]:
        """Of each peer that was asked and is still a member, by name."""
        return [peer.statistics() for _, peer in sorted(self._peers.items())]
