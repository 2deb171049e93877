"""What the websocket of the queue tells, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NoReturn

import msgspec
import pytest
from msgspec.structs import replace

from booking.calls import QueueToken, TokenError, UnknownError
from booking.queue.view import QueueStatus
from booking_http.queue.subscribers import matters
from tests.support.edge import ALICE, BOB, Edge, eventually, running
from tests.support.instance import Instance
from tests.support.later import time_passes
from tests.support.websockets import FAST, RawSocket, listening

CAROL = "cccccccc-0000-4000-8000-000000000003"


def user(number: int) -> str:
    return f"dddddddd-0000-4000-8000-{number:012d}"


@pytest.fixture
async def narrow() -> AsyncIterator[Edge]:
    """One may be inside."""
    async with running(Instance(queue_max_active=1), FAST) as edge:
        yield edge


async def test_first_the_hello_then_the_same_object_as_a_poll_gives(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    socket = await RawSocket.open(edge, "/queue/ws", token)
    opcode, payload = await socket.frame()
    hello = {"type": "hello", "heartbeatMs": 20_000, "reconnectJitterMs": 10_000}
    assert (opcode, msgspec.json.decode(payload)) == (1, hello)
    opcode, payload = await socket.frame()
    polled = (await edge("GET", "/queue/status", token=token)).data
    assert (opcode, msgspec.json.decode(payload)) == (
        1,
        {"type": "queue", "seq": 1, "data": polled},
    )


async def test_an_admission_is_pushed_at_once() -> None:
    """Long before the next round, which tells the others."""
    rounds = replace(FAST.pace, gap_s=60, refresh_s=60)
    instance = Instance(queue_max_active=1)
    async with running(instance, replace(FAST, pace=rounds)) as edge:
        alice, bob, carol = [await edge.enter(each) for each in (ALICE, BOB, CAROL)]
        async with listening(edge, token=bob) as inside, listening(edge, token=carol) as waits:
            assert (await inside.frame("queue"))["data"]["position"] == 1
            assert (await waits.frame("queue"))["data"]["position"] == 2
            await edge("DELETE", "/queue", token=alice)
            admitted = await inside.frame("queue")
            assert (admitted["seq"], admitted["data"]["status"]) == (2, "active")
            assert "expiresAt" in admitted["data"]
            await waits.quiet(0.2)


async def test_the_others_are_told_of_an_admission_too(narrow: Edge) -> None:
    alice = await narrow.enter(ALICE)
    await narrow.enter(BOB)
    async with listening(narrow, token=await narrow.enter(CAROL)) as waits:
        assert (await waits.frame("queue"))["data"]["position"] == 2
        await narrow("DELETE", "/queue", token=alice)
        moved = await waits.frame("queue")
        assert (moved["seq"], moved["data"]["position"]) == (2, 1)


async def test_many_changes_make_few_frames_and_the_last_one_is_true(narrow: Edge) -> None:
    tokens = [await narrow.enter(user(number)) for number in range(40)]
    loop = asyncio.get_running_loop()
    async with listening(narrow, token=tokens[39]) as last:
        assert (await last.frame("queue"))["data"]["ahead"] == 38
        began = loop.time()
        for token in tokens[:30]:
            await narrow("DELETE", "/queue", token=token)
        frames = 1
        while (await last.frame("queue"))["data"]["ahead"] != 8:
            frames += 1
        assert frames <= 2 + (loop.time() - began) / FAST.pace.gap_s


async def test_those_behind_are_no_news_for_those_in_front(narrow: Edge) -> None:
    await narrow.enter(ALICE)
    bob = await narrow.enter(BOB)
    async with listening(narrow, token=bob) as listener:
        await listener.frame("queue")
        await narrow.enter(CAROL)
        await listener.quiet(FAST.pace.gap_s + 0.1)


async def test_an_active_token_is_told_of_its_end(narrow: Edge) -> None:
    alice = await narrow.enter(ALICE)
    async with listening(narrow, token=alice) as listener:
        assert (await listener.frame("queue"))["data"]["status"] == "active"
        narrow.instance.clock.advance(600_000)
        ended = await listener.frame("ended")
        assert ended["code"] == "token_expired"
        assert await listener.closed() == 1008


async def test_who_gives_the_place_up_is_closed_on_every_device(narrow: Edge) -> None:
    await narrow.enter(ALICE)
    bob = await narrow.enter(BOB)
    async with listening(narrow, token=bob) as one, listening(narrow, token=bob) as two:
        await narrow("DELETE", "/queue", token=bob)
        for each in (one, two):
            await each.until(lambda frame: frame["type"] == "ended")
            assert await each.closed() == 1008
    await eventually(lambda: narrow.server.sockets == 0)


async def test_every_device_of_a_user_is_told_of_the_admission(narrow: Edge) -> None:
    alice, bob = await narrow.enter(ALICE), await narrow.enter(BOB)
    async with listening(narrow, token=bob) as one, listening(narrow, token=bob) as two:
        await narrow("DELETE", "/queue", token=alice)
        for each in (one, two):
            await each.until(lambda frame: frame["data"]["status"] == "active")


async def test_with_a_copy_that_is_too_old_it_stays_open_and_silent(narrow: Edge) -> None:
    alice, bob = await narrow.enter(ALICE), await narrow.enter(BOB)
    async with listening(narrow, token=bob) as listener:
        await listener.frame("queue")
        queue = narrow.instance.services.queue
        with narrow.instance.too_old():
            await queue.leave(queue.read_token(alice))
            await listener.ws.send_str('{"type":"ping"}')
            await listener.frame("pong")
        assert (await listener.frame("queue"))["data"]["status"] == "active"


async def test_listening_counts_as_being_there() -> None:
    async with running(settings=replace(FAST, heartbeat_s=60.0)) as edge:
        time_passes(0.0)
        token = await edge.enter(ALICE)
        signs = edge.instance.signs()
        async with listening(edge, token=token) as listener:
            assert signs == [1]
            await listener.frame("queue")
            # Answers pings.
            reading = asyncio.create_task(listener.until(lambda _: False, within_s=600.0))
            for count in (2, 3, 4):
                time_passes(60.0)
                await eventually(lambda count=count: len(signs) >= count)
            reading.cancel()
    assert set(signs) == {1}


async def test_a_failure_over_one_client_ends_that_client_alone(
    narrow: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob, carol = [await narrow.enter(each) for each in (ALICE, BOB, CAROL)]
    queue = narrow.instance.services.queue
    healthy = queue.status

    def status(token: QueueToken, text: str) -> QueueStatus:
        if text == carol:
            raise ZeroDivisionError
        return healthy(token, text)

    async with listening(narrow, token=bob) as one, listening(narrow, token=carol) as two:
        monkeypatch.setattr(queue, "status", status)
        await narrow("DELETE", "/queue", token=alice)
        await one.until(lambda frame: frame["data"]["status"] == "active")
        assert await two.closed() == 1011
        await one.ws.send_str('{"type":"ping"}')
        await one.until(lambda frame: frame["type"] == "pong")
    assert "ZeroDivisionError" in caplog.text
    caplog.clear()


async def test_what_the_copy_here_has_not_heard_of_yet_is_not_told(
    narrow: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another instance than the owner's: a number that was given a moment ago, an admission that
    the owner has told already."""
    alice, bob = await narrow.enter(ALICE), await narrow.enter(BOB)
    queue = narrow.instance.services.queue
    behind = queue.status(queue.read_token(bob), bob)
    async with listening(narrow, token=alice) as inside, listening(narrow, token=bob) as waits:
        active = (await inside.frame("queue"))["data"]
        await waits.frame("queue")

        def status(token: QueueToken, text: str) -> QueueStatus:
            if text == bob:
                raise TokenError("token_invalid")
            return replace(behind, token=alice, user=ALICE, number=1)

        with monkeypatch.context() as patch:
            patch.setattr(queue, "status", status)
            narrow.instance.queue.version += 1
            await waits.quiet(2 * FAST.pace.gap_s)
            await inside.quiet(2 * FAST.pace.gap_s)
        assert narrow.server.sockets == 2
        until_ms, begun_ms = narrow.instance.queue._active[1]
        narrow.instance.queue._active[1] = until_ms + 60_000, begun_ms
        narrow.instance.queue.version += 1
        again = (await inside.frame("queue"))["data"]
        assert (again["status"], again["expiresAt"] > active["expiresAt"]) == ("active", True)


async def test_tokens_of_a_queue_that_is_no_more_are_told_so(
    narrow: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await narrow.enter(ALICE)
    async with listening(narrow, token=token) as listener:
        await listener.frame("queue")

        def gone(*_: object) -> NoReturn:
            raise TokenError("token_invalid")

        def unknown(queue: str) -> NoReturn:
            raise UnknownError

        monkeypatch.setattr(narrow.instance.services.queue, "status", gone)
        monkeypatch.setattr(narrow.instance.services.queue, "version", unknown)
        assert (await listener.frame("ended"))["code"] == "token_invalid"
        assert await listener.closed() == 1008


async def test_what_is_worth_a_push(narrow: Edge) -> None:
    await narrow.enter(ALICE)
    text = await narrow.enter(BOB)
    queue = narrow.instance.services.queue
    told = replace(queue.status(queue.read_token(text), text), eta_s=60, eta_known=True)

    def but(**changes: object) -> bool:
        return matters(told, replace(told, **changes))

    assert not but(poll_after_ms=told.poll_after_ms + 777)
    assert told.eta_s == 60
    assert not but(eta_s=told.eta_s - 6)
    assert but(eta_s=told.eta_s - 7)
    assert but(eta_s=told.eta_s + 7)
    for change in ({"ahead": 1}, {"position": 2}, {"active": True}, {"eta_known": False}):
        assert but(**change)
    assert but(expires_ms=1)
