"""What the rooms ask of the hub about one socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from booking_http.sockets.socket import Socket


class Desk(Protocol):
    """Writes and counts, so that the rooms only decide what is said."""

    def reads(self, socket: Socket, now: float) -> bool:
        """Whether a push to it makes sense now. A client that has not taken the last ones is passed
        over, and closed when that goes on for too long."""

    def push(self, socket: Socket, data: bytes) -> None:
        """Writes it."""

    def guarded(self, visit: Callable[[Socket, float], None], socket: Socket, now: float) -> None:
        """Runs it; a failure ends this socket and no other.
        :class:`actors.errors.UnavailableError` gets through."""
