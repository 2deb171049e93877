"""The transport's in-memory twin: connects the runtimes of one process by instance name."""

import asyncio
from collections.abc import Callable

from actors.errors import NotOwnedError, OutcomeUnknownError
from actors.transport import Answer, Request


class MemoryTransport:
    """Carries requests between the peers that joined it.

    :meth:`cut` parts a peer from all others: what was not sent is not done, what was sent and not
    answered may be.
    """

    def __init__(self) -> None:
        self._peers: dict[str, Callable[[Request], asyncio.Future[Answer]]] = {}
        self._cut: dict[str, asyncio.Future[None]] = {}

    def join(self, instance: str, ask_here: Callable[[Request], asyncio.Future[Answer]]) -> None:
        """Make a peer reachable by its name; a later incarnation replaces an earlier one."""
        self._peers[instance] = ask_here
        self.heal(instance)

    def leave(self, instance: str) -> None:
        """Remove a peer for good."""
        self.cut(instance)
        del self._peers[instance]

    def cut(self, instance: str) -> None:
        """Part a peer from all others."""
        if not self._cut[instance].done():
            self._cut[instance].set_result(None)

    def heal(self, instance: str) -> None:
        """Connect a peer again that was cut off."""
        self._cut[instance] = asyncio.get_running_loop().create_future()

    async def ask(self, instance: str, request: Request) -> Answer:
        """Ask as :meth:`actors.transport.Transport.ask`."""
        ask_here = self._peers.get(instance)
        if ask_here is None or self._cut[instance].done():
            raise NotOwnedError(f"{instance} cannot be reached")
        return await self._unless_cut(instance, ask_here(request))

    def tell(self, instance: str, request: Request, on_lost: Callable[[], None]) -> None:
        """Not carried here: what is told needs a link that can end."""
        raise NotOwnedError(f"{instance} is not told")

    def connected(self, instance: str) -> bool:
        """Whether the peer has joined and is not cut off."""
        return instance in self._peers and not self._cut[instance].done()

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    async def _unless_cut(self, instance: str, answer: asyncio.Future[Answer]) -> Answer:
        cut = self._cut[instance]
        await asyncio.wait((cut, answer), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.add_done_callback(_retrieve)
        raise OutcomeUnknownError(f"{instance} was cut off before it answered")


def _retrieve(answer: asyncio.Future[Answer]) -> None:
    """Nobody waits for this answer any more; an error in it was reported as unknown already."""
    if not answer.cancelled():
        answer.exception()
