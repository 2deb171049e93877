"""Requests exactly as they are written, for what no client library would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

ANSWER_MAX_S = 20.0
"""The service's own limits are 10 s."""


class RawAnswer:
    """Status, headers by lower-case name, and the body."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:500]!r}>"


async def raw(port: int, data: bytes) -> RawAnswer:
    """Send these bytes on a connection of their own; the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(_answer(reader), ANSWER_MAX_S)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> RawAnswer:
    head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return RawAnswer(int(status_line.split()[1]), headers, body)


def request(
    method: str,
    target: str,
    *headers: tuple[str, str | bytes],
    body: bytes | None = None,
    media: str = "application/json",
) -> bytes:
    """One HTTP/1.1 request; the length of a body is told unless a header says how it comes."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: x"]
    for name, value in headers:
        shown = value if isinstance(value, bytes) else value.encode("latin-1")
        lines.append(name.encode() + b": " + shown)
    if body is not None:
        lines.append(b"Content-Type: " + media.encode())
        if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
            lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def assert_problem(answer: RawAnswer, status: int, code: str | None = None) -> None:
    """A refusal has this status and the whole form, and repeats no secret."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json", answer
    problem = answer.json
    assert {"type", "title", "status", "detail", "instance", "success", "message", "code"} <= {
        *problem
    }, answer
    assert problem["status"] == status, answer
    assert problem["success"] is False, answer
    assert problem["message"] == problem["detail"], answer
    assert problem["request_id"] == answer.headers["x-request-id"], answer
    if code is not None:
        assert problem["code"] == code, answer
