"""The access log, one line for each request, and the ids that link its lines to others."""

from __future__ import annotations

import logging
import re
from typing import Final

from aiohttp import web
from multidict import istr

_log = logging.getLogger("booking.http.access")

TRACEPARENT: Final = istr("traceparent")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}.*"
)
"""W3C Trace Context, 3.2. What a later version puts behind it is ignored, as it demands."""


def log_ids(request: web.BaseRequest, request_id: str) -> dict[str, str]:
    """What a log line about this request carries: its id, and the trace that the caller is in."""
    sent = request.headers.get(TRACEPARENT, "")
    found = _TRACEPARENT.fullmatch(sent) if len(sent) < 256 else None
    if found is None:
        return {"request_id": request_id}
    return {"request_id": request_id, "trace_id": found[1]}


def log_access(
    request: web.BaseRequest, path: str, route: str, status: int, request_id: str, seconds: float
) -> None:
    """Write the line of one answered request: method, path, route, status, duration and ids; never
    a query string or header, because those may carry tokens."""
    fields = {
        "method": request.method,
        "path": path,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 3),
        "remote": request.remote,
        **log_ids(request, request_id),
    }
    _log.info("%s %s %d", request.method, route, status, extra=fields)
