"""One trace from the caller over the edge to the decision, if it is wanted."""

from __future__ import annotations

import io
import json
import logging
import uuid
from collections.abc import Iterator
from importlib.util import find_spec

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from booking import logs, tracing
from booking.settings import Settings, SettingsError
from booking.tracing import Tracing
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import SECRET, StartService

CATALOGUE = catalogue(concert("alpha", date("alpha-1")))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Where the spans of every instance of this test end up."""
    kept = InMemorySpanExporter()
    made = Tracing.with_processor("test", SimpleSpanProcessor(kept))
    monkeypatch.setattr(Tracing, "of", lambda settings: made)
    return kept


@pytest.fixture
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def named(spans: tuple[ReadableSpan, ...], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_request_and_its_decision_are_in_the_callers_trace(
    exporter: InMemorySpanExporter, start_service: StartService
) -> None:
    service = await start_service(CATALOGUE)
    user, token = await service.api.enter()
    exporter.clear()
    seat = {"seatId": "alpha-1-7"}
    reply = await service.api.call("POST", "/reservation", body=seat, token=token, headers=PARENT)
    assert reply.status == 201
    spans = exporter.get_finished_spans()
    edge = named(spans, "POST /reservation")
    hold = named(spans, "ask HoldSeat")
    assert edge.context is not None
    assert hold.parent is not None
    assert edge.parent is not None
    assert f"{edge.context.trace_id:032x}" == TRACE
    assert f"{edge.parent.span_id:016x}" == PARENT["traceparent"].split("-")[2]
    assert hold.parent.span_id == edge.context.span_id
    assert edge.attributes is not None
    assert edge.attributes["http.response.status_code"] == 201
    assert hold.attributes is not None
    assert hold.attributes["booking.entity.kind"] == "seat"
    assert 0 <= int(str(hold.attributes["booking.shard"])) < 256
    everything = "".join(span.to_json() for span in spans)
    assert user not in everything
    assert token not in everything


async def test_log_lines_of_a_request_have_its_trace(
    exporter: InMemorySpanExporter, start_service: StartService, root_logger_restored: None
) -> None:
    service = await start_service(CATALOGUE, BOOKING_ACCESS_LOG="on")
    stream = io.StringIO()
    logs.configure("json", [SECRET], stream, traced=True)
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/livez"):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    line = json.loads(stream.getvalue().splitlines()[-1])
    assert line["trace_id"] == f"{span.context.trace_id:032x}"
    assert line["span_id"] == f"{span.context.span_id:016x}"


def settings(**more: str) -> Settings:
    return Settings.from_env(
        {
            "BOOKING_DATABASE_URL": "postgresql://db/booking",
            "BOOKING_REDIS_URL": "redis://cache",
            "BOOKING_TOKEN_SECRET": SECRET,
            **more,
        }
    )


def test_it_is_off_unless_asked_for() -> None:
    assert Tracing.of(settings()) is None


async def test_it_can_be_switched_on_and_closed_without_a_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    on = Tracing.of(settings(BOOKING_TRACING="otlp", BOOKING_INSTANCE=f"i-{uuid.uuid4()}"))
    assert on is not None
    await on.close()


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.check_installed(settings(BOOKING_TRACING="otlp"))
    monkeypatch.setattr(
        tracing, "find_spec", lambda name: None if "opentelemetry" in name else find_spec(name)
    )
    tracing.check_installed(settings())
    with pytest.raises(SettingsError, match=r"booking\[tracing\]"):
        tracing.check_installed(settings(BOOKING_TRACING="otlp"))
