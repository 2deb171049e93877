"""Peer links: carry commands to the instances that own their entities.

One websocket from each instance to each other that it asks, msgpack, many messages in a frame.
:class:`PeerTransport` is the client, :class:`PeerEndpoint` the server. In reading order:

- :mod:`actors.peers.protocol`: messages, and how commands, replies and errors are encoded;
- :mod:`actors.peers.handshake`: who may connect;
- :mod:`actors.peers.connection`: an open websocket, the same for both sides;
- :mod:`actors.peers.link`: asks and answers on it;
- :mod:`actors.peers.peer`: how a link is kept up.
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
