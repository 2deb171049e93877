"""Peer links: carry commands to the instances that own their entities.

One websocket from each instance to each other that it asks, msgpack, many messages in a frame. In
reading order: ``protocol`` (messages), ``handshake``, ``connection`` (an open websocket), ``link``
(asks and answers), ``peer`` (how a link is kept up), ``transport`` and ``endpoint``.
"""

from actors.peers.endpoint import PeerEndpoint
from actors.peers.handshake import Handshake, Secret
from actors.peers.limits import HOPS_MAX, PeerLimits
from actors.peers.peer import PEER_PATH, PeerStatistics
from actors.peers.protocol import MovedError
from actors.peers.transport import PeerTransport

__all__ = [
    "HOPS_MAX",
    "PEER_PATH",
    "Handshake",
    "MovedError",
    "PeerEndpoint",
    "PeerLimits",
    "PeerStatistics",
    "PeerTransport",
    "Secret",
]
