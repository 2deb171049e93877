"""Limits of a connection, with raw sockets and short limits."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re

import msgspec
import pytest
from aiohttp import web_protocol, web_server

from booking_http import EdgeSettings, connection
from booking_http.connection import HEADER_SIZE_MAX, Connection
from tests.support.edge import ALICE, Edge, eventually, running
from tests.support.instance import Instance, catalogue, schedule
from tests.support.later import time_passes

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = EdgeSettings()
CHARGE = b"POST /user/charge HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"userId":"%b","amount":1}' % ALICE.encode()


def test_the_private_names_of_aiohttp_are_there() -> None:
    """Another minor version may rename them; the module's docstring lists what it needs."""
    ours = inspect.getsource(connection)
    theirs = inspect.getsource(web_protocol) + inspect.getsource(web_server)
    told = set(re.findall(r"``(_\w+)``", connection.__doc__ or ""))
    used = set(re.findall(r"(?:self|connection)\.(_\w+)", ours))
    assert told == used - set(Connection.__slots__) - set(re.findall(r"def (_\w+)", ours))
    assert told <= set(re.findall(r"self\.(_\w+)", theirs))


def code(body: bytes) -> str:
    return str(msgspec.json.decode(body)["code"])


def waits_for_headers(edge: Edge) -> bool:
    """A part of the headers of a request has come, and there is a limit for the rest."""
    connections = edge.server._connections
    assert connections is not None
    every = [each for each in connections.connections if isinstance(each, Connection)]
    return any(each._head_timer is not None for each in every)


async def test_headers_that_drip_in_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a piece comes."""
    came: list[bytes] = []
    take = Connection.data_received

    def noted(self: Connection, data: bytes) -> None:
        came.append(data)
        take(self, data)

    monkeypatch.setattr(Connection, "data_received", noted)
    async with running() as edge:
        client = await edge.connect()
        await client.send(b"GET /livez HTTP/1.1\r\n")
        await eventually(lambda: waits_for_headers(edge))
        for pieces in (2, 3):
            time_passes(LIMITS.header_timeout_s * 0.4)
            await client.send(b"X: y\r\n")
            await eventually(lambda pieces=pieces: len(came) == pieces)
        time_passes(LIMITS.header_timeout_s * 0.4)
        status, headers, body = await client.answer()
        assert (status, code(body), headers["connection"]) == (408, "request_timeout", "close")
        await client.closed()
        await eventually(lambda: edge.server.connections == 0)


async def test_the_limit_also_holds_for_the_second_request_of_a_connection() -> None:
    async with running() as edge:
        client = await edge.connect()
        await client.send(GET)
        assert (await client.answer())[0] == 200
        await client.send(GET[:10])
        await eventually(lambda: waits_for_headers(edge))
        time_passes(LIMITS.header_timeout_s)
        assert (await client.answer())[0] == 408
        assert await client.closed() == b""


async def test_headers_in_pieces_are_fine_when_they_come_in_time() -> None:
    async with running() as edge:
        client = await edge.connect()
        for byte in GET:
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer())[0] == 200
        # The timer of the first request does not end the second.
        time_passes(LIMITS.header_timeout_s)
        await asyncio.sleep(0)
        await client.send(GET)
        assert (await client.answer())[0] == 200
        client.close()


async def test_a_request_being_worked_on_is_not_cut_off_by_the_header_limit() -> None:
    async with running() as edge:
        edge.instance.journal.pause()
        client = await edge.connect()
        await client.send(b"GET /user/check?userId=%b HTTP/1.1\r\n" % ALICE.encode())
        await eventually(lambda: waits_for_headers(edge))
        await client.send(b"Host: x\r\n\r\n")
        await eventually(lambda: edge.metrics.active == 1)
        assert not waits_for_headers(edge)
        edge.instance.journal.resume()
        assert (await client.answer())[0] == 200
        client.close()


async def test_an_idle_connection_is_closed_after_the_keep_alive_time() -> None:
    async with running() as edge:
        silent, used = [await edge.connect() for _ in range(2)]
        await used.send(GET)
        assert (await used.answer())[0] == 200
        time_passes(LIMITS.keepalive_timeout_s + 1)
        assert await silent.closed() == b""
        assert await used.closed() == b""


async def test_a_body_that_does_not_come_is_cut_off() -> None:
    async with running(settings=EdgeSettings(body_timeout_s=0.2, linger_s=0.2)) as edge:
        client = await edge.connect()
        await client.send(CHARGE + b"Content-Length: 50\r\n\r\n{")
        status, headers, body = await client.answer()
        assert (status, code(body), headers["connection"]) == (408, "request_timeout", "close")
        assert await client.closed() == b""


async def test_a_body_nobody_wants_has_the_same_limits() -> None:
    async with running(settings=EdgeSettings(body_timeout_s=0.2, linger_s=0.2)) as edge:
        for length, status in ((50, 408), (16_385, 413)):
            client = await edge.connect()
            head = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{"
            await client.send(head % length)
            assert (await client.answer())[0] == status
            assert await client.closed() == b""


async def test_a_body_in_pieces_is_put_together(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(CHARGE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:9])
    await eventually(lambda: edge.metrics.active == 1)
    await client.send(BODY[9:])
    assert (await client.answer())[0] == 200
    await client.send(CHARGE + b"Transfer-Encoding: chunked\r\n\r\n")
    for at in range(0, len(BODY), 20):
        piece = BODY[at : at + 20]
        await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await client.send(b"0\r\n\r\n")
    assert (await client.answer())[0] == 200
    assert await edge.instance.services.accounts.balance(ALICE) == 2
    client.close()


async def test_a_large_body_is_refused_by_its_declared_length_unread(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(CHARGE + b"Content-Length: 16385\r\n\r\n")
    status, headers, body = await client.answer()
    assert (status, code(body), headers["connection"]) == (413, "body_too_large", "close")
    client.close()


async def test_a_large_body_that_has_arrived_is_refused(edge: Edge) -> None:
    padded = BODY + b" " * (16_384 - len(BODY))
    assert (await edge("POST", "/user/charge", body=padded)).status == 200
    answer = await edge("POST", "/user/charge", body=padded + b" ")
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_a_large_chunked_body_is_refused_while_it_comes(edge: Edge) -> None:
    client = await edge.connect()
    await client.send(CHARGE + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(17):
        await client.send(b"400\r\n" + b" " * 1024 + b"\r\n")
    assert (await client.answer())[0] == 413
    client.close()


async def test_a_client_that_asks_first_is_told_to_go_on(edge: Edge) -> None:
    client = await edge.connect()
    head = CHARGE + b"Content-Length: %d\r\nExpect: %b\r\n\r\n"
    await client.send(head % (len(BODY), b"100-continue"))
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(BODY)
    assert (await client.answer())[0] == 200
    await client.send(head % (20_000, b"100-continue"))
    assert (await client.answer())[0] == 413
    other = await edge.connect()
    await other.send(head % (len(BODY), b"200-maybe"))
    assert (await other.answer())[0] == 417
    client.close()
    other.close()


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_error(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    client = await edge.connect()
    await client.send(CHARGE + b"Content-Length: 50\r\n\r\n{")
    await eventually(lambda: edge.metrics.active == 1)
    client.close()
    await eventually(lambda: edge.server.connections == 0)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


UNREADABLE = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an unknown method": b"BREW /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "a long line": b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * HEADER_SIZE_MAX),
    "a long header": b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"a" * HEADER_SIZE_MAX),
    "many headers": b"GET / HTTP/1.1\r\n%b\r\n" % (b"X: y\r\n" * 200),
    "a broken header": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "two lengths": CHARGE + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": CHARGE + b"Content-Length: -1\r\n\r\n",
    "length and chunks": CHARGE
    + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_is_not_http_is_answered_once_and_closed(
    edge: Edge, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await edge.connect()
    await client.send(UNREADABLE[name])
    status, headers, body = await client.answer()
    assert (status, code(body)) == (400, "malformed")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    await client.closed()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    client.close()


async def test_one_connection_too_many_is_told_so_and_closed() -> None:
    async with running(settings=EdgeSettings(connections_max=2)) as edge:
        clients = [await edge.connect() for _ in range(2)]
        await eventually(lambda: edge.server.connections == 2)
        refused = await edge.connect()
        await refused.send(GET)
        status, headers, body = await refused.answer()
        assert (status, code(body)) == (503, "too_many_connections")
        assert headers["retry-after"] == "1"
        assert await refused.closed() == b""
        refused.close()
        assert edge.metrics.connections_refused == 1
        # The others live on, and a place given up is a place for another.
        clients[0].close()
        await eventually(lambda: edge.server.connections == 1)
        for client in (clients[1], await edge.connect()):
            await client.send(GET)
            assert (await client.answer())[0] == 200
            client.close()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    instance = Instance(catalogue(schedule("d1", seats=100_000)))
    async with running(instance, EdgeSettings(write_timeout_s=0.3)) as edge:
        token = await edge.enter(ALICE)
        client = await edge.connect()
        client.transport.pause_reading()
        target = b"GET /concert/available-seats?concertScheduleId=d1 HTTP/1.1\r\n"
        request = target + b"Host: x\r\nqueue-token: %b\r\n\r\n" % token.encode()
        await client.send(request * 4)
        await eventually(lambda: edge.metrics.active == 0 and edge.server.connections >= 1)
        # The pooled one of edge() stays. On a busy machine the long lists alone take seconds.
        await eventually(lambda: edge.server.connections <= 1, 60.0)
        client.close()


async def test_a_stop_lets_the_request_under_way_finish() -> None:
    async with running() as edge:
        edge.instance.journal.pause()
        idle, busy = [await edge.connect() for _ in range(2)]
        await idle.send(GET)
        await idle.answer()
        await busy.send(CHARGE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])
        await eventually(lambda: edge.metrics.active == 1)
        stopping = asyncio.create_task(edge.server.stop(60.0))
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await edge.connect()
        await busy.send(BODY[5:])  # also the rest of its body is still taken
        await eventually(lambda: edge.metrics.active == 1)
        edge.instance.journal.resume()
        status, headers, _ = await busy.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await busy.closed() == b""
        await asyncio.wait_for(stopping, 30)
        assert edge.server.connections == 0


async def test_a_stop_does_not_wait_for_ever() -> None:
    async with running() as edge:
        edge.instance.journal.pause()
        client = await edge.connect()
        await client.send(CHARGE + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        await eventually(lambda: edge.metrics.active == 1)
        await asyncio.wait_for(edge.server.stop(0.2), 30)
        assert await client.closed() == b""
        client.close()


async def test_while_draining_answers_end_their_connections_and_readiness_fails() -> None:
    async with running() as edge:
        client = await edge.connect()
        edge.server.drain()
        await client.send(b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, body = await client.answer()
        assert (status, code(body), headers["connection"]) == (503, "not_ready", "close")
        assert msgspec.json.decode(body)["checks"] == {"edge": "draining"}
        assert await client.closed() == b""
