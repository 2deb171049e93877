"""What each step of a booking costs this process: ``python -m tests.cost``.

All of the service from a request's bytes to its answer's, on stores in memory: neither sockets nor
PostgreSQL take part, so what is left is the CPU of our own code, aiohttp and the event loop. A bare
aiohttp application answers the same requests with the same bytes, in turns. Each step is done by
all users before the next one begins, so that its CPU is known apart from the others'.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from time import process_time
from typing import Any, cast
from uuid import uuid4

import msgspec
import uvloop
from aiohttp import web

from bench.bare import Answer, application
from bench.client import Response, ResponseParser
from bench.scenario import KEY_FIELD, charge, data_of, get, hold, issue, post, route_of
from booking_http import EdgeMetrics, EdgeSettings, build_server
from tests.support.instance import Instance, WallClock, catalogue, schedule

CONNECTIONS = 64
SLICES = 5
"""Parts of a step that service and bare route do in turns."""
SEATS = 50

Protocol = Callable[[], asyncio.Protocol]


class Pipe(asyncio.Transport):
    """A client's end of one connection, which asks again as soon as it is answered."""

    def __init__(self, make: Protocol, ask: Callable[[Pipe], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.responses = ResponseParser()
        self.ask = ask
        self.server = make()
        self.server.connection_made(self)
        self.answered: Callable[[Response], None]

    def write(self, data: Any) -> None:
        """The server answers."""
        response = self.responses.feed(bytes(data))
        if response is not None:
            self.answered(response)
            asyncio.get_running_loop().call_soon(self.ask, self)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """The server answers in pieces."""
        for data in list_of_data:
            self.write(data)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...


class Clients:
    """So many connections to one server, each with one request in flight."""

    def __init__(self, make: Protocol) -> None:
        self._pipes = [Pipe(make, self._ask) for _ in range(CONNECTIONS)]
        self._requests: Iterator[tuple[int, bytes]] = iter(())
        self._idle: asyncio.Future[None] | None = None
        self._busy = 0

    async def __call__(self, requests: list[bytes]) -> list[Response]:
        """The answers to all of these, in their order."""
        answers: list[Response | None] = [None] * len(requests)
        self._requests, self._answers = iter(enumerate(requests)), answers
        self._idle, self._busy = asyncio.get_running_loop().create_future(), len(self._pipes)
        for pipe in self._pipes:
            self._ask(pipe)
        await self._idle
        return cast(list[Response], answers)

    def _ask(self, pipe: Pipe) -> None:
        at, request = next(self._requests, (0, b""))
        if request:
            pipe.answered = lambda response: self._answers.__setitem__(at, response)
            pipe.server.data_received(request)
            return
        self._busy -= 1
        if not self._busy and self._idle is not None:
            self._idle.set_result(None)


class Cost(msgspec.Struct):
    """Seconds of CPU for so many requests of one step."""

    step: str
    requests: int
    service_s: float = 0.0
    bare_s: float = 0.0


class Measure:
    """One service, and a bare application for each step."""

    def __init__(self, service: Clients, *, keys: bool, profiled: str) -> None:
        self._service = service
        self._keys = keys
        self._profiled = profiled
        self.costs: list[Cost] = []

    async def step(self, name: str, requests: list[bytes], status: int) -> list[Any]:
        """Measure these requests, all of which get this status; what they were answered."""
        requests = [self._keyed(request) for request in requests]
        first, *others = requests
        [sample] = await self._service([first])
        method, path = route_of(first)
        kind = sample.header("Content-Type") or ""
        answer = Answer(method, path, sample.status, kind, sample.body)
        cost, answers = Cost(name, len(others)), [sample]
        profile = cProfile.Profile() if name == self._profiled else None
        async with _bare(answer) as bare:
            await bare([first])
            gc.collect()
            size = -(-len(others) // SLICES)
            for begin in range(0, len(others), size):
                some = others[begin : begin + size]
                began_s = process_time()
                with profile or nullcontext():
                    answers += await self._service(some)
                cost.service_s += process_time() - began_s
                began_s = process_time()
                await bare(some)
                cost.bare_s += process_time() - began_s
        self.costs.append(cost)
        if profile is not None:
            pstats.Stats(profile).sort_stats("tottime").print_stats(60)
        wrong = [one for one in answers if one.status != status]
        if wrong:
            sys.exit(f"{name}: {wrong[0].status} {wrong[0].body!r}")
        return [data_of(one) for one in answers]

    def _keyed(self, request: bytes) -> bytes:
        field = b"Idempotency-Key: %b\r\n" % secrets.token_hex(16).encode() if self._keys else b""
        return request.replace(KEY_FIELD, field)


@asynccontextmanager
async def _bare(answer: Answer) -> Any:
    runner = web.AppRunner(application([answer]), access_log=None)
    await runner.setup()
    try:
        yield Clients(cast(Protocol, runner.server))
    finally:
        await runner.cleanup()


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """As the service has it: what is there stays, and looks are rare."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, before[2])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def measure(users: int, *, keys: bool = True, profiled: str = "") -> list[Cost]:
    """Let so many users book a seat each; every step with what it costs."""
    dates = [schedule(f"d{number}", SEATS) for number in range(-(-users // SEATS))]
    instance = Instance(catalogue(*dates), clock=WallClock(runs=True), queue_max_active=users)
    await instance.start()
    settings = EdgeSettings(rate_per_user_minute=1_000)
    server = build_server(instance.services, settings, EdgeMetrics(dict))
    await server.start("127.0.0.1", 0)
    try:
        with _quiet_collector():
            assert server._connections is not None
            run = Measure(Clients(server._connections), keys=keys, profiled=profiled)
            await _book(run, [str(uuid4()) for _ in range(users)])
    finally:
        await server.stop(1.0)
        await instance.stop()
    return run.costs


async def _book(run: Measure, names: list[str]) -> None:
    seats = [(f"d{at // SEATS}", at % SEATS + 1) for at in range(len(names))]
    places = await run.step("issue", [issue(name) for name in names], 201)
    tokens = [place["token"] for place in places]
    await run.step("status", [get("/queue/status", token) for token in tokens], 200)
    path = "/concert/available-dates?concertId=c1"
    await run.step("dates", [get(path, token) for token in tokens], 200)
    path = "/concert/available-seats?concertScheduleId="
    lists = [get(path + date, token) for (date, _), token in zip(seats, tokens, strict=True)]
    await run.step("seats", lists, 200)
    holds = [hold(*seat, token) for seat, token in zip(seats, tokens, strict=True)]
    held = await run.step("hold", holds, 201)
    await run.step("charge", [charge(name, 1_000_000) for name in names], 200)
    bodies = [msgspec.json.encode({"seatId": one["seat"]["id"]}).decode() for one in held]
    pays = [post("/payment", body, token) for body, token in zip(bodies, tokens, strict=True)]
    await run.step("pay", pays, 201)


def table(costs: list[Cost]) -> str:
    """The costs as a Markdown table: microseconds of CPU for one request."""
    lines = ["| step | service | bare route | ratio |", "|---|---|---|---|"]
    rows = [(one.step, one.service_s / one.requests, one.bare_s / one.requests) for one in costs]
    rows.append(("a booking", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for step, service_s, bare_s in rows:
        ours, bare = service_s * 1e6, bare_s * 1e6
        lines.append(f"| {step} | {ours:.0f} us | {bare:.0f} us | {bare_s / service_s:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parse = argparse.ArgumentParser(prog="python -m tests.cost", description=__doc__)
    parse.add_argument("--users", type=int, default=4_000, help="each books one seat")
    parse.add_argument("--no-keys", action="store_true", help="send no Idempotency-Key")
    parse.add_argument("--profile", default="", metavar="STEP", help="show where its time goes")
    options = parse.parse_args()
    costs: Awaitable[list[Cost]] = measure(
        options.users, keys=not options.no_keys, profiled=options.profile
    )
    print(table(uvloop.run(costs)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
