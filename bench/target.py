"""Where the load goes, and the request bytes that go there."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import msgspec


class TargetError(ValueError):
    """The address is not one this generator may put under load."""


class Target(msgspec.Struct, frozen=True):
    """One HTTP server on this machine."""

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Target:
        """The server behind ``http://host:port``. Only loopback addresses are accepted: a load
        generator that can be pointed elsewhere by a slip of the hand is a weapon.

        Raises :class:`TargetError`.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise TargetError(f"{url!r} is not an http:// address")
        if parts.path not in ("", "/") or parts.query or parts.username:
            raise TargetError(f"{url!r} has more than host and port")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise TargetError(f"{parts.hostname!r} is not a loopback address")
        return cls(host, parts.port or 80)


_FIXED = "Host: bench\r\nAccept: application/json\r\nUser-Agent: booking-bench\r\n"
"""Sent with every request. The host's name is the same for both targets, so that both parse the
same bytes."""


def get(path: str, token: str = "") -> bytes:
    """A GET request; ``path`` carries its query string already encoded."""
    gate = f"queue-token: {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\n{_FIXED}{gate}\r\n".encode("ascii")


def delete(path: str, token: str) -> bytes:
    """A DELETE request."""
    return f"DELETE {path} HTTP/1.1\r\n{_FIXED}queue-token: {token}\r\n\r\n".encode("ascii")


def post(path: str, body: str, token: str = "") -> bytes:
    """A POST request with a JSON body of ASCII characters."""
    gate = f"queue-token: {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\n{_FIXED}{gate}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def route_of(request: bytes) -> tuple[str, str]:
    """Method and path (without the query) of request bytes made here."""
    method, target, _ = request[: request.index(b"\r\n")].decode("ascii").split(" ")
    return method, target.partition("?")[0]
