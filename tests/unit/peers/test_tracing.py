"""A traced ask takes its span along; any other is said as it always was."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from actors.address import Address
from actors.behaviour import CommandKey
from actors.errors import EntityCrashedError
from actors.peers.link import ask_of
from actors.peers.protocol import TracedAsk, decode_frame, encode, frame_of
from actors.peers.transport import PeerTransport
from actors.transport import Answer, Request
from booking.observability.tracing import TraceIds
from tests.support.memory_tracer import MemoryTracer, SpanRecorder
from tests.support.peer_links import ANN, Clerk, Pair, until
from tests.support.toys import Counter

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = CommandKey(b"k" * 16, b"f" * 16)


class AskedBefore(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """An ask as version 1 of the protocol began, before there were traces."""

    id: int
    address: Address
    command: bytes
    key: CommandKey | None
    remaining_ms: int
    hops: int
    epoch: int = 0
    content: int = 0


BEFORE = AskedBefore(3, ANN, b'"get"', KEY, 4_000, 1, 7, 0)


def said(traceparent: str) -> bytes:
    request = Request(ANN, "get", 0.0, KEY, 1, 7, traceparent)
    return encode(ask_of(request, 3, 4_000, 0, b'"get"'))


def test_without_a_trace_not_a_byte_is_added() -> None:
    assert said("") == msgspec.msgpack.encode(BEFORE)


def test_an_older_release_understands_a_traced_ask() -> None:
    assert len(said(TRACEPARENT)) == len(said("")) + len(TRACEPARENT) + 2
    heard = msgspec.msgpack.decode(frame_of([said(TRACEPARENT)]), type=list[AskedBefore])
    assert heard == [BEFORE]


def test_an_ask_of_such_a_release_belongs_to_no_trace() -> None:
    (heard,) = decode_frame(frame_of([msgspec.msgpack.encode(BEFORE)]))
    assert isinstance(heard, TracedAsk)
    assert (heard.traceparent, heard.epoch, heard.key) == ("", 7, KEY)


class Attentive(Clerk):
    """Notes in which trace it is asked."""

    def __init__(self, tracer: MemoryTracer) -> None:
        super().__init__()
        self._tracer = tracer
        self.traced: list[str] = []

    def ask(self, *asked: Any, **more: Any) -> asyncio.Future[Answer]:
        self.traced.append(self._tracer.current)
        return super().ask(*asked, **more)


async def ask(pair: Pair, transport: PeerTransport, command: Any, traceparent: str = "") -> Any:
    deadline = pair.in_s(60)
    return await transport.ask("two", Request(ANN, command, deadline, traceparent=traceparent))


async def test_what_is_asked_in_a_trace_is_decided_in_it(pair: Pair) -> None:
    tracer = MemoryTracer()
    pair.clerk = clerk = Attentive(tracer)
    await pair.start(tracer=tracer)
    transport = pair.transport()
    with tracer.request() as traceparent:
        pass
    await ask(pair, transport, 1, traceparent)
    await ask(pair, transport, 2)
    assert clerk.traced == ["request", ""]


async def test_who_follows_nobody_answers_all_the_same(pair: Pair) -> None:
    await pair.start()
    answer = await ask(pair, pair.transport(), 1, TRACEPARENT)
    assert answer.reply == 1


class Unreadable(Counter):
    kind = "counter"

    def decode_command(self, data: bytes) -> Any:
        raise ValueError


async def test_log_lines_about_an_ask_have_its_trace(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines about the link itself have none."""
    caplog.set_level(logging.INFO)
    caplog.handler.addFilter(TraceIds())
    recorder = SpanRecorder()
    pair.behaviours["counter"] = Unreadable()
    await pair.start(tracer=recorder.tracer)
    transport = pair.transport()
    with recorder.request() as traceparent, pytest.raises(EntityCrashedError):
        await ask(pair, transport, 1, traceparent)
    pair.relay.cut()
    await until(lambda: "the link to two has ended" in caplog.text)
    (unread,) = [line for line in caplog.records if "cannot be read" in line.message]
    (ended,) = [line for line in caplog.records if "the link to two has" in line.message]
    assert unread.__dict__["trace_id"] == traceparent.split("-")[1]
    assert "trace_id" not in ended.__dict__
