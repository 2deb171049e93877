"""OpenTelemetry traces: the optional extra ``booking[tracing]``, switched on by a setting.

Nothing of it is in the way when it is off: the edge's handler and the service's actors are wrapped
at the start, or they are not. Where traces go, and how many are kept, is told by OpenTelemetry's
own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_TRACES_SAMPLER``).

A request is one span, joined to its caller's by ``traceparent``; each decision asked for is a span
beneath it, which ends when the decision is committed. No span names a user or a token.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aiohttp import web

from actors.address import Address
from actors.behaviour import CommandKey
from actors.transport import Answer
from booking.service import Actors
from booking.settings import Settings, SettingsError
from booking_http.reply import Reply

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

Handler = Callable[[web.BaseRequest], Awaitable[Reply]]
RouteOf = Callable[[web.BaseRequest], str]

_FAILED = 500
"""Statuses from here on are the server's failure, and make its span one (semantic conventions)."""


def check_installed(settings: Settings) -> None:
    """:class:`SettingsError` if traces are wanted and the extra is not there."""
    if settings.tracing == "off":
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise SettingsError("BOOKING_TRACING=otlp needs an extra: pip install 'booking[tracing]'")


class Tracing:
    """The tracer of one instance."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, StatusCode

        self._provider = provider
        self._tracer = provider.get_tracer("booking")
        self._extract = extract
        self._server, self._error = SpanKind.SERVER, StatusCode.ERROR

    @classmethod
    def of(cls, settings: Settings) -> Tracing | None:
        """``None`` when it is off."""
        if settings.tracing == "off":
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        return cls.with_processor(settings.instance, BatchSpanProcessor(OTLPSpanExporter()))

    @classmethod
    def with_processor(cls, instance: str, processor: SpanProcessor) -> Tracing:
        """One whose spans go to ``processor``."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        named = {"service.name": "booking", "service.instance.id": instance}
        provider = TracerProvider(resource=Resource.create(named))
        provider.add_span_processor(processor)
        return cls(provider)

    def requests(self, handler: Handler, route_of: RouteOf) -> Handler:
        """The edge's handler with a span around each request. Every line that is logged meanwhile
        can be joined to it by the trace id."""

        async def traced(request: web.BaseRequest) -> Reply:
            route = route_of(request)
            with self._tracer.start_as_current_span(
                f"{request.method} {route}",
                context=self._extract(request.headers),
                kind=self._server,
                attributes={
                    "http.request.method": request.method,
                    "http.route": route,
                    "url.scheme": request.scheme,
                },
            ) as span:
                reply = await handler(request)
                span.set_attribute("http.response.status_code", reply.status)
                if reply.status >= _FAILED:
                    span.set_status(self._error)
                return reply

        return traced

    def actors(self, actors: Actors) -> Actors:
        """The service's actors with a span around each decision that is asked for."""
        return _TracedActors(actors, self._tracer)

    async def close(self) -> None:
        """Sends what is left; in a thread, because the exporter blocks."""
        await asyncio.to_thread(self._provider.shutdown)


class _TracedActors:
    """Implements :class:`booking.service.Actors`."""

    def __init__(self, actors: Actors, tracer: Any) -> None:
        self._actors = actors
        self._tracer = tracer
        self.begin = actors.begin
        self.abandon = actors.abandon

    async def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        repeatable: bool = False,
    ) -> Answer:
        attributes = {
            "booking.entity.kind": address.kind,
            "booking.shard": address.slot,
            "booking.command": type(command).__name__,
        }
        name = f"ask {type(command).__name__}"
        with self._tracer.start_as_current_span(name, attributes=attributes):
            return await self._actors.ask(address, command, key=key, repeatable=repeatable)


class TraceIds(logging.Filter):
    """Puts the ids of the current span into log records that have none."""

    def __init__(self) -> None:
        super().__init__()
        from opentelemetry.trace import get_current_span

        self._current = get_current_span

    def filter(self, record: logging.LogRecord) -> bool:
        context = self._current().get_span_context()
        if context.is_valid:
            record.__dict__.setdefault("trace_id", f"{context.trace_id:032x}")
            record.__dict__.setdefault("span_id", f"{context.span_id:016x}")
        return True
