"""Spans of OpenTelemetry for what happens behind the edge: asks of peers, decisions, commits.

No span names an entity, a user or a token: entities are told by kind and shard, errors by type.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from msgspec.structs import replace
from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from actors.address import Address
from actors.core.envelope import name_of
from actors.peers import PeerTransport
from actors.transport import Answer, Request
from booking.domain.decision import Rejected

CARRIER = "traceparent"

_TEXTS = TraceContextTextMapPropagator()


def fail(span: Span, kind: str) -> None:
    """Mark the span as failed, with what kind of failure it was (semantic conventions)."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


@contextmanager
def span_of(
    tracer: trace.Tracer,
    name: str,
    kind: SpanKind,
    about: Mapping[str, str | int],
    caller: Context | None = None,
) -> Iterator[Span]:
    """A span around what happens inside. Of what is raised it keeps the type, not the words."""
    with tracer.start_as_current_span(
        name, caller, kind, about, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            fail(span, type(error).__name__)
            raise


def _about(address: Address, command: str) -> dict[str, str | int]:
    return {
        "booking.entity.kind": address.kind,
        "booking.shard": address.slot,
        "booking.command": command,
    }


class SpanTracer:
    """Implements :class:`actors.core.envelope.Tracer`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def received(self, address: Address, command: Any) -> _MessageTrace | None:
        """Begin the span of a message, or none if no sampled request is behind it."""
        asker = trace.get_current_span()
        asking = asker.get_span_context()
        if not asking.is_valid:
            return None  # Of a timer, or of instances among themselves: no request is behind it.
        if not asking.trace_flags.sampled:
            return _MessageTrace(asker)
        about = _about(address, name_of(command))
        span = self._tracer.start_span(
            f"decide {about['booking.command']}",
            kind=SpanKind.SERVER if asking.is_remote else SpanKind.INTERNAL,
            attributes=about,
        )
        return _MessageSpans(self._tracer, span, address.slot)

    @contextmanager
    def continued(self, traceparent: str) -> Iterator[None]:
        """Put what is begun inside beneath the span, elsewhere, that this text names."""
        token = current.attach(_TEXTS.extract({CARRIER: traceparent}))
        try:
            yield
        finally:
            current.detach(token)

    def held(self, slot: int) -> None:
        """Note in the current span that the message waits for an owner."""
        trace.get_current_span().add_event("held back", {"booking.shard": slot})


class _MessageTrace:
    """A :class:`actors.core.envelope.Trace` that is not sampled: only its id goes on."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def within(self) -> AbstractContextManager[Span]:
        return trace.use_span(self._span, record_exception=False, set_status_on_exception=False)

    def turn(self, epoch: int) -> AbstractContextManager[Span]:
        return self.within()

    def submitted(self, lane: int, rows: int) -> None: ...

    def sent(self, batch: int, commits: int, rows: int) -> None: ...

    def committed(self, error: BaseException | None) -> None: ...

    def answered(self, future: asyncio.Future[Answer]) -> None: ...


class _MessageSpans(_MessageTrace):
    """The same for what is sampled: a span from mailbox to answer, and one of the commit beneath
    it.

    A batch carries the decisions of many requests. Each has a commit span of its own, with the
    batch's number and size: a single span with links to all of them would be in no request's trace,
    and sampled by itself.
    """

    def __init__(self, tracer: trace.Tracer, span: Span, shard: int) -> None:
        super().__init__(span)
        self._tracer = tracer
        self._place = {"booking.shard": shard}
        self._commit: Span = trace.INVALID_SPAN

    def turn(self, epoch: int) -> AbstractContextManager[Span]:
        self._place["booking.epoch"] = epoch
        self._span.set_attributes(self._place)
        self._span.add_event("turn")
        return self.within()

    def submitted(self, lane: int, rows: int) -> None:
        self._commit = self._tracer.start_span(
            "commit",
            context=trace.set_span_in_context(self._span),
            attributes={**self._place, "booking.lane": lane, "booking.rows": rows},
        )

    def sent(self, batch: int, commits: int, rows: int) -> None:
        self._commit.set_attributes(
            {"booking.batch": batch, "booking.batch.commits": commits, "booking.batch.rows": rows}
        )
        self._commit.add_event("sent")

    def committed(self, error: BaseException | None) -> None:
        if error is not None:
            fail(self._commit, type(error).__name__)
        self._commit.end()

    def answered(self, future: asyncio.Future[Answer]) -> None:
        if future.cancelled():
            fail(self._span, "given_up")
        elif (error := future.exception()) is not None:
            fail(self._span, type(error).__name__)
        else:
            self._reply(future.result())
        self._span.end()

    def _reply(self, answer: Answer) -> None:
        span, reply = self._span, answer.reply
        span.set_attributes(
            {"booking.reply": type(reply).__name__, "booking.replayed": answer.replayed}
        )
        if isinstance(reply, Rejected):
            span.set_attribute("booking.code", reply.code)


class TracedLinks:
    """The links to other instances, with a span around each ask, which travels with it."""

    def __init__(self, links: PeerTransport, tracer: trace.Tracer) -> None:
        self._links = links
        self._tracer = tracer
        self.connected = links.connected
        self.tell = links.tell
        self.close = links.close

    async def ask(self, instance: str, request: Request) -> Answer:
        """Ask another instance within a span, which travels along."""
        if not trace.get_current_span().get_span_context().trace_flags.sampled:
            return await self._links.ask(instance, replace(request, traceparent=_traceparent()))
        about = _about(request.address, name_of(request.command))
        about |= {
            "booking.peer": instance,
            "booking.hop": request.hops,
            "booking.epoch": request.epoch,
        }
        name = f"ask {about['booking.command']}"
        with span_of(self._tracer, name, SpanKind.CLIENT, about):
            return await self._links.ask(instance, replace(request, traceparent=_traceparent()))


def _traceparent() -> str:
    """Of the current span; empty if there is none."""
    carrier: dict[str, str] = {}
    _TEXTS.inject(carrier)
    return carrier.get(CARRIER, "")
