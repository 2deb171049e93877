"""The client side: asks entities of other instances over one link to each."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any

from actors.clock import Clock
from actors.core.envelope import Deadlines
from actors.errors import NotOwnedError, StoppingError
from actors.peers.handshake import Handshake
from actors.peers.limits import HOPS_MAX, PeerLimits
from actors.peers.peer import Dialler, Peer, PeerContext, PeerStatistics, UrlOf
from actors.peers.protocol import BehaviourOf, Codec
from actors.tasks import Tasks
from actors.transport import Answer, Request


class PeerTransport:
    """Implements :class:`actors.transport.Transport`. A link is opened with the first ask."""

    def __init__(
        self,
        handshake: Handshake,
        *,
        url_of: UrlOf,
        behaviour_of: BehaviourOf,
        clock: Clock,
        random: Random,
        limits: PeerLimits | None = None,
    ) -> None:
        limits = limits if limits is not None else PeerLimits()
        self._context = PeerContext(
            dialler=Dialler(handshake, limits),
            codec=Codec(behaviour_of),
            url_of=url_of,
            clock=clock,
            random=random,
            deadlines=Deadlines(clock, asyncio.get_running_loop()),
            limits=limits,
        )
        self._tasks = Tasks(f"{handshake.member.instance}/peers")
        self._peers: dict[str, Peer] = {}
        self._closed = False

    @property
    def failed(self) -> asyncio.Future[BaseException]:
        """Done when a broken invariant has ended a link's task; the process should then end."""
        return self._tasks.failed

    def ask(self, instance: str, request: Request) -> Coroutine[Any, Any, Answer]:
        """Ask as :meth:`actors.transport.Transport.ask`.

        Raises :class:`~actors.peers.protocol.MovedError` when the asked instance knows the owner,
        and :class:`ValueError` for a command that fits into no frame.
        """
        if request.hops > HOPS_MAX:
            raise NotOwnedError(f"sent on more than {HOPS_MAX} times")
        return self._peer(instance).ask(request)

    def tell(self, instance: str, request: Request, on_lost: Callable[[], None]) -> None:
        """Tell as :meth:`actors.transport.Transport.tell`. The first opens the link."""
        self._peer(instance).tell(request, on_lost)

    def _peer(self, instance: str) -> Peer:
        return self._peers.get(instance) or self._add(instance)

    def connected(self, instance: str) -> bool:
        """Whether there is a link to the instance on which it answers."""
        peer = self._peers.get(instance)
        return peer is not None and peer.connected

    def _add(self, instance: str) -> Peer:
        if self._closed:
            raise StoppingError("the links are closed")
        if self._context.url_of(instance) is None:
            raise NotOwnedError(f"{instance} is no member")
        peer = self._peers[instance] = Peer(instance, self._context)
        # The link outlives the request that was the first to need it, and is no part of its trace.
        Context().run(self._tasks.spawn, self._keep(peer), instance)
        return peer

    async def _keep(self, peer: Peer) -> None:
        try:
            await peer.run()
        finally:
            if self._peers.get(peer.instance) is peer:
                del self._peers[peer.instance]

    async def close(self) -> None:
        """Refuse all waiting callers and close all links. Safe to call twice."""
        self._closed = True
        await asyncio.gather(*(peer.close() for peer in list(self._peers.values())))
        await self._tasks.close()
        self._context.deadlines.close()
        await self._context.dialler.close()

    def statistics(self) -> list[PeerStatistics]:
        """Of each peer that was asked and is still a member, by name."""
        return [peer.statistics() for _, peer in sorted(self._peers.items())]
