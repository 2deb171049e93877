"""Log lines: one a record, in two forms, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from booking.observability import logs

SECRET = "f3b1c05a9d2e47886a10cb5d9e7f2034"
TOKEN = "qL3v" * 20


@pytest.fixture(autouse=True)
def root_logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def logged(kind: str, *args: object, **kwargs: object) -> str:
    stream = io.StringIO()
    logs.configure("json" if kind == "json" else "text", [SECRET], stream)
    logging.getLogger("booking.x").warning(*args, **kwargs)  # type: ignore[arg-type]  # passed on
    return stream.getvalue()


def test_json_is_one_object_a_line_with_the_extras() -> None:
    line = logged("json", "held %s\nseats", 3, extra={"shard": 7, "who": "ada"})
    assert line.count("\n") == 1
    record = json.loads(line)
    assert record["message"] == "held 3\nseats"
    assert (record["level"], record["logger"]) == ("WARNING", "booking.x")
    assert (record["shard"], record["who"]) == (7, "ada")
    assert record["time"].endswith("+00:00")


def test_text_shows_level_logger_message_and_extras() -> None:
    assert logged("text", "held", extra={"shard": 7}).endswith(" WARNING booking.x: held shard=7\n")


@pytest.mark.parametrize("kind", ["json", "text"])
@pytest.mark.parametrize(
    "message",
    [
        f"secret is {SECRET}",
        "Authorization: Bearer hunter2abc",
        "headers {'queue-token': 'hunter2abc'}",
        "GET /queue/ws?token=hunter2abc&x=1",
        "BOOKING_TOKEN_SECRET=hunter2abc",
        "cannot reach postgresql://booking:hunter2abc@db/booking",
        "cannot reach redis://:hunter2abc@cache:6379",
        f"bad token {TOKEN}",
    ],
)
def test_secrets_and_tokens_are_blanked(kind: str, message: str) -> None:
    line = logged(kind, message)
    assert logs.REDACTED in line
    for secret in (SECRET, "hunter2abc", TOKEN):
        assert secret not in line


@pytest.mark.parametrize("kind", ["json", "text"])
def test_secrets_are_blanked_in_tracebacks_and_extras(kind: str) -> None:
    try:
        raise ValueError(f"no such token {TOKEN}")
    except ValueError:
        line = logged(kind, "failed", exc_info=True, extra={"url": "redis://:hunter2@x"})
    assert "ValueError" in line
    assert TOKEN not in line
    assert "hunter2" not in line


def test_what_is_no_secret_stays_readable() -> None:
    message = "user 7d9f3f0e-6c0b-4b6a-9b57-6f3a3d2f1a10 at http://127.0.0.1:8080/queue/status"
    assert json.loads(logged("json", message))["message"] == message
