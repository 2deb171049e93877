"""The loops, against a server of a few lines in the same event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from bench.client import Target
from bench.load import Pool, arrivals
from bench.scenario import Scenario, charge, get, single

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
ASK = get("/")


class Server:
    """Answers each request with what ``reply`` gives for its number; ``None`` hangs up."""

    def __init__(self) -> None:
        self.seen = 0
        self.connections = 0
        self.delay_s = 0.0
        self.heads: list[bytes] = []
        self.reply: Callable[[int], bytes | None] = lambda number: OK

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                self.seen += 1
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                answer = self.reply(self.seen)
                if answer is None:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Target]]:
    handler = Server()
    listener = await asyncio.start_server(handler.serve, "127.0.0.1", 0)
    async with listener:
        yield handler, Target("127.0.0.1", listener.sockets[0].getsockname()[1])


@pytest.fixture
async def open_pool() -> AsyncIterator[Callable[[Target, int], Pool]]:
    pools: list[Pool] = []

    def make(target: Target, connections: int) -> Pool:
        pools.append(Pool(target, connections))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


def asks(count: int) -> Callable[[], Scenario | None]:
    remaining = iter(range(count))
    return lambda: None if next(remaining, None) is None else single("ask", ASK, 200)


MakePool = Callable[[Target, int], Pool]


async def test_a_burst_runs_the_whole_supply_once(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    recorder, seconds = await open_pool(target, 4).burst(asks(37))
    assert (len(recorder.units), handler.seen, handler.connections) == (37, 37, 4)
    assert not recorder.failures
    assert seconds > 0


async def test_connections_are_kept_for_the_next_run(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    pool = open_pool(target, 2)
    for _ in range(3):
        await pool.burst(asks(5))
    assert handler.connections == 2


async def test_a_closed_loop_ends_on_time_and_measures_only_after_the_warm_up(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    recorder = await open_pool(target, 2).closed_loop(asks(1_000_000), 0.1, 0.2)
    assert 0 < len(recorder.units) < handler.seen == recorder.answered
    assert recorder.end - recorder.start == pytest.approx(0.2)


@pytest.mark.parametrize("keys", [True, False])
async def test_the_same_post_is_sent_with_another_key_each_time(
    server: tuple[Server, Target], keys: bool
) -> None:
    handler, target = server
    post = charge("somebody", 1).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    remaining = iter(range(5))
    async with Pool(target, 1, keys=keys) as pool:
        await pool.burst(
            lambda: None if next(remaining, None) is None else single("charge", post, 200)
        )
    sent = [head.count(b"\r\nIdempotency-Key: ") for head in handler.heads]
    assert sent == [1 if keys else 0] * 5
    assert len(set(handler.heads)) == (5 if keys else 1)


async def test_an_unexpected_status_is_a_failure_with_its_name(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    handler.reply = lambda number: BUSY if number == 3 else OK
    recorder, _ = await open_pool(target, 1).burst(asks(10))
    assert recorder.failures == {"ask:503": 1}
    assert len(recorder.units) == 9
    assert recorder.steps["ask"].statuses == {200: 9, 503: 1}


async def test_a_lost_connection_is_a_failure_and_is_opened_again(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    handler.reply = lambda number: None if number == 4 else OK
    recorder, _ = await open_pool(target, 1).burst(asks(10))
    assert recorder.failures == {"connection_lost": 1}
    assert len(recorder.units) == 9
    assert handler.connections == 2


async def test_an_answer_that_is_not_understood_is_a_failure(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    handler.reply = lambda number: b"HTTP/1.1 100 Continue\r\n\r\n" if number == 1 else OK
    recorder, _ = await open_pool(target, 1).burst(asks(3))
    assert recorder.failures == {"protocol_error: interim answer 100": 1}


async def test_a_story_of_several_steps_is_one_unit(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    _, target = server

    def story() -> Scenario:
        for step in ("look", "hold", "pay"):
            response = yield step, ASK
            assert response.body == b"ok"
        return None

    stories = iter([story() for _ in range(6)])
    recorder, _ = await open_pool(target, 2).burst(lambda: next(stories, None))
    assert len(recorder.units) == 6
    assert {step: len(found.durations) for step, found in recorder.steps.items()} == {
        "look": 6,
        "hold": 6,
        "pay": 6,
    }


async def test_an_open_loop_sends_as_many_as_its_schedule_says(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    offsets = arrivals(200, 0.5, "even", random.Random(1))
    recorder = await open_pool(target, 8).open_loop(asks(1_000), offsets, 0.1, 0.4, 200)
    assert handler.seen == 100
    assert len(recorder.units) == 80
    assert not recorder.failures


async def test_an_open_loop_counts_the_wait_for_a_slow_server_in_the_latency(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    """One connection and 20 ms for each answer cannot keep up with 100 a second: the line grows,
    and with it what the later ones waited since they were meant to begin."""
    handler, target = server
    handler.delay_s = 0.02
    offsets = arrivals(100, 0.4, "even", random.Random(1))
    recorder = await open_pool(target, 1).open_loop(asks(1_000), offsets, 0.0, 0.4, 100)
    assert max(recorder.units) > 0.1
    assert max(recorder.steps["ask"].durations) < max(recorder.units)
    assert len(recorder.units) + recorder.failures["generator:not_begun"] == 40


async def test_the_line_of_an_open_loop_is_cut(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    handler, target = server
    handler.delay_s = 0.05
    offsets = iter([0.0] * 50)  # all at once, with room for 2 s of 5 a second in line
    recorder = await open_pool(target, 1).open_loop(asks(1_000), offsets, 0.0, 0.3, 5)
    assert recorder.failures["generator:backlog_full"] >= 50 - 10 - 7
    assert sum(recorder.failures.values()) + len(recorder.units) == 50


async def test_a_target_that_nobody_listens_on_is_an_error(
    server: tuple[Server, Target], open_pool: MakePool
) -> None:
    with pytest.raises(OSError, match="Connect"):
        await open_pool(Target("127.0.0.1", 1), 1).open()
