"""What a call is: one row of the table that is served and documented. It decorates a method of a
subject's :class:`Calls`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web

from booking.calls import QueueToken
from booking_http.inputs import BodyReader, Headers, opaque_id, page_limit, user_id
from booking_http.reply import Reply
from booking_http.schemas import UUID_PATTERN

Gate = Literal["none", "sent", "user", "required", "admitted", "admin"]
"""What token a call needs. ``sent``: none, but one that is sent is the user's; ``user``: the same,
and by setting a live one; ``required``: authentic and not ended; ``admitted``: inside now;
``admin``: the operators' one, see :attr:`Route.guard`."""


class Call:
    """One request on its way to its handler."""

    limits = b""
    """Header lines that tell how much the caller may still ask."""
    params: Mapping[str, Any] = MappingProxyType({})
    """Query parameters by name, parsed; those left out have their default."""
    body: Any = None
    """The decoded body, if the row names its shape."""
    user = ""
    """Whom ``userId`` names, when the row says ``sent`` or ``user``."""
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
Method = Callable[[Any, Call], Awaitable[Reply]]
M = TypeVar("M", bound=Method)


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


PAGE_LIMIT = 20
"""Items of a page when the client does not say."""
ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[\\x21-\\x7e]+$"}
"""What :func:`booking_http.inputs.opaque_id` takes."""
USER = Param(
    "userId",
    user_id,
    {"type": "string", "pattern": UUID_PATTERN, "minLength": 36, "maxLength": 36},
    "Whose.",
    required=True,
)
LIMIT = Param(
    "limit",
    page_limit,
    {"type": "integer", "minimum": 1, "maximum": 100, "default": PAGE_LIMIT},
    "How many.",
    default=PAGE_LIMIT,
)


def id_param(name: str, description: str, required: bool = False) -> Param:
    """A parameter that names something by its id."""
    return Param(name, opaque_id, ID_SCHEMA, description, required=required)


DATE = id_param("concertScheduleId", "The date.", required=True)
AFTER = id_param("starting_after", "Id of the last item of the page before.")


@dataclass(frozen=True, slots=True)
class Answer:
    """The good outcome. ``data`` is the type under ``data``, ``None`` for an answer without JSON,
    a tuple of types of which it is one, or a JSON Schema of the whole body."""

    status: int = 200
    data: Any = None
    description: str = "Done."
    headers: tuple[str, ...] = ()
    """Those of this answer in particular. With ``ETag`` there is 304 too."""
    media: str = "application/json"


async def _unbound(call: Call) -> Reply:
    raise AssertionError("only the rows of Calls.routes() can be served")


@dataclass(frozen=True, slots=True)
class Route:
    """One call. Put above a method of :class:`Calls`, it makes that method the call's handler."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """One part may be ``{id}``: the last, or the one before it, as in ``/shards/{id}/move``."""
    answer: Answer
    tag: str = "system"
    """The section of the OpenAPI document."""
    gate: Gate = "none"
    params: tuple[Param, ...] = ()
    body: type | None = None
    """The shape of the body: a Struct is decoded to :attr:`Call.body`."""
    idempotent: bool = False
    """Whether an Idempotency-Key is honoured."""
    replay: Callable[..., Awaitable[Reply]] | None = None
    """Called instead of the handler for a key with a token that has ended: a payment uses its token
    up, and its answer may have been lost."""
    problems: tuple[str, ...] = ()
    """Codes of :data:`booking_http.codes.CODES` beyond those every call may answer."""
    token_text: Callable[[Headers, str], str] | None = None
    """Where a ``required`` token is, given the headers and the query, if it may be elsewhere than
    in the headers of all other calls. :class:`booking.calls.TokenError` without one."""
    guard: Callable[[web.BaseRequest], str] | None = None
    """Called first of all: says who asks (:attr:`Call.who`), or raises."""
    name: str = ""
    """The operation's id; empty for the name of the method, in camel case."""
    summary: str = ""
    """The first paragraph of the method's docstring, without its full stop."""
    handle: Handler = _unbound
    reader: BodyReader[Any] | None = None
    """What decodes the body; by itself made for ``body``."""
    params_by_name: dict[str, Param] = field(init=False)

    def __post_init__(self) -> None:
        if self.reader is None and self.body is not None and issubclass(self.body, msgspec.Struct):
            object.__setattr__(self, "reader", BodyReader(self.body))
        object.__setattr__(self, "params_by_name", {param.name: param for param in self.params})

    def __call__(self, method: M) -> M:
        """Declare this row for a method of :class:`Calls`."""
        method.__dict__["route"] = self
        return method

    def _bound(self, calls: Calls, method: Method) -> Route:
        first, *words = method.__name__.split("_")
        return replace(
            self,
            handle=partial(method, calls),
            replay=None if self.replay is None else partial(self.replay, calls),
            name=self.name or first + "".join(map(str.capitalize, words)),
            summary=" ".join((inspect.getdoc(method) or "").split("\n\n")[0].split()).rstrip("."),
        )


class Calls:
    """The calls of one subject: each method below a :class:`Route` is a row of the table."""

    def routes(self) -> tuple[Route, ...]:
        """The rows, which call the methods of this object."""
        rows = ((method, getattr(method, "route", None)) for method in vars(type(self)).values())
        return tuple(row._bound(self, method) for method, row in rows if isinstance(row, Route))


_ID = "{id}"


class Resource:
    """One path and what can be done with it."""

    __slots__ = ("_by_method", "template")

    def __init__(self, template: str) -> None:
        self.template = template
        self._by_method: dict[str, Route] = {}

    def add(self, route: Route) -> None:
        """One more method; GET serves HEAD too."""
        assert route.method not in self._by_method, f"{route.method} {route.path} is there twice"
        self._by_method[route.method] = route
        if route.method == "GET":
            self._by_method["HEAD"] = route

    def route(self, method: str) -> Route | None:
        """The row for this method, if there is one."""
        return self._by_method.get(method)

    @property
    def allow(self) -> str:
        """The ``Allow`` header."""
        return ", ".join(sorted({*self._by_method, "OPTIONS"}))


class RouteTable:
    """Finds rows by path, with one to three dictionary lookups."""

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
