"""The settings of the edge, with the origin of each number."""

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import msgspec

from booking_http.sockets.limits import Pace

BODY_SIZE_MAX = 16 * 1024
"""Bytes of a request body, fixed by the contract; the largest valid body is under 300."""


class EdgeSettings(msgspec.Struct, frozen=True):
    """Limits of the edge. All times in seconds."""

    user_auth: Literal["none", "token"] = "none"
    """``token``: charge, balance, history and payments need a live queue token of that user."""
    default_queue: str = "main"
    """The queue of ``POST /queue/issue`` when the body names none."""
    header_timeout_s: float = 10.0
    """From the first byte of a request to the end of its headers."""
    body_timeout_s: float = 10.0
    """From the end of the headers to the end of the body."""
    write_timeout_s: float = 60.0
    """For a client to take an answer: the largest (about 1 MB) at 20 kB/s."""
    keepalive_timeout_s: float = 75.0
    """For a connection without a request; as long as common proxies keep theirs."""
    linger_s: float = 2.0
    """For a client to finish a body that nobody wants, after the answer."""
    readiness_timeout_s: float = 2.0
    """For the checks behind ``/readyz``; probes commonly give up after a few seconds."""
    connections_max: int = 10_000
    """Open connections, websockets apart, of 14 kB each. Above it: 503 and close."""
    rate_per_user_minute: int = 0
    """Requests with one user's tokens in a minute; 0 for no limit."""
    rate_per_address_minute: int = 0
    """Requests of one client address in a minute; 0 for no limit."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Proxies whose ``X-Forwarded-For`` is believed."""
    sockets_max: int = 20_000
    """Open websockets. Above it: 503 to who wants another."""
    sockets_per_user_max: int = 8
    """Open websockets of one user: a queue and a date on a few devices. Above it: 429."""
    heartbeat_s: float = 20.0
    """Between two pings; under the minute after which common proxies drop a silent connection, and
    after which a fan who gives no sign of life loses the place in the queue."""
    reconnect_jitter_s: float = 10.0
    """Over which a stopped instance's clients come back: 20,000 are then 2,000 a second."""
    slow_socket_s: float = 30.0
    """For a websocket that does not read, from the first push passed over to the close."""
    pace: Pace = Pace()
    """Of the websockets."""
    access_log: bool = False
    """One JSON line for each request, without query strings and tokens."""
