"""Passes what this instance commits on to its own replicas and to all other instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.replication.messages import EntityChange, encode_change
from actors.replication.replicas import ViewReplicas
from actors.replication.streams import UpdateStreams
from actors.subscription import Change, Subscription


class ReplicationPublisher(Subscription):
    """``on_paused`` is called when this process did nothing for a while."""

    def __init__(
        self, replicas: ViewReplicas, streams: UpdateStreams, on_paused: Callable[[], None]
    ) -> None:
        self.replicas = replicas
        self.streams = streams
        self._on_paused = on_paused

    def loaded(self, address: Address, state: Any, seq: int, epoch: int) -> None:
        """Publish the entity's seq, because its last owner may have died before telling it."""
        if self.replicas.replicates(address):
            self.replicas.own_loaded(address, state, seq, epoch)
            self.streams.publish_seq(address.text, seq)

    def committed(self, change: Change) -> None:
        """Publish the change, encoded once for all instances."""
        address = change.address
        if not self.replicas.replicates(address):
            return
        before_seq = self.replicas.own_committed(address, change.state, change.seq, change.epoch)
        if self.streams.receivers:
            rows = [(row.seq, row.type, row.version, row.payload) for row in change.rows]
            encoded = encode_change(EntityChange(address.text, max(before_seq, 0), rows))
            self.streams.publish(address.text, change.seq, encoded)

    def lost(self, shard: int) -> None:
        """Reload the shard's replicas before they are served again."""
        self.replicas.lost(shard)

    def stood_still(self) -> None:
        """Reload all replicas of other instances' shards before they are served again."""
        self._on_paused()
        self.replicas.distrust(range(SLOT_COUNT))
