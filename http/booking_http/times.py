"""Times as clients see them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return f"{_to_the_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=4_096)
def _to_the_second(second: int) -> str:
    """Kept for as many seconds as answers are about at a time: now, ends of holds and active
    times, and the dates of a season."""
    # isoformat() takes a third of the time of strftime().
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


class HttpDate:
    """The ``Date`` header line of now, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line
