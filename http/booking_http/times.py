"""Times as clients see them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    # isoformat() takes a third of the time of strftime().
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}Z"


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
