"""One JSON line for each request, switched on by a setting."""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web

_log = logging.getLogger("booking.http.access")
_ENCODE = msgspec.json.Encoder().encode


class AccessLog:
    """Writes method, path, route, status, duration and request id; never a query string or header,
    because those may carry tokens."""

    def write(
        self,
        request: web.BaseRequest,
        path: str,
        route: str,
        status: int,
        request_id: str,
        seconds: float,
    ) -> None:
        line = {
            "method": request.method,
            "path": path,
            "route": route,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "request_id": request_id,
            "remote": request.remote,
        }
        _log.info("%s", _ENCODE(line).decode())
