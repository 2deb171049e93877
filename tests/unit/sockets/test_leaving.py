"""A stop sends the clients away, spread over a time, and is not held up by them."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tests.support.edge import ALICE, Edge, eventually, running
from tests.support.websockets import FAST, SEATS, Listener, RawSocket, listening, upgrade

STOPPED_WITHIN_S = 30.0
LEAVING_S = 5.0
"""Long enough that a machine that stands still for a while does not make it one moment."""


async def farewell(listener: Listener, loop: asyncio.AbstractEventLoop) -> tuple[int, float]:
    """How long it was told to wait, and when."""
    last = await listener.until(lambda frame: frame["type"] == "reconnect")
    told_at = loop.time()
    assert await listener.closed() == 1012
    return last["afterMs"], told_at


async def test_everybody_is_told_when_to_come_back_and_not_all_at_once() -> None:
    pace = replace(FAST.pace, leaving_s=LEAVING_S)
    settings = replace(FAST, pace=pace, sockets_per_user_max=30, reconnect_jitter_s=60)
    async with running(settings=settings) as edge:
        token = await edge.enter(ALICE)
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            reading = []
            for number in range(20):
                opened = listening(edge, SEATS if number % 2 else "/queue/ws", token)
                listener = await opened.__aenter__()
                reading.append((opened, group.create_task(farewell(listener, loop))))
            began = loop.time()
            await asyncio.wait_for(edge.server.stop(60.0), STOPPED_WITHIN_S)
            assert edge.server.sockets == 0
        for opened, _ in reading:
            await opened.__aexit__(None, None, None)
        told = [task.result() for _, task in reading]
        moments = sorted(at - began for _, at in told)
        assert moments[-1] - moments[0] > LEAVING_S / 5
        afters = {after for after, _ in told}
        assert len(afters) > 10
        assert all(0 <= after <= 60_000 for after in afters)


async def test_a_client_that_answers_nothing_does_not_hold_up_the_stop(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    deaf = await RawSocket.open(edge, "/queue/ws", token, small=True)
    deaf.transport.pause_reading()
    await asyncio.wait_for(edge.server.stop(60.0), STOPPED_WITHIN_S)
    assert edge.server.sockets == 0


async def test_a_stopping_instance_opens_no_websocket(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    held = await RawSocket.open(edge, "/queue/ws", token)
    waiting = await edge.connect()
    await waiting.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await waiting.answer()
    edge.server._hub.leave()
    await waiting.send(upgrade("/queue/ws", token))
    status, headers, body = await waiting.answer()
    assert (status, headers["retry-after"]) == (503, "1")
    assert b'"code":"stopping"' in body
    assert (await held.close_said())[0] == 1012
    await eventually(lambda: edge.server.sockets == 0)
