"""Peer links: the way a command takes to the instance that owns its entity.

One websocket from each instance to each other that it asks something, msgpack, many messages in a
frame. :class:`PeerTransport` is the side that asks, :class:`PeerEndpoint` the side that answers.
Read :mod:`actors.peers.frames` for what is said, :mod:`actors.peers.greeting` for who may say it,
:mod:`actors.peers.wire` for an open link, :mod:`actors.peers.peer` for how one is kept open.
"""

from actors.peers.dial import PEER_PATH
from actors.peers.endpoint import PeerEndpoint
from actors.peers.greeting import Secret
from actors.peers.limits import HOPS_MAX, PeerLimits
from actors.peers.refusals import MovedError
from actors.peers.served import Owner
from actors.peers.statistics import EndpointStatistics, PeerStatistics
from actors.peers.transport import PeerTransport

__all__ = [
    "HOPS_MAX",
    "PEER_PATH",
    "EndpointStatistics",
    "MovedError",
    "Owner",
    "PeerEndpoint",
    "PeerLimits",
    "PeerStatistics",
    "PeerTransport",
    "Secret",
]
