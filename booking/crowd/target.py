"""Which service a crowd may be sent to: one on this machine, and no other."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit


class CrowdError(Exception):
    """A crowd cannot be sent there. ``str()`` is one line."""


def loopback_url(url: str) -> str:
    """The URL without a final slash; :class:`CrowdError` unless its host is this machine, by all
    addresses that its name has."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise CrowdError(f"{url} is not a URL: {error}") from error
    if parts.scheme != "http" or not host or parts.username or parts.query or parts.fragment:
        raise CrowdError(f"{url} is not of the form http://127.0.0.1:8080")
    try:
        found = socket.getaddrinfo(host, port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CrowdError(f"{host} has no address: {error}") from error
    addresses = {str(address[4][0]) for address in found}
    if not all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in addresses):
        raise CrowdError(f"{host} is not this machine: a crowd is for trying a service of your own")
    return url.rstrip("/")
