"""What a call is: one row of the table that is served and documented.

The dispatcher finds a row by method and path and obeys its ``gate`` and ``params``; the OpenAPI
document is written from the same rows, so what is documented is what is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import unquote

from aiohttp import web

from booking.queue.tokens import QueueToken
from booking_http.inputs import Headers, opaque_id
from booking_http.reply import Reply

Gate = Literal["none", "optional", "required", "admitted", "admin"]
"""What token a call needs. ``optional``: checked if sent; ``required``: authentic and not ended;
``admitted``: inside now; ``admin``: not a queue token but the operators' one, see
:attr:`Route.guard`."""


class Call:
    """One request on its way to its handler."""

    limits = b""
    """Header lines that tell how much the caller may still ask."""
    params: Mapping[str, Any] = MappingProxyType({})
    """Query parameters by name, parsed; those left out have their default."""
    token_text = ""
    """As it was sent, when the row says ``required``."""
    token: QueueToken | None = None
    """Set when the row says ``required`` or ``admitted``."""
    who = ""
    """Who asks, as the row's guard knows them."""

    def __init__(self, request: web.BaseRequest, path_id: str) -> None:
        self.request = request
        self.path_id = path_id
        """The ``{id}`` of the path, decoded; empty without one."""

    @property
    def holder(self) -> QueueToken:
        """The token of a call that is only reached with one."""
        assert self.token is not None, "the row does not ask for a token"
        return self.token


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter. ``parse`` raises :class:`ValueError` with words for the client."""

    name: str
    parse: Callable[[str], Any]
    schema: dict[str, Any]
    description: str
    required: bool = False
    default: Any = None
    allow_empty: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The good outcome. ``data`` is the type under ``data``, ``None`` for an answer without JSON,
    a tuple of types of which it is one, or a JSON Schema of the whole body."""

    status: int = 200
    data: Any = None
    description: str = "Done."
    headers: tuple[str, ...] = ()
    media: str = "application/json"
    also: tuple[int, ...] = ()
    """Further statuses without a body, such as 304."""


@dataclass(frozen=True, slots=True)
class Route:
    """One call."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """One part may be ``{id}``: the last, or the one before it, as in ``/shards/{id}/move``."""
    handle: Handler
    name: str
    summary: str
    answer: Answer
    tag: str
    gate: Gate = "none"
    params: tuple[Param, ...] = ()
    body: type | None = None
    idempotent: bool = False
    """Whether an Idempotency-Key is honoured."""
    replay: Handler | None = None
    """Instead of ``handle`` for a token that has ended, if an Idempotency-Key was sent: a payment
    uses its token up, and its answer may have been lost. Tells a stored outcome or refuses."""
    problems: tuple[str, ...] = ()
    """Codes of :data:`booking_http.codes.CODES` beyond those every call may answer."""
    documented: bool = True
    token_text: Callable[[Headers, str], str] | None = None
    """Where a ``required`` token is, given the headers and the query, if it may be elsewhere than
    in the headers of all other calls. :class:`booking.queue.tokens.TokenError` without one."""
    guard: Callable[[web.BaseRequest], str] | None = None
    """Called before anything of the request is looked at; raises if it may not come in, and says
    who it is from (:attr:`Call.who`)."""
    params_by_name: dict[str, Param] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params_by_name", {param.name: param for param in self.params})


_ID = "{id}"


class Resource:
    """One path and what can be done with it."""

    __slots__ = ("_by_method", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self._by_method: dict[str, Route] = {}

    def add(self, route: Route) -> None:
        assert route.method not in self._by_method, f"{route.method} {route.path} is there twice"
        self._by_method[route.method] = route
        if route.method == "GET":
            self._by_method["HEAD"] = route

    def route(self, method: str) -> Route | None:
        return self._by_method.get(method)

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        return ", ".join(sorted({*self._by_method, "OPTIONS"}))


class RouteTable:
    """Finds rows. Static paths are one dictionary lookup; ``/x/{id}`` is one more, ``/x/{id}/y``
    yet another."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact: dict[str, Resource] = {}
        self._prefixed: dict[str, Resource] = {}
        self._around: dict[tuple[str, str], Resource] = {}
        for route in self.routes:
            self._resource(route.path).add(route)

    def _resource(self, path: str) -> Resource:
        head, placeholder, tail = path.partition(_ID)
        if not placeholder:
            return self._exact.setdefault(path, Resource(path))
        if not tail:
            return self._prefixed.setdefault(head, Resource(path))
        assert tail.startswith("/"), f"{path}: the id is a whole part"
        assert "/" not in tail[1:], f"{path}: one part may follow the id"
        return self._around.setdefault((head, tail[1:]), Resource(path))

    def find(self, path: str) -> tuple[Resource | None, str]:
        """What a path names, and the path's id (empty for a static path)."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, ""
        head, slash, text = path.rpartition("/")
        found = self._prefixed.get(head + slash)
        if found is None:
            head, slash, text, last = *head.rpartition("/"), text
            found = self._around.get((head + slash, last))
        if found is None:
            return None, ""
        try:
            return found, opaque_id(unquote(text, errors="strict"))
        except ValueError:
            return None, ""  # empty, not UTF-8, or nothing that an id can look like
