"""Who may open a websocket, and how a request for one is refused."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from booking_http import EdgeSettings
from tests.support.edge import ALICE, BOB, Edge, RawClient, eventually, running
from tests.support.instance import Instance
from tests.support.websockets import KEY, SEATS, RawSocket, listening, upgrade

PATHS = ("/queue/ws", SEATS)


async def refused(edge: Edge, data: bytes) -> tuple[int, str]:
    """Status and code of the answer, after which the connection is as good as before."""
    client = await edge.connect()
    await client.send(data)
    status, headers, body = await client.answer()
    assert headers["content-type"] == "application/problem+json", body
    await client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.answer())[0] == 200
    problem = msgspec.json.decode(body)
    assert problem["request_id"] == headers["x-request-id"]
    return status, problem["code"]


async def test_the_example_of_the_rfc_is_accepted(edge: Edge) -> None:
    """RFC 6455, 1.3: this key has that answer."""
    token = await edge.enter(ALICE)
    client = await RawClient.to(edge.server.port)
    await client.send(upgrade("/queue/ws", token, "X-Request-Id: mine"))
    status, headers, _ = await client.answer()
    assert status == 101
    assert headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (headers["upgrade"], headers["connection"]) == ("websocket", "Upgrade")
    assert headers["x-request-id"] == "mine"
    assert "sec-websocket-protocol" not in headers
    assert "sec-websocket-extensions" not in headers
    client.close()


@pytest.mark.parametrize("target", PATHS)
async def test_the_token_comes_in_any_of_four_ways(edge: Edge, target: str) -> None:
    token = await edge.enter(ALICE)
    query = f"{target}{'&' if '?' in target else '?'}token={token}"
    bearer = {"Authorization": f"Bearer {token}"}
    async with listening(edge, target, token) as one, listening(edge, query) as two:
        assert (await one.frame())["seq"] == (await two.frame())["seq"] == 1
    async with listening(edge, target, headers=bearer) as three:
        assert (await three.frame())["seq"] == 1
    async with listening(edge, target, protocols=("booking", token)) as four:
        assert four.ws.protocol == "booking"
        assert (await four.frame())["seq"] == 1
    async with listening(edge, target, protocols=(token,)) as alone:
        assert alone.ws.protocol == token
        assert (await alone.frame())["seq"] == 1


async def test_the_header_counts_before_the_protocol_and_the_query(edge: Edge) -> None:
    alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
    async with listening(edge, f"/queue/ws?token={bob}", alice) as listener:
        assert (await listener.frame("queue"))["data"]["userId"] == ALICE
    async with listening(edge, f"/queue/ws?token={bob}", protocols=("booking", alice)) as listener:
        assert (await listener.frame("queue"))["data"]["userId"] == ALICE


@pytest.mark.parametrize("target", PATHS)
async def test_without_a_good_token_there_is_no_websocket(edge: Edge, target: str) -> None:
    token = await edge.enter(ALICE)
    assert await refused(edge, upgrade(target, None)) == (401, "token_missing")
    forged = token[:-4] + ("aaaa" if token[-4:] != "aaaa" else "bbbb")
    assert await refused(edge, upgrade(target, forged)) == (401, "token_invalid")
    assert await refused(edge, upgrade(target, "a" * 2_000)) == (401, "token_invalid")
    twice = f"queue-token: {token}"
    assert await refused(edge, upgrade(target, token, twice)) == (401, "token_invalid")
    query = f"{target}{'&' if '?' in target else '?'}"
    assert await refused(edge, upgrade(f"{query}token=", None)) == (401, "token_invalid")
    assert await refused(edge, upgrade(f"{query}what=1", token)) == (400, "malformed")
    await edge("DELETE", "/queue", token=token)
    assert await refused(edge, upgrade(target, token)) == (401, "token_expired")
    assert edge.server.sockets == 0


async def test_who_waits_may_not_watch_seats() -> None:
    instance = Instance(queue_max_active=1)
    async with running(instance) as edge:
        await edge.enter(ALICE)
        waiting = await edge.enter(BOB)
        assert await refused(edge, upgrade(SEATS, waiting)) == (403, "not_admitted")


async def test_the_date_has_to_be_one(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    path = "/concert/seats/ws"
    assert await refused(edge, upgrade(path, token)) == (400, "malformed")
    unknown = f"{path}?concertScheduleId=nope"
    assert await refused(edge, upgrade(unknown, token)) == (404, "not_found")


async def test_a_plain_request_is_told_to_upgrade(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for target in PATHS:
        answer = await edge("GET", target, token=token)
        assert (answer.status, answer.code) == (426, "upgrade_required")
        assert answer.headers["Upgrade"] == "websocket"
        assert answer.headers["Sec-WebSocket-Version"] == "13"
        assert (await edge("HEAD", target, token=token)).status == 426
        assert (await edge("POST", target, token=token)).status == 405


WRONG = {
    "another version": ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", 426),
    "no version": ("Sec-WebSocket-Version: 13\r\n", "", 426),
    "no key": (f"Sec-WebSocket-Key: {KEY}\r\n", "", 400),
    "a short key": (KEY, "c2hvcnQ=", 400),
    "a key that is not base64": (KEY, "*" * 22 + "==", 400),
    "another protocol": ("Upgrade: websocket", "Upgrade: h2c", 426),
    "no upgrade in the connection": ("keep-alive, Upgrade", "keep-alive", 400),
    "an answer to nobody": ("GET ", "HEAD ", 426),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_handshake_is_refused(edge: Edge, name: str) -> None:
    right, wrong, expected = WRONG[name]
    data = upgrade("/queue/ws", await edge.enter(ALICE)).decode()
    assert right in data
    client = await edge.connect()
    await client.send(data.replace(right, wrong, 1).encode())
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 %d " % expected), head
    client.close()
    await eventually(lambda: edge.server.sockets == 0)


async def test_a_copy_that_is_too_old_opens_nothing(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    with edge.instance.too_old():
        for target in PATHS:
            assert await refused(edge, upgrade(target, token)) == (503, "stale")


async def test_a_user_has_so_many_sockets_and_the_instance_too() -> None:
    settings = EdgeSettings(sockets_per_user_max=2, sockets_max=3)
    async with running(settings=settings) as edge:
        alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
        first = await RawSocket.open(edge, "/queue/ws", alice)
        await RawSocket.open(edge, SEATS, alice)
        assert await refused(edge, upgrade("/queue/ws", alice)) == (429, "too_many_sockets")
        await RawSocket.open(edge, "/queue/ws", bob)
        assert await refused(edge, upgrade("/queue/ws", bob)) == (503, "too_many_connections")
        first.close()
        await eventually(lambda: edge.server.sockets == 2)
        await RawSocket.open(edge, "/queue/ws", alice)


async def test_websockets_take_no_room_from_requests() -> None:
    async with running(settings=EdgeSettings(connections_max=2)) as edge:
        token = await edge.enter(ALICE)
        for _ in range(4):
            await RawSocket.open(edge, "/queue/ws", token)
        assert edge.server.sockets == 4
        assert (await edge("GET", "/livez")).status == 200


async def test_a_token_in_the_query_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running(settings=EdgeSettings(access_log=True)) as edge:
        token = await edge.enter(ALICE)
        caplog.clear()
        async with listening(edge, f"/queue/ws?token={token}") as listener:
            await listener.frame("queue")
        await refused(edge, upgrade(f"/queue/ws?token={token}x", None))
        edge.instance.queue.status = None  # type: ignore[assignment,method-assign]  # a failure of ours, logged
        status, _ = await refused(edge, upgrade(f"/queue/ws?token={token}", None))
        assert status == 500
    everything = [f"{vars(record)} {record.getMessage()}" for record in caplog.records]
    access = [each for each in everything if "booking.http.access" in each]
    assert sum("GET /queue/ws" in each for each in access) == 3
    assert [each for each in everything if token in each] == []
