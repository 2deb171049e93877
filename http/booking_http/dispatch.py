"""One coroutine from a request to its answer. No middleware: what every call needs is here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD

from booking.calls import UnknownError
from booking.queue.service import NotAdmittedError
from booking.queue.tokens import QueueToken, TokenError
from booking.services import Services
from booking_http.access_log import log_access, log_ids
from booking_http.bodies import read_body
from booking_http.inputs import (
    IDEMPOTENCY_KEY,
    RequestIds,
    query_parameters,
    required_token,
    token_text,
)
from booking_http.metrics import EdgeMetrics
from booking_http.problems import RefusedError, malformed, of_exception, problem_reply
from booking_http.rate_limit import Addresses, RateLimit
from booking_http.reply import Reply, header
from booking_http.routes import Call, Handler, Param, Resource, Route, RouteTable
from booking_http.settings import EdgeSettings

_log = logging.getLogger("booking.http")
_UNFINISHED = frozenset({408, 413})
"""Answers after which the rest of the body is not wanted any more: the connection ends."""
UNMATCHED = "unmatched"
"""The route label of requests that no row is for."""


class Dispatcher:
    """The handler that aiohttp's low-level server calls for each request."""

    def __init__(
        self,
        services: Services,
        table: RouteTable,
        settings: EdgeSettings,
        metrics: EdgeMetrics,
    ) -> None:
        self._services = services
        self._table = table
        self._settings = settings
        self._metrics = metrics
        self._ids = RequestIds()
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
        reply.write_timeout_s = self._settings.write_timeout_s
        if self.draining:
            reply.force_close()
        label = UNMATCHED if resource is None else resource.template
        seconds = perf_counter() - started
        metrics.observe(request.method, label, reply.status, seconds)
        if self._settings.access_log:
            log_access(request, path, label, reply.status, request_id, seconds)
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
        if route.gate == "user" or route.gate == "sent":
            self._check_user(call, route)
        reply = await handle(call)
        if call.limits:
            reply.add_header(call.limits)
        return reply

    def _check_user(self, call: Call, route: Route) -> None:
        """A token sent along has to be authentic and that user's. It opens nothing here, so it may
        have ended; where the settings ask for tokens, a live one has to be there."""
        user = call.user = call.params.get("userId") or call.body.userId
        text = token_text(call.request.headers)
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
            call.token = self._services.queue.admitted(text)
        except NotAdmittedError as error:
            call.token = await self._ask_owner(text, error)
        except TokenError as error:
            used_up = error.code == "token_expired" and IDEMPOTENCY_KEY in headers
            if used_up and route.replay is not None:
                call.token = self._services.queue.read_token(text)
                return route.replay
            call.token = await self._ask_owner(text, error)
        return route.handle

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
                extra=log_ids(request, request_id),
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
