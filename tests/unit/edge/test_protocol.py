"""What HTTP itself asks for: methods, HEAD, request ids, errors, versions."""

from __future__ import annotations

import logging
from email.utils import parsedate_to_datetime

import pytest

from actors.errors import (
    DeadlineExceededError,
    EntityCrashedError,
    JournalUnavailableError,
    NotOwnedError,
    OverloadedError,
    StoppingError,
)
from booking_http import EdgeSettings
from tests.support.edge import ALICE, Edge, running
from tests.support.instance import START_MS


async def test_a_method_that_is_not_there_names_those_that_are(edge: Edge) -> None:
    for method, target, allow in (
        ("PUT", "/queue/issue", "OPTIONS, POST"),
        ("GET", "/queue/issue", "OPTIONS, POST"),
        ("PATCH", "/reservation/x", "DELETE, GET, HEAD, OPTIONS"),
        ("DELETE", "/livez", "GET, HEAD, OPTIONS"),
        ("TRACE", "/livez", "GET, HEAD, OPTIONS"),
    ):
        answer = await edge(method, target)
        assert (answer.status, answer.code) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == allow


async def test_options_tells_the_methods(edge: Edge) -> None:
    answer = await edge("OPTIONS", "/queue")
    assert (answer.status, answer.headers["Allow"]) == (204, "DELETE, OPTIONS")


async def test_head_is_get_without_its_body(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for target in ("/livez", "/queue/status", "/reservations", "/docs", "/nope", "/queue/issue"):
        shown = await edge("GET", target, token=token)
        answer = await edge("HEAD", target, token=token)
        assert (answer.status, answer.body) == (shown.status, b"")
        assert answer.headers["Content-Type"] == shown.headers["Content-Type"]
        same = shown.status == 200  # a problem names its request's id, of another length
        assert not same or answer.headers["Content-Length"] == shown.headers["Content-Length"]


@pytest.mark.parametrize("sent", ["abc", "a b~!", "x" * 128])
async def test_a_request_id_is_given_back(edge: Edge, sent: str) -> None:
    answer = await edge("GET", "/nope", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] == answer.json["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "ä"])
async def test_a_request_id_that_cannot_be_used_is_replaced(edge: Edge, sent: str) -> None:
    answer = await edge("GET", "/livez", headers={"X-Request-Id": sent})
    made = answer.headers["X-Request-Id"]
    assert made != sent
    assert made != (await edge("GET", "/livez")).headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (OverloadedError(), "overloaded"),
        (NotOwnedError(), "moved"),
        (JournalUnavailableError(), "journal_unavailable"),
        (DeadlineExceededError(), "deadline_exceeded"),
        (StoppingError(), "stopping"),
    ],
)
async def test_each_unavailability_has_its_code(edge: Edge, trouble: Exception, code: str) -> None:
    edge.instance.fail(trouble)
    answer = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1})
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, code, "1")


@pytest.mark.parametrize(
    "trouble",
    [
        EntityCrashedError("secret"),
        RuntimeError("secret"),
        ConnectionResetError("secret"),
        TimeoutError("secret"),
        AssertionError("secret"),
    ],
)
async def test_what_breaks_is_logged_with_its_id_and_told_without_details(
    edge: Edge, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    token = await edge.enter(ALICE)
    edge.instance.fail(trouble)
    with caplog.at_level(logging.ERROR, "booking.http"):
        answer = await edge("GET", "/reservations", token=token)
    assert (answer.status, answer.code) == (500, "internal_error")
    assert b"secret" not in answer.body
    (record,) = caplog.records
    assert record.__dict__["request_id"] == answer.headers["X-Request-Id"]
    assert record.exc_info is not None
    assert record.exc_info[1] is trouble
    assert token not in caplog.text
    edge.instance.mend()
    assert (await edge("GET", "/reservations", token=token)).status == 200


async def test_every_answer_forbids_sniffing(edge: Edge) -> None:
    for target in ("/livez", "/nope", "/docs", "/openapi.json", "/metrics"):
        answer = await edge("GET", target)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "booking"
        date = parsedate_to_datetime(answer.headers["Date"])
        assert date.timestamp() == START_MS // 1000, "pages count down by it"


async def test_an_old_client_is_answered_and_closed() -> None:
    async with running() as edge:
        client = await edge.connect()
        await client.send(b"GET /livez HTTP/1.0\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.closed() == b""
        client = await edge.connect()
        await client.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer())[1]["connection"] == "keep-alive"


async def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    client = await edge.connect()
    one = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
    await client.send(one % b"livez" + one % b"nope" + one % b"readyz")
    assert [(await client.answer())[0] for _ in range(3)] == [200, 404, 200]


async def test_the_absolute_form_of_a_target_is_understood(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(b"GET http://elsewhere:1/readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
    status, _, body = await client.answer()
    assert (status, b"checks" in body) == (200, True)
    await client.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.answer())[0] == 204


async def test_the_access_log_has_no_tokens(caplog: pytest.LogCaptureFixture) -> None:
    async with running(settings=EdgeSettings(access_log=True)) as edge:
        token = await edge.enter(ALICE)
        with caplog.at_level(logging.INFO, "booking.http.access"):
            answer = await edge("GET", f"/readyz?verbose=true&token={token}", token=token)
        assert answer.status == 400
        (record,) = [each for each in caplog.records if each.name == "booking.http.access"]
        assert token not in caplog.text
        assert record.getMessage() == "GET /readyz 400"
        fields = {name: getattr(record, name) for name in ("path", "status", "remote")}
        assert fields == {"path": "/readyz", "status": 400, "remote": "127.0.0.1"}


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", True),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("anything else", False),
    ],
)
async def test_the_callers_trace_is_in_the_log(
    caplog: pytest.LogCaptureFixture, sent: str, trace: bool
) -> None:
    async with running(settings=EdgeSettings(access_log=True)) as edge:
        with caplog.at_level(logging.INFO, "booking.http.access"):
            await edge("GET", "/livez", headers={"traceparent": sent, "X-Request-Id": "mine"})
    (record,) = [each for each in caplog.records if each.name == "booking.http.access"]
    assert record.__dict__["request_id"] == "mine"
    wanted = "4bf92f3577b34da6a3ce929d0e0e4736" if trace else None
    assert record.__dict__.get("trace_id") == wanted
