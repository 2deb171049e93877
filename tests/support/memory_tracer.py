"""The tracer's in-memory twin, and what either of the two leaves behind, in one form.

A test begins a request with :meth:`Recorder.request`, asks, and looks at :attr:`Recorder.spans`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from actors.address import Address
from actors.core.envelope import Tracer, name_of
from actors.transport import Answer
from booking.observability.spans import SpanTracer
from booking.observability.tracing import Tracing


class Seen:
    """One span that has ended."""

    def __init__(self, name: str, parent: Seen | None, facts: dict[str, Any]) -> None:
        self.name = name
        self.parent = parent
        self.facts = facts
        self.error = ""
        """The type of the error it ended with."""

    def __repr__(self) -> str:
        return f"<{' < '.join(self.way)} {self.facts} {self.error}>"

    @property
    def way(self) -> list[str]:
        """Its name, its parent's, and so on."""
        return [self.name, *(self.parent.way if self.parent is not None else ())]


class Recorder(Protocol):
    """A tracer, and what it was told."""

    @property
    def tracer(self) -> Tracer: ...
    def request(self) -> AbstractContextManager[str]:
        """Inside, something is traced: gives the ``traceparent``."""

    @property
    def spans(self) -> list[Seen]:
        """Those that have ended, in that order."""


class MemoryTrace:
    """Implements :class:`actors.core.envelope.Trace`."""

    def __init__(self, tracer: MemoryTracer, seen: Seen) -> None:
        self._tracer = tracer
        self._seen = seen
        self._commit = Seen("commit", seen, {})

    def within(self) -> AbstractContextManager[None]:
        return self._tracer.inside(self._seen)

    def turn(self, epoch: int) -> AbstractContextManager[None]:
        self._seen.facts["booking.epoch"] = epoch
        return self.within()

    def submitted(self, lane: int, rows: int) -> None:
        place = {name: self._seen.facts[name] for name in ("booking.shard", "booking.epoch")}
        self._commit.facts = {**place, "booking.lane": lane, "booking.rows": rows}

    def sent(self, batch: int, commits: int, rows: int) -> None:
        self._commit.facts |= {
            "booking.batch": batch,
            "booking.batch.commits": commits,
            "booking.batch.rows": rows,
        }

    def committed(self, error: BaseException | None) -> None:
        self._commit.error = "" if error is None else type(error).__name__
        self._tracer.spans.append(self._commit)

    def answered(self, future: asyncio.Future[Answer]) -> None:
        if future.cancelled():
            self._seen.error = "given_up"
        elif (error := future.exception()) is not None:
            self._seen.error = type(error).__name__
        self._tracer.spans.append(self._seen)


class MemoryTracer:
    """Implements :class:`actors.core.envelope.Tracer` and :class:`Recorder`."""

    def __init__(self) -> None:
        self._current: ContextVar[Seen | None] = ContextVar("span", default=None)
        self._named: dict[str, Seen] = {}
        self.spans: list[Seen] = []
        self.slots_held: list[int] = []

    @property
    def tracer(self) -> Tracer:
        return self

    @property
    def current(self) -> str:
        """The way of what is going on now; empty if it is not traced."""
        seen = self._current.get()
        return "" if seen is None else " < ".join(seen.way)

    @contextmanager
    def inside(self, seen: Seen) -> Iterator[None]:
        token = self._current.set(seen)
        try:
            yield
        finally:
            self._current.reset(token)

    @contextmanager
    def request(self) -> Iterator[str]:
        traceparent = f"00-{len(self._named) + 1:032x}-{1:016x}-01"
        seen = self._named[traceparent] = Seen("request", None, {})
        with self.inside(seen):
            yield traceparent
        self.spans.append(seen)

    def received(self, address: Address, command: Any) -> MemoryTrace | None:
        parent = self._current.get()
        if parent is None:
            return None
        facts = {"booking.entity.kind": address.kind, "booking.shard": address.slot}
        return MemoryTrace(self, Seen(f"decide {name_of(command)}", parent, facts))

    def continued(self, traceparent: str) -> AbstractContextManager[None]:
        return self.inside(self._named[traceparent])

    def held(self, slot: int) -> None:
        if self._current.get() is not None:
            self.slots_held.append(slot)


class SpanRecorder:
    """The real one: implements :class:`Recorder` over an exporter in memory."""

    def __init__(self, sampled: bool = True) -> None:
        self._sampled = sampled
        self._exporter = InMemorySpanExporter()
        self._tracing = Tracing.with_processor("test", SimpleSpanProcessor(self._exporter))

    @property
    def tracer(self) -> SpanTracer:
        return self._tracing.tracer

    @contextmanager
    def request(self) -> Iterator[str]:
        with self._tracing.spans.start_as_current_span("request", self._caller()) as span:
            at = span.get_span_context()
            yield f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"

    def _caller(self) -> Context | None:
        if self._sampled:
            return None
        refuses = SpanContext(trace_id=7, span_id=7, is_remote=True, trace_flags=TraceFlags(0))
        return set_span_in_context(NonRecordingSpan(refuses))

    @property
    def spans(self) -> list[Seen]:
        ended = self._exporter.get_finished_spans()
        seen = {_id(span): Seen(span.name, None, dict(span.attributes or {})) for span in ended}
        for span in ended:
            own = seen[_id(span)]
            own.error = str(own.facts.get("error.type", ""))
            if span.parent is not None:
                own.parent = seen.get(span.parent.span_id)
        return list(seen.values())


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)
