"""Clients that break the rules, stop reading, or fall silent."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterable

import msgspec
import pytest
from msgspec.structs import replace

from booking_http.sockets.limits import (
    MESSAGE_SIZE_MAX,
    MESSAGES_PER_MINUTE_MAX,
    UNREAD_SIZE_MAX,
)
from tests.support.edge import ALICE, BOB, Edge, eventually, running
from tests.support.instance import Instance, catalogue, schedule
from tests.support.later import time_passes
from tests.support.ledgers import ledger
from tests.support.websockets import FAST, SEATS, RawSocket, listening, masked, upgrade

TEXT, PING, PONG, CLOSE = 0x81, 0x89, 0x8A, 0x88
PING_MESSAGE = b'{"type":"ping"}'


async def opened(edge: Edge, target: str = "/queue/ws") -> RawSocket:
    socket = await RawSocket.open(edge, target, await edge.enter(ALICE))
    await socket.frame()
    await socket.frame()
    return socket


WRONG = {
    "not masked": (b"\x81\x01x", 1002),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
    "too big": (masked(TEXT, bytes(MESSAGE_SIZE_MAX + 1)), 1009),
    "too big by its head alone": (b"\x81\xff" + (1 << 62).to_bytes(8, "big"), 1009),
    "not UTF-8": (masked(TEXT, b"\xc3("), 1007),
    "binary": (masked(0x82, PING_MESSAGE), 1003),
    "no JSON": (masked(TEXT, b"hello"), 1003),
    "another message": (masked(TEXT, b'{"type":"subscribe"}'), 1003),
    "more than a ping": (masked(TEXT, b'{"type":"ping","x":1}'), 1003),
    "deep nesting": (masked(TEXT, b"[" * MESSAGE_SIZE_MAX), 1003),
    "a close code that may not be": (masked(CLOSE, b"\x03\xed"), 1002),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_closed_with_its_code(
    edge: Edge, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, code = WRONG[name]
    socket = await opened(edge)
    await socket.send(data)
    assert (await socket.close_said())[0] == code
    await socket.send(masked(TEXT, PING_MESSAGE) * 3)  # nobody listens any more
    assert await socket.closed() == b""
    await eventually(lambda: edge.server.sockets == 0)
    assert caplog.records == []


async def test_pings_of_both_kinds_are_answered(edge: Edge) -> None:
    socket = await opened(edge)
    await socket.send(masked(PING, b"are you there?"))
    assert await socket.frame() == (0xA, b"are you there?")
    await socket.send(masked(0x01, b'{"type":') + masked(0x80, b'"ping"}'))
    assert await socket.frame() == (1, b'{"type":"pong"}')


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9bye", b"\x10\x92"])
async def test_a_close_is_answered_and_ends_the_connection(edge: Edge, payload: bytes) -> None:
    socket = await opened(edge)
    await socket.send(masked(CLOSE, payload))
    assert await socket.frame() == (8, payload[:2])
    assert await socket.closed() == b""
    await eventually(lambda: edge.server.sockets == 0)


@pytest.mark.parametrize("data", [masked(TEXT, PING_MESSAGE), masked(PONG), masked(0x01)])
async def test_a_flood_is_refused(edge: Edge, data: bytes) -> None:
    """Of messages, of pongs that nobody asked for, of fragments of nothing."""
    socket = await opened(edge)
    rest = masked(0x00) if data == masked(0x01) else data
    await socket.send(data + rest * (MESSAGES_PER_MINUTE_MAX - 1))
    await socket.send(rest)
    code, reason = await socket.close_said()
    assert (code, reason) == (1008, "more than 100 messages a minute")
    assert await socket.closed() == b""


async def test_a_hundred_messages_are_fine(edge: Edge) -> None:
    socket = await opened(edge)
    await socket.send(masked(TEXT, PING_MESSAGE) * MESSAGES_PER_MINUTE_MAX)
    for _ in range(MESSAGES_PER_MINUTE_MAX):
        assert await socket.frame() == (1, b'{"type":"pong"}')


async def test_who_says_nothing_for_long_is_closed_and_cut_off() -> None:
    """A half-open connection: nobody answers the pings, nor the close."""
    async with running(settings=replace(FAST, heartbeat_s=0.1)) as edge:
        socket = await RawSocket.open(edge, "/queue/ws", await edge.enter(ALICE))
        seen = []
        while (frame := await socket.frame())[0] != 8:
            seen.append(frame)
        assert (9, b"") in seen
        assert frame[1] == (1013).to_bytes(2, "big") + b"silent: it answered no ping"
        await socket.closed()
        await eventually(lambda: edge.server.sockets == 0)


async def test_who_answers_pings_stays() -> None:
    async with running(settings=replace(FAST, heartbeat_s=60.0)) as edge:
        time_passes(0.0)
        socket = await opened(edge)
        for _ in range(6):
            time_passes(60.0)
            while (await socket.frame())[0] != 9:
                pass
            await socket.send(masked(PONG) + masked(TEXT, PING_MESSAGE))
            while await socket.frame() != (1, b'{"type":"pong"}'):
                pass
        assert edge.server.sockets == 1


async def test_a_connection_that_is_reset_is_forgotten(edge: Edge) -> None:
    socket = await opened(edge)
    socket.writer.transport.abort()
    await eventually(lambda: edge.server.sockets == 0)
    await eventually(lambda: edge.server.connections <= 1)  # the pooled one of edge()


async def test_bytes_that_come_with_the_request_are_read(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    client = await edge.connect()
    await client.send(upgrade("/queue/ws", token) + masked(CLOSE, b"\x03\xe8"))
    everything = await client.closed()
    assert everything.startswith(b"HTTP/1.1 101 ")
    assert everything.endswith(b"\x88\x02\x03\xe8")


# -- slow readers --------------------------------------------------------------------------------

SEATS_MANY = 2_000
"""A snapshot of so many seats is about 70 kB: more than any buffer on the way."""
ALL_HELD, ALL_FREE = ledger(range(1, SEATS_MANY + 1)), ledger()


def change(edge: Edge, number: int) -> None:
    """Every seat of the date is another one now."""
    edge.instance.show("d1", ALL_HELD if number % 2 else ALL_FREE)


def visits(edge: Edge) -> int:
    """How often a client was told of a change, or passed over."""
    numbers = edge.metrics.sockets
    return numbers.pushed["seats"] + numbers.skipped["seats"]


async def changes(edge: Edge, numbers: Iterable[int]) -> None:
    """One change after the other, each told or passed over."""
    for number in numbers:
        before = visits(edge)
        change(edge, number)
        await eventually(lambda before=before: visits(edge) > before)


async def test_a_client_that_does_not_read_is_passed_over_then_closed() -> None:
    """Nobody else notices."""
    instance = Instance(catalogue(schedule("d1", seats=SEATS_MANY)))
    async with running(instance, replace(FAST, slow_socket_s=0.7)) as edge:
        alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
        slow = await RawSocket.open(edge, SEATS, bob, small=True)
        slow.transport.pause_reading()
        async with listening(edge, SEATS, alice) as reader:
            seq = (await reader.frame("seats"))["seq"]
            skipped = edge.metrics.sockets.skipped
            for number in range(1, 100):
                change(edge, number)
                frame = await reader.frame("seats")
                assert frame["seq"] == seq + 1, "a reader gets every change"
                assert not frame["data"]["snapshot"]
                seq += 1
                if edge.server.sockets == 1:
                    break
            assert edge.server.sockets == 1, "the other one was closed"
            assert skipped["seats"] >= 1
            assert edge.metrics.sockets.closed[1013] == 1


async def test_nothing_piles_up_for_who_does_not_read() -> None:
    instance = Instance(catalogue(schedule("d1", seats=SEATS_MANY)))
    async with running(instance, FAST) as edge:
        token = await edge.enter(ALICE)
        slow = await RawSocket.open(edge, SEATS, token, small=True)
        slow.transport.pause_reading()
        await changes(edge, range(1, 4))
        assert edge.metrics.sockets.skipped["seats"] > 0
        (socket,) = edge.server._hub._sockets
        unread = socket._transport.get_write_buffer_size()
        assert unread > UNREAD_SIZE_MAX
        tracemalloc.start()
        try:
            await changes(edge, range(4, 8))  # what the instance does besides is in there too
            before, _ = tracemalloc.get_traced_memory()
            await changes(edge, range(8, 12))
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert socket._transport.get_write_buffer_size() == unread, "nothing was added"
        assert after - before < 300_000, "one state and its frames, not one for each change"


async def test_who_reads_again_gets_the_newest_state_as_a_snapshot() -> None:
    instance = Instance(catalogue(schedule("d1", seats=SEATS_MANY)))
    async with running(instance, FAST) as edge:
        token = await edge.enter(ALICE)
        slow = await RawSocket.open(edge, SEATS, token, small=True)
        slow.transport.pause_reading()
        await changes(edge, range(1, 4))
        assert edge.metrics.sockets.skipped["seats"] > 0
        version = edge.instance.services.seats.seat_map("d1").version
        slow.transport.resume_reading()
        frames = []
        async with asyncio.timeout(60):
            while True:
                opcode, payload = await slow.frame(within_s=60)
                if opcode != 1:
                    continue
                frame = msgspec.json.decode(payload)
                frames.append(frame)
                if frame["type"] == "seats" and frame["data"]["version"] == version:
                    break
        assert frames[-1]["data"]["snapshot"]
        assert {each["state"] for each in frames[-1]["data"]["changed"]} == {"held"}


async def test_who_pings_and_never_reads_gets_no_memory(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    slow = await RawSocket.open(edge, "/queue/ws", token, small=True)
    slow.transport.pause_reading()
    (socket,) = edge.server._hub._sockets
    await slow.send(masked(PING, bytes(125)) * MESSAGES_PER_MINUTE_MAX)
    await slow.send(masked(PING))
    await eventually(lambda: not socket.open)
    assert socket._transport.get_write_buffer_size() <= UNREAD_SIZE_MAX + 256
