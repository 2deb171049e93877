"""Every call that an instance serves: the fans', the operators' and its own."""

from __future__ import annotations

from unittest.mock import Mock

from booking_http import EdgeMetrics, EdgeSettings, build_server
from booking_http.admin import AdminParts
from booking_http.routes import Route

OPERATORS = "/admin"


def all_routes() -> tuple[Route, ...]:
    """The whole table."""
    parts = AdminParts(token="of-nobody")
    return build_server(Mock(), EdgeSettings(), EdgeMetrics(), parts).table.routes


def fans_calls() -> set[tuple[str, str]]:
    """Method and path of what a fan's program may ask, without sockets, pages and pictures."""
    return {
        (route.method, route.path)
        for route in all_routes()
        if route.tag != "system"
        and not route.path.startswith(OPERATORS)
        and not route.path.endswith("/ws")
        and route.answer.media == "application/json"
    }
