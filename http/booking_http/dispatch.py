"""One coroutine from a request to its answer. No middleware: what every call needs is here.

Rate limits too: a token bucket for each user or address, in this instance's memory, told by the
fields of draft-ietf-httpapi-ratelimit-headers. They are meant for scripts. A load test from one
address is why the limit for addresses is off by default.
"""

import logging
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from math import ceil
from time import monotonic, perf_counter
from typing import Any, Final

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import istr

from booking.calls import QueueToken, TokenError, UnknownError
from booking.queue.service import NotAdmittedError
from booking.services import Services
from booking_http.inputs import (
    IDEMPOTENCY_KEY,
    RequestIds,
    query_parameters,
    read_body,
    required_token,
    token_text,
)
from booking_http.metrics import EdgeMetrics
from booking_http.problems import RefusedError, malformed, of_exception, problem_reply, retry_after
from booking_http.reply import HttpDate, Reply, header
from booking_http.routes import Call, Handler, Param, Resource, Route, RouteTable
from booking_http.settings import EdgeSettings

_log = logging.getLogger("booking.http")
_access_log = logging.getLogger("booking.http.access")
_UNFINISHED = frozenset({408, 413})
"""Answers after which the rest of the body is not wanted any more: the connection ends."""
UNMATCHED = "unmatched"
"""The route label of requests that no row is for."""
TRACEPARENT: Final = istr("traceparent")
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}.*"
)
"""W3C Trace Context, 3.2. What a later version puts behind it is ignored, as it demands."""

WINDOW_S = 60.0
"""A bucket that was emptied is full again after this time, and then it may be forgotten."""
KEYS_MAX = 100_000
"""Buckets of the last minute, about 15 MB; beyond it the older half of them is forgotten early,
which is in favour of those who ask."""
FORWARDED_FOR: Final = istr("X-Forwarded-For")


class Dispatcher:
    """The handler that aiohttp's low-level server calls for each request."""

    def __init__(
        self, services: Services, table: RouteTable, settings: EdgeSettings, metrics: EdgeMetrics
    ) -> None:
        self._services = services
        self._table = table
        self._settings = settings
        self._metrics = metrics
        self._ids = RequestIds()
        self._date = HttpDate(services.clock.now_ms)
        address, user = settings.rate_per_address_minute, settings.rate_per_user_minute
        self._addresses = Addresses(settings.trusted_proxies)
        self._per_address = RateLimit("address", address) if address else None
        self._per_user = RateLimit("user", user) if user else None
        self.draining = False
        """Set: each answer ends its connection."""

    async def __call__(self, request: web.BaseRequest) -> Reply:
        """The answer to one request, counted and logged; every exception is a refusal."""
        started = perf_counter()
        metrics = self._metrics
        metrics.active += 1
        request_id = self._ids.of(request.headers)
        path, _, query = _target(request).partition("?")
        resource, path_id = self._table.find(path)
        try:
            try:
                reply = await self._answer(request, resource, path_id, query)
            except Exception as error:  # noqa: BLE001  -- the one place where every failure becomes an answer
                reply = self._refused(request, request_id, path, error)
        finally:
            metrics.active -= 1
        reply.request_id = request_id
        reply.date = self._date
        reply.write_timeout_s = self._settings.write_timeout_s
        if self.draining:
            reply.force_close()
        label = UNMATCHED if resource is None else resource.template
        seconds = perf_counter() - started
        metrics.observe(request.method, label, reply.status, seconds)
        if self._settings.access_log:
            _log_access(request, path, label, reply.status, request_id, seconds)
        return reply

    async def _answer(
        self, request: web.BaseRequest, resource: Resource | None, path_id: str, query: str
    ) -> Reply:
        if resource is None:
            return self._no_such_path(request)
        route = resource.route(request.method)
        if route is None:
            return self._other_method(request, resource.allow)
        call = Call(request, path_id)
        if route.guard is not None:
            call.who = route.guard(request)
        if self._per_address is not None and route.tag != "system":
            call.limits = self._per_address.take(self._addresses.of(request))
        handle = route.handle
        if route.gate == "admitted":
            if self._services.freshness.regaining:
                await self._services.freshness.settle()
            handle = await self._pass_gate(call, route)
        elif route.gate == "required":
            text_of = route.token_text
            headers = request.headers
            text = required_token(headers) if text_of is None else text_of(headers, query)
            call.token_text, call.token = text, self._services.queue.read_token(text)
        if self._per_user is not None and call.token is not None:
            call.limits = self._per_user.take(call.token.user)
        if query or route.params:
            call.params = _parsed(query, route.params_by_name)
        if route.reader is not None:
            call.body = await route.reader.read(request, self._settings.body_timeout_s)
        elif route.body is None and request.content is not EMPTY_PAYLOAD:
            # Nobody wants it, but what is too large or too slow is refused here as anywhere.
            await read_body(request, self._settings.body_timeout_s)
        if route.gate != "none" and self._services.freshness.regaining:
            await self._services.freshness.settle()
        if route.gate == "user" or route.gate == "sent":
            self._check_user(call, route)
        reply = await handle(call)
        if call.limits:
            reply.add_header(call.limits)
        return reply

    def _check_user(self, call: Call, route: Route) -> None:
        """A token sent along has to be that user's; with the setting, a live one is needed. Where
        nobody is named, it is the token's user."""
        text = token_text(call.request.headers)
        user = call.params.get("userId") or getattr(call.body, "userId", "")
        if not user:
            user = self._services.queue.read_token(required_token(call.request.headers)).user
        call.user = user
        needed = route.gate == "user" and self._settings.user_auth == "token"
        if text is None:
            if needed:
                raise TokenError("token_missing")
            return
        token = self._services.queue.read_token(text)
        if token.user != user:
            raise UnknownError
        if needed:
            self._services.queue.poll(token, text)

    async def _pass_gate(self, call: Call, route: Route) -> Handler:
        """Puts the token into the call and says who handles it; raises if it opens nothing."""
        headers = call.request.headers
        text = required_token(headers)
        try:
            call.token = await self._admitted(text)
        except TokenError as error:
            used_up = error.code == "token_expired" and IDEMPOTENCY_KEY in headers
            if not used_up or route.replay is None:
                raise
            call.token = self._services.queue.read_token(text)
            return route.replay
        return route.handle

    async def _admitted(self, text: str) -> QueueToken:
        """The token's content if it opens."""
        try:
            return self._services.queue.admitted(text)
        except (NotAdmittedError, TokenError) as error:
            return await self._ask_owner(text, error)

    async def _ask_owner(self, text: str, refusal: TokenError | NotAdmittedError) -> QueueToken:
        """What is known here may be a moment old: the queue's owner may know better."""
        token = self._services.queue.read_token(text)
        standing = await self._services.queue.owners_status(token, text, refusal)
        if not standing.active:
            raise NotAdmittedError(standing)
        return token

    @staticmethod
    def _no_such_path(request: web.BaseRequest) -> Reply:
        if request.method == "OPTIONS" and request.raw_path == "*":
            return Reply(204, header("Allow", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"))
        raise RefusedError("not_found", "Nothing is served at this path; the calls are at /docs.")

    @staticmethod
    def _other_method(request: web.BaseRequest, allow: str) -> Reply:
        if request.method == "OPTIONS":
            return Reply(204, header("Allow", allow))
        raise RefusedError("method_not_allowed", f"Allowed: {allow}.", {"Allow": allow})

    def _refused(
        self, request: web.BaseRequest, request_id: str, path: str, error: Exception
    ) -> Reply:
        refusal = of_exception(error)
        self._metrics.refusals[str(refusal.code)] += 1
        if refusal.row.status == 500:
            _log.error(
                "request failed: %s %s",
                request.method,
                path,
                exc_info=error,
                extra=_log_ids(request, request_id),
            )
        reply = problem_reply(refusal, path, request_id)
        if reply.status in _UNFINISHED:
            reply.force_close()
        return reply


def _target(request: web.BaseRequest) -> str:
    """Path and query as sent; a proxy's absolute form is cut down to them (RFC 9112, 3.2.2)."""
    raw = request.raw_path
    if raw.startswith("/") or raw == "*":
        return raw
    return request.rel_url.raw_path_qs


def _parsed(query: str, known: Mapping[str, Param]) -> Mapping[str, Any]:
    given = query_parameters(query, known) if query else {}
    parsed: dict[str, Any] = {}
    for name, param in known.items():
        text = given.get(name)
        if text is None:
            if param.required:
                raise malformed(f"{name}: this query parameter is needed")
            parsed[name] = param.default
            continue
        try:
            if not text and not param.allow_empty:
                raise ValueError("a value is expected")
            parsed[name] = param.parse(text)
        except ValueError as error:
            raise malformed(f"{name}: {error}") from None
    return parsed


def _log_ids(request: web.BaseRequest, request_id: str) -> dict[str, str]:
    """What a log line about this request carries: its id, and the trace that the caller is in."""
    sent = request.headers.get(TRACEPARENT, "")
    found = _TRACEPARENT.fullmatch(sent) if len(sent) < 256 else None
    if found is None:
        return {"request_id": request_id}
    return {"request_id": request_id, "trace_id": found[1]}


def _log_access(
    request: web.BaseRequest, path: str, route: str, status: int, request_id: str, seconds: float
) -> None:
    """Write the line of one answered request; no query or header, which may carry tokens."""
    fields = {
        "method": request.method,
        "path": path,
        "route": route,
        "status": status,
        "duration_ms": round(seconds * 1000, 3),
        "remote": request.remote,
        **_log_ids(request, request_id),
    }
    _access_log.info("%s %s %d", request.method, route, status, extra=fields)


# -- rate limits -----------------------------------------------------------------------------------


class RateLimit:
    """``quota`` requests a minute for each key, all at once if it likes (GCRA: a bucket is one
    number, the time when it will be full)."""

    def __init__(
        self,
        name: str,
        quota: int,
        clock: Callable[[], float] = monotonic,
        keys_max: int = KEYS_MAX,
    ) -> None:
        assert quota > 0
        self._keys_max = keys_max
        self._clock = clock
        self._name = name
        self._cost_s = WINDOW_S / quota
        self._policy = header("RateLimit-Policy", f'"{name}";q={quota};w={WINDOW_S:.0f}')
        self._head = self._policy + b'RateLimit: "%b";r=' % name.encode()
        self._full_at: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._turned_at = clock()

    def take(self, key: str) -> bytes:
        """The header lines of an answer to this request; :class:`RefusedError` (429) when the
        bucket is empty."""
        now = self._clock()
        if now - self._turned_at >= WINDOW_S or len(self._full_at) >= self._keys_max // 2:
            # Whatever is only in the older half was not used for a window, so it is full again.
            self._older, self._full_at, self._turned_at = self._full_at, {}, now
        full_at = self._full_at.get(key) or self._older.get(key, 0.0)
        missing_s = (full_at - now if full_at > now else 0.0) + self._cost_s
        if missing_s > WINDOW_S + 1e-9:
            raise self._refusal(missing_s - WINDOW_S)
        self._full_at[key] = now + missing_s
        left = int((WINDOW_S - missing_s) / self._cost_s + 1e-6)
        return self._head + b"%d;t=%d\r\n" % (left, ceil(missing_s))

    def _refusal(self, wait_s: float) -> RefusedError:
        name, value = self._policy.decode().rstrip().split(": ", 1)
        after = retry_after(wait_s)
        left = f'"{self._name}";r=0;t={after["Retry-After"]}'
        words = f"Too many requests of this {self._name}; wait as Retry-After says."
        return RefusedError("rate_limited", words, {name: value, "RateLimit": left, **after})


class Addresses:
    """Whose request it is: the peer, or whom a trusted proxy names."""

    def __init__(self, trusted: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._trusted = trusted

    def of(self, request: web.BaseRequest) -> str:
        """The nearest address that is not a trusted proxy's: what lies beyond it is hearsay."""
        address = request.remote or ""
        if not self._trusted or not self._is_trusted(address):
            return address
        hops = ",".join(request.headers.getall(FORWARDED_FOR, [])).split(",")
        for hop in reversed(hops):
            named = hop.strip()
            if not named:
                break
            address = named
            if not self._is_trusted(address):
                break
        return address[:64]

    def _is_trusted(self, address: str) -> bool:
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._trusted)
