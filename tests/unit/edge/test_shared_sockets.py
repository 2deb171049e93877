"""One listening socket of several edges, as `booking up` gives it to its instances."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from booking_http import EdgeSettings
from tests.support.edge import Edge, RawClient, eventually, running
from tests.support.instance import Instance

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    """The parent's own copy, which stays open while edges come and go."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


async def another(listening: socket.socket) -> Edge:
    edge = Edge(Instance(), EdgeSettings())
    await edge.server.start("127.0.0.1", 0)
    await edge.server.share(listening.dup())
    return edge


async def ask(port: int) -> int:
    client = await RawClient.to(port)
    await client.send(GET)
    status, _, _ = await client.answer()
    client.close()
    return status


async def test_an_edge_serves_its_own_port_and_the_shared_one(shared: socket.socket) -> None:
    edge = await another(shared)
    own, common = edge.server.port, shared.getsockname()[1]
    assert own not in (common, 0)
    assert [await ask(own), await ask(common)] == [200, 200]
    await edge.server.stop(1.0)


async def test_a_draining_edge_leaves_the_shared_socket_to_the_others(
    shared: socket.socket,
) -> None:
    first, second = await another(shared), await another(shared)
    first.server.drain()
    clients = [await RawClient.to(shared.getsockname()[1]) for _ in range(10)]
    for client in clients:
        await client.send(GET)
        _, headers, _ = await client.answer()
        assert "connection" not in headers, "answered by the one that drains"
        client.close()
    assert await ask(first.server.port) == 200, "its own port is still there for the balancer"
    await first.server.stop(1.0)
    await second.server.stop(1.0)


async def test_a_connection_that_nobody_took_yet_waits_for_the_next_edge(
    shared: socket.socket,
) -> None:
    first = await another(shared)
    await first.server.stop(1.0)
    client = await RawClient.to(shared.getsockname()[1])
    await client.send(GET)
    second = await another(shared)
    assert (await client.answer())[0] == 200
    client.close()
    await second.server.stop(1.0)


async def test_a_new_connection_may_still_send_its_first_request_during_a_stop() -> None:
    async with running() as edge:
        client = await edge.connect()
        await eventually(lambda: edge.server.connections == 1)
        stopping = asyncio.create_task(edge.server.stop(60.0))
        await asyncio.sleep(0)
        await client.send(GET)
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        await asyncio.wait_for(stopping, 30)


async def test_a_new_connection_without_a_request_does_not_hold_up_a_stop() -> None:
    async with running() as edge:
        client = await edge.connect()
        await eventually(lambda: edge.server.connections == 1)
        await asyncio.wait_for(edge.server.stop(60.0), 30)
        assert await client.closed() == b""
