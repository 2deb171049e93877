"""OpenTelemetry traces: the optional extra ``booking[tracing]``, switched on by a setting.

When it is off, nothing is wrapped. Where traces go and how many are kept is told by OpenTelemetry's
own variables. A request is one span, joined to its caller's by ``traceparent``; what it asks of
entities is beneath it (:mod:`booking.observability.spans`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from actors.cluster.node import ClusterNode
from actors.peers import PeerTransport
from booking.settings import Settings, SettingsError
from booking_http.dispatch import TRACEPARENT, UNMATCHED
from booking_http.openapi import release
from booking_http.reply import Reply

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from booking.observability.spans import SpanTracer, TracedLinks

Handler = Callable[[web.BaseRequest], Awaitable[Reply]]
RouteOf = Callable[[web.BaseRequest], str]

CLOSE_MAX_S = 2.0
"""For the last spans: a collector takes milliseconds, or is away."""

_FAILED = 500
"""Statuses from here on are the server's failure, and make its span one (semantic conventions)."""

_ASKED_ALL_THE_TIME = frozenset({"/livez", "/readyz", "/metrics"})
"""By load balancers and Prometheus: of no interest, unless they are part of somebody's trace."""


def check_installed(settings: Settings) -> None:
    """:class:`SettingsError` if traces are wanted and the extra is not there."""
    if settings.tracing == "off":
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise SettingsError("BOOKING_TRACING=otlp needs an extra: pip install 'booking[tracing]'")


class Tracing:
    """The tracer of one instance."""

    def __init__(self, provider: TracerProvider) -> None:
        from booking.observability.spans import SpanTracer

        self._provider = provider
        self.spans = provider.get_tracer("booking", release())
        """Makes the spans."""
        self.tracer: SpanTracer = SpanTracer(self.spans)
        """For :attr:`actors.runtime.Runtime.tracer` and whoever else follows messages."""
        self._give_up: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, settings: Settings) -> Tracing | None:
        """``None`` when it is off."""
        if settings.tracing == "off":
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter()
        made = cls.with_processor(settings.instance, BatchSpanProcessor(exporter))
        made._give_up = exporter.shutdown
        return made

    @classmethod
    def with_processor(cls, instance: str, processor: SpanProcessor) -> Tracing:
        """One whose spans go to ``processor``."""
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider

        ours = Resource.create(
            {
                "service.name": "booking",
                "service.version": release(),
                "service.instance.id": instance,
            }
        )
        # What the environment says (OTEL_SERVICE_NAME and the like) is the operator's own wish.
        provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        provider.add_span_processor(processor)
        return cls(provider)

    def requests(self, handler: Handler, route_of: RouteOf) -> Handler:
        """The edge's handler with a span around each request, whose id is in log lines."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        from booking.observability.spans import fail, span_of

        async def traced(request: web.BaseRequest) -> Reply:
            route = route_of(request)
            if route in _ASKED_ALL_THE_TIME and TRACEPARENT not in request.headers:
                return await handler(request)
            name, about = _described(request, route)
            caller = extract(request.headers)
            with span_of(self.spans, name, SpanKind.SERVER, about, caller) as span:
                reply = await handler(request)
                span.set_attribute("http.response.status_code", reply.status)
                if reply.status >= _FAILED:
                    fail(span, str(reply.status))
                return reply

        return traced

    def links(self, links: PeerTransport) -> TracedLinks:
        """The links to other instances with a span around each ask."""
        from booking.observability.spans import TracedLinks

        return TracedLinks(links, self.spans)

    def follow(self, node: ClusterNode) -> None:
        """Have the node's messages followed; before it is started."""
        node.runtime.tracer = node.router.tracer = self.tracer

    async def close(self) -> None:
        """Sends what is left, for :data:`CLOSE_MAX_S`; in a thread, because the exporter blocks."""
        sent = asyncio.get_running_loop().run_in_executor(None, self._provider.shutdown)
        await asyncio.wait((sent,), timeout=CLOSE_MAX_S)
        if not sent.done():
            self._give_up()
        await sent


def _described(request: web.BaseRequest, route: str) -> tuple[str, dict[str, str]]:
    """Name and attributes by the semantic conventions, without a stranger's words."""
    method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
    about = {"http.request.method": method, "url.scheme": request.scheme}
    name = "HTTP" if method == "_OTHER" else method
    if route != UNMATCHED:
        about["http.route"] = route
        name = f"{name} {route}"
    return name, about


class TraceIds(logging.Filter):
    """Puts the ids of the current span into log records that have none."""

    def __init__(self) -> None:
        super().__init__()
        from opentelemetry.trace import get_current_span

        self._current = get_current_span

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; no record is left out."""
        context = self._current().get_span_context()
        if context.is_valid:
            record.__dict__.setdefault("trace_id", f"{context.trace_id:032x}")
            record.__dict__.setdefault("span_id", f"{context.span_id:016x}")
        return True
