"""One trace from the caller over the edge to the decision, if it is wanted."""

from __future__ import annotations

import asyncio
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
from opentelemetry.trace import StatusCode

from booking.observability import logs, tracing
from booking.observability.tracing import Tracing
from booking.settings import Settings, SettingsError
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
    hold = named(spans, "decide HoldSeat")
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
    assert hold.attributes["booking.reply"] == "HoldGranted"
    everything = "".join(span.to_json() for span in spans)
    assert user not in everything
    assert token not in everything


async def test_a_refusal_is_told_by_its_code_and_fails_no_span(
    exporter: InMemorySpanExporter, start_service: StartService
) -> None:
    api = (await start_service(CATALOGUE)).api
    (_, first), (_, second) = await api.enter(), await api.enter()
    assert (await api.reserve(first, "alpha-1-7")).status == 201
    exporter.clear()
    assert (await api.reserve(second, "alpha-1-7")).code == "seat_unavailable"
    refused = named(exporter.get_finished_spans(), "decide HoldSeat")
    assert refused.attributes is not None
    assert refused.attributes["booking.code"] == "seat_unavailable"
    assert {span.status.status_code for span in exporter.get_finished_spans()} == {StatusCode.UNSET}


async def test_what_a_stranger_makes_up_is_in_no_span(
    exporter: InMemorySpanExporter, start_service: StartService
) -> None:
    service = await start_service(CATALOGUE)
    exporter.clear()
    await service.api.call("PROPFIND", "/made-up/path")
    (span,) = exporter.get_finished_spans()
    assert span.name == "HTTP"
    assert span.attributes is not None
    assert span.attributes["http.request.method"] == "_OTHER"
    assert "http.route" not in span.attributes
    assert not {word for word in ("made-up", "PROPFIND") if word in span.to_json()}


async def test_probes_and_scrapes_are_traced_only_within_a_trace(
    exporter: InMemorySpanExporter, start_service: StartService
) -> None:
    service = await start_service(CATALOGUE)
    exporter.clear()
    for path in ("/livez", "/readyz", "/metrics"):
        await service.api.call("GET", path)
    assert exporter.get_finished_spans() == ()
    await service.api.call("GET", "/readyz", headers=PARENT)
    assert [span.name for span in exporter.get_finished_spans()] == ["GET /readyz"]


async def test_log_lines_of_a_request_have_its_trace(
    exporter: InMemorySpanExporter, start_service: StartService, root_logger_restored: None
) -> None:
    service = await start_service(CATALOGUE, BOOKING_ACCESS_LOG="on")
    stream = io.StringIO()
    logs.configure("json", [SECRET], stream, traced=True)
    async with aiohttp.ClientSession() as session, session.get(f"{service.url}/dates"):
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


def test_what_the_environment_calls_the_service_it_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = InMemorySpanExporter()
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tickets")
    made = Tracing.with_processor("one", SimpleSpanProcessor(kept))
    made.spans.start_span("any").end()
    (span,) = kept.get_finished_spans()
    assert span.resource.attributes["service.name"] == "tickets"
    assert span.resource.attributes["service.instance.id"] == "one"


async def test_it_can_be_switched_on_and_closed_without_a_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    on = Tracing.of(settings(BOOKING_TRACING="otlp", BOOKING_INSTANCE=f"i-{uuid.uuid4()}"))
    assert on is not None
    await on.close()


async def test_a_collector_that_is_away_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By itself the exporter tries again for some eight seconds."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing, "CLOSE_MAX_S", 0.05)
    on = Tracing.of(settings(BOOKING_TRACING="otlp"))
    assert on is not None
    on.spans.start_span("left").end()
    async with asyncio.timeout(4.0):
        await on.close()


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.check_installed(settings(BOOKING_TRACING="otlp"))
    monkeypatch.setattr(
        tracing, "find_spec", lambda name: None if "opentelemetry" in name else find_spec(name)
    )
    tracing.check_installed(settings())
    with pytest.raises(SettingsError, match=r"booking\[tracing\]"):
        tracing.check_installed(settings(BOOKING_TRACING="otlp"))
