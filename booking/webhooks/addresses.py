"""Which addresses webhooks may reach: none that is only reachable from where the service runs.

It is asked for the address of each connection that is about to be made, of whatever name that came.
So a name that answers differently the next time, a redirect, or a number that is written in another
way gets no further than one written plainly.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

Network: TypeAlias = IPv4Network | IPv6Network
Ip: TypeAlias = IPv4Address | IPv6Address

URL_LENGTH_MAX = 2_000
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
"""The last part of a host that is an address of IPv4, however it is written."""
_PROTOCOLS = IPv4Network("192.0.0.0/24")
"""Some clouds tell their secrets there. Not every Python knows all of it to be private."""
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")
"""All of IPv6 that is given out for the public."""


def permitted(host: str, allowed: Sequence[Network], *, public: bool) -> bool:
    """Whether a connection to this address may be made: it is in a network that is allowed, or a
    public one and those may be reached."""
    try:
        given = ip_address(host)
    except ValueError:
        return False  # A name, or a number as only old libraries read it.
    if any(given in network for network in allowed):
        return True
    return public and _is_public(given)


def _is_public(address: Ip) -> bool:
    """Also if somebody on the way takes out the address of IPv4 that is inside it."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast and address not in _PROTOCOLS
    inside = address.ipv4_mapped
    if address in _NAT64:
        inside = IPv4Address(int(address) & 0xFFFFFFFF)
    if inside is not None:
        return _is_public(inside)
    tunnels = filter(None, (address.sixtofour, *(address.teredo or ())))
    return address in _UNICAST and address.is_global and all(map(_is_public, tunnels))


def refusal(url: str, allowed: Sequence[Network]) -> str:
    """Why an endpoint cannot have this URL, as far as that shows without asking for its name; empty
    if it can."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it is no URL"
    if problem := _malformed(url, parts, port):
        return problem
    if parts.scheme == "http" and not allowed:
        return "it has to begin with https://"
    numeric = ":" in host or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])
    if numeric and not permitted(host, allowed, public=parts.scheme == "https"):
        return "its address is private, or not written as addresses are"
    return ""


def _malformed(url: str, parts: SplitResult, port: int | None) -> str:
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        return "it has to look like https://host/path"
    if parts.username is not None or parts.password is not None or "#" in url:
        return "it may have no user and no fragment"
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url:
        return f"it has to be at most {URL_LENGTH_MAX} printable ASCII characters"
    return ""
