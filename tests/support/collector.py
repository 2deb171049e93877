"""A collector of traces on loopback: takes what instances send by OTLP over HTTP, and keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


class Collected:
    """One span as it was sent, and by which instance."""

    def __init__(self, span: Span, resource: dict[str, Any]) -> None:
        self.name = span.name
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower()
        self.facts = _plain(span.attributes)
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.events = [event.name for event in span.events]
        self.began_ns = span.start_time_unix_nano
        self.ended_ns = span.end_time_unix_nano
        self.instance = str(resource["service.instance.id"])
        self.resource = resource

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} at {self.instance} {self.facts}>"


class Collector:
    """What has arrived so far. Made by :func:`collector`."""

    def __init__(self) -> None:
        self.spans: list[Collected] = []
        self.received = b""
        """All of it as it was sent."""
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received += body
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(sent.resource.attributes)
            for scope in sent.scope_spans:
                self.spans += [Collected(span, resource) for span in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def of(self, trace: str) -> list[Collected]:
        """The spans of one trace, in the order in which they began."""
        found = [span for span in self.spans if span.trace == trace]
        return sorted(found, key=lambda span: span.began_ns)

    def tree(self, trace: str, parent: str) -> list[Any]:
        """What is beneath this span: each as ``(kind, name, instance, [what is beneath it])``."""
        return [
            (span.kind, span.name, span.instance, self.tree(trace, span.id))
            for span in self.of(trace)
            if span.parent == parent
        ]


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """One that listens at :attr:`Collector.url`."""
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()


def _plain(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return None if kind is None else getattr(pair.value, kind)
