"""The links between this instance and the others, both ends of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from random import Random

from actors.behaviour import Behaviour
from actors.clock import Clock
from actors.cluster.node import ClusterNode, MakeLinks
from actors.membership.contract import Member
from actors.peers import PeerEndpoint, PeerTransport, Secret
from actors.transport import Transport
from booking.observability.tracing import Tracing
from booking.settings import Settings


class Peering:
    """Makes both ends, which share the instance's name and the cluster's secret."""

    links: PeerTransport
    """The links to the others; set once a node has asked for them."""

    def __init__(self, settings: Settings, clock: Clock, tracing: Tracing | None) -> None:
        self._clock = clock
        self._tracing = tracing
        # Peers know each other by the secrets that sign tokens; both are the cluster's.
        self._secret = Secret(*(secret.encode() for secret in settings.token_secrets))

    def links_of(self, member: Member) -> MakeLinks:
        """What makes the links of this instance to the others."""
        self._member = member
        return self._make_links

    def _make_links(
        self, url_of: Callable[[str], str | None], behaviour_of: Callable[[str], Behaviour]
    ) -> Transport:
        self.links = PeerTransport(
            self._member,
            secret=self._secret,
            url_of=url_of,
            behaviour_of=behaviour_of,
            clock=self._clock,
            nonces=secrets.token_bytes,
            random=Random(),  # noqa: S311 - spreads attempts to connect, guards nothing
        )
        return self.links if self._tracing is None else self._tracing.links(self.links)

    def make_endpoint(self, node: ClusterNode) -> PeerEndpoint:
        """Where the others' links end, to be served at :data:`actors.peers.PEER_PATH`."""
        return PeerEndpoint(
            self._member,
            secret=self._secret,
            ask_here=node.ask_here,
            behaviour_of=node.behaviour_of,
            clock=self._clock,
            nonces=secrets.token_bytes,
            owner_of=node.availability.owner_of,
            tracer=None if self._tracing is None else self._tracing.tracer,
        )
