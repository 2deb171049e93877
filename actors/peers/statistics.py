"""What the links count, and how they tell."""

from __future__ import annotations

import msgspec

SMOOTHING = 0.2
"""Share of the newest measurement in the smoothed round trip: about the last five pings."""


class RoundTrip:
    """Smoothed and longest time of a ping and its answer, in milliseconds."""

    __slots__ = ("avg_ms", "max_ms")

    def __init__(self) -> None:
        self.avg_ms: float | None = None
        self.max_ms = 0.0

    def measured(self, ms: float) -> None:
        self.avg_ms = ms if self.avg_ms is None else self.avg_ms + SMOOTHING * (ms - self.avg_ms)
        self.max_ms = max(self.max_ms, ms)


class Traffic:
    """What was sent, over all links to one peer or from all peers."""

    __slots__ = ("frames_sent", "messages_sent")

    def __init__(self) -> None:
        self.frames_sent = 0
        self.messages_sent = 0

    @property
    def batch_avg(self) -> float:
        """Messages in a frame that was sent."""
        return self.messages_sent / self.frames_sent if self.frames_sent else 0.0


class PeerStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The link to one other instance."""

    instance: str
    incarnation: str
    """Of the last link that was up; empty if there was none."""
    connected: bool
    asks: int
    in_flight: int
    """Callers waiting for the link or for a reply."""
    refused: int
    """Asks refused here, because too many wait or the peer cannot be reached."""
    reconnects: int
    """Links that came up after the first."""
    round_trip_avg_ms: float | None
    """Of pings, smoothed; ``None`` before the first."""
    round_trip_max_ms: float
    frames: int
    """Sent."""
    messages: int
    """Sent."""
    batch_avg: float
    """Messages in a frame that was sent."""


class EndpointStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The links that others opened to this instance."""

    links: int
    asks: int
    in_flight: int
    """Asks that are not answered yet."""
    refused: int
    """Asks refused by the link itself: too many, too late, too far, or not to be understood."""
    turned_away: int
    """Connections that did not prove the secret or speak another version."""
    frames: int
    """Sent."""
    messages: int
    """Sent."""
    batch_avg: float
    """Messages in a frame that was sent."""
