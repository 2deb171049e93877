"""What the cluster needs of the links between instances."""

from __future__ import annotations

from typing import Any, Protocol

from actors.address import Address
from actors.behaviour import CommandKey
from actors.transport import Answer


class Links(Protocol):
    """A transport that knows of hops and epochs. Two implementations:
    :class:`actors.peers.transport.PeerTransport` and its twin
    :class:`actors.peers.memory.MemoryTransport`."""

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
    ) -> Answer:
        """As :meth:`actors.peers.transport.PeerTransport.ask`."""

    def hears(self, instance: str) -> bool:
        """Whether there is a link to the instance on which it answers."""

    async def close(self) -> None: ...
