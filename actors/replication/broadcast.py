"""What this instance's runtime makes true, for the copies here and the streams to all others."""

from __future__ import annotations

from typing import Any

from actors.address import SLOT_COUNT, Address
from actors.cluster.directory import Directory
from actors.cluster.messages import Changed, encode_change
from actors.core.commit import Change
from actors.core.shard import Shard
from actors.replication.replicas import ViewReplicas
from actors.replication.streams import Streams


class Broadcast:
    """Implements :class:`actors.core.context.ReplicationListener`."""

    def __init__(self, copies: ViewReplicas, streams: Streams, directory: Directory) -> None:
        self._copies = copies
        self._streams = streams
        self._directory = directory

    def loaded(self, shard: Shard, address: Address, state: Any, seq: int) -> None:
        if self._copies.shows(address):
            self._copies.own_loaded(address, state, seq, shard.epoch)
            self._streams.mark(address.text, seq)

    def committed(self, shard: Shard, change: Change) -> None:
        address = change.activation.address
        if not self._copies.shows(address):
            return
        before_seq = self._copies.own_committed(address, change.state, change.last_seq, shard.epoch)
        if self._streams.listeners:
            rows = [(row.seq, row.type, row.version, row.payload) for row in change.rows]
            changed = Changed(address.text, max(before_seq, 0), rows)
            self._streams.put(address.text, change.last_seq, encode_change(changed))

    def lost(self, shard: int) -> None:
        self._copies.lost(shard)

    def stood_still(self) -> None:
        self._directory.distrust()
        self._copies.distrust(range(SLOT_COUNT))

    def missed(self, address: Address, state: Any, seq: int) -> None:
        if self._copies.shows(address):
            self._copies.own_committed(address, state, seq)
            self._streams.mark(address.text, seq)
