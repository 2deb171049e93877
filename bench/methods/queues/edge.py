"""The two processes of a queue that is not ours: its HTTP edge, and the one that lets people in.
They have nothing in common but the component, and end when their pipe does."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web

from bench.bare import BODIES
from bench.methods.forked import Pipe
from bench.methods.queues import log, mariadb, redis
from bench.methods.queues.queue import Queue

ALL: tuple[type[Queue], ...] = (*mariadb.QUEUES, *redis.QUEUES, *log.QUEUES)
QUEUES = {queue.name: queue for queue in ALL}
_INTERVAL_S = 0.05
_JSON = {"Content-Type": "application/json"}


class Doom:
    """The end of this process, in the third promotion that gets to a point."""

    def __init__(self, point: str) -> None:
        self._point, self._left = point, 3

    def __call__(self, point: str) -> None:
        """A promotion has got to this point."""
        self._left -= point == self._point
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def application(queue: Queue) -> web.Application:
    """Two routes, which do nothing but what they have to."""
    decode, encode = msgspec.json.Decoder(BODIES["/queue/issue"]).decode, msgspec.json.encode

    async def issue(request: web.Request) -> web.Response:
        user: str = decode(await request.read()).userId  # type: ignore[attr-defined]
        number = await queue.join(user)
        told = encode({"data": {"token": f"{number}.{user}", "number": number}})
        return web.Response(body=told, status=201, headers=_JSON)

    async def status(request: web.Request) -> web.Response:
        number, _, user = request.headers["queue-token"].partition(".")
        place = await queue.ask(user, int(number))
        code = 404 if place is None else 200
        return web.Response(body=encode({"data": place}), status=code, headers=_JSON)

    app = web.Application()
    app.add_routes([web.post("/queue/issue", issue), web.get("/queue/status", status)])
    return app


@asynccontextmanager
async def _opened(
    pipe: Pipe, name: str, url: str, run: str
) -> AsyncIterator[tuple[Queue, asyncio.Event]]:
    stop, loop, queue = asyncio.Event(), asyncio.get_running_loop(), QUEUES[name](url, run)
    loop.add_reader(pipe.fileno(), stop.set)
    await queue.open()
    yield queue, stop
    await queue.close()
    loop.remove_reader(pipe.fileno())


async def serve(pipe: Pipe, name: str, url: str, run: str) -> None:
    """Answer on a free loopback port, which is told first."""
    async with _opened(pipe, name, url, run) as (queue, stop):
        runner = web.AppRunner(application(queue), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        pipe.send(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()


async def promote(pipe: Pipe, name: str, url: str, run: str, per_s: float, point: str) -> None:
    """Let in so many a second, and die in the third promotion that gets to the point. Who is not
    there when it is their turn is not made up for later."""
    async with _opened(pipe, name, url, run) as (queue, stop):
        pipe.send("promoting")
        loop, doom = asyncio.get_running_loop(), Doom(point)
        began, due = loop.time(), 0
        while not stop.is_set():
            done, due = due, int((loop.time() - began) * per_s)
            if due > done:
                await queue.admit(due - done, doom)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _INTERVAL_S)
