"""How well this instance knows what others decide."""

from __future__ import annotations

from actors.address import Address
from actors.cluster.availability import StaleError
from actors.cluster.node import ClusterNode


class NodeFreshness:
    """Implements :class:`booking.calls.Freshness`."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def check(self, address: Address) -> None:
        self._node.availability.check(address.slot)
        if not self._node.replication.replicas.ready(address):
            raise StaleError("not loaded yet", 0.2)

    def check_here(self) -> None:
        self._node.availability.check_here()
        if self._node.replication.replicas.in_doubt:
            raise StaleError("looking again at what others decided meanwhile", 0.2)

    def newest(self, address: Address) -> bool:
        return self._node.runtime.holds(address.slot)
