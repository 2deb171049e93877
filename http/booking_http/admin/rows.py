"""A row of the table for a call of operators: guarded, counted, documented in its own section."""

from __future__ import annotations

from typing import Any, Literal

from booking_http.admin.desk import Desk
from booking_http.routes import Answer, Handler, Param, Route


def row(
    desk: Desk,
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
    path: str,
    handle: Handler,
    name: str,
    summary: str,
    answer: Answer,
    *,
    body: type | None = None,
    params: tuple[Param, ...] = (),
    problems: tuple[str, ...] = (),
) -> Route:
    """``name`` is also the label under which the call is counted."""
    more: dict[str, Any] = {"body": body, "params": params, "problems": problems}
    return Route(
        method,
        path,
        desk.handler(name, handle),
        f"admin{name[0].upper()}{name[1:]}",
        summary,
        answer,
        "admin",
        gate="admin",
        guard=desk.access,
        **more,
    )
