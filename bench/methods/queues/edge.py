"""One process of a queue that is not ours: ``python -m bench.methods.queues.edge NAME URL RUN``
is its HTTP edge, on a free loopback port, which it prints. With ``PER_S POINT`` behind it lets
people in instead, so many a second, and kills itself in the third promotion that gets to the point.
Both end on SIGTERM, and when their standard input closes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

import msgspec
import uvloop
from aiohttp import web

from bench.bare import BODIES
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


async def _serve(queue: Queue, stop: asyncio.Event) -> None:
    runner = web.AppRunner(application(queue), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await stop.wait()
    await runner.cleanup()


async def _promote(queue: Queue, stop: asyncio.Event, per_s: float, doom: Doom) -> None:
    """Who is not there when it is their turn is not made up for later."""
    print("promoting", flush=True)
    loop = asyncio.get_running_loop()
    began, due = loop.time(), 0
    while not stop.is_set():
        done, due = due, int((loop.time() - began) * per_s)
        if due > done:
            await queue.admit(due - done, doom)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _INTERVAL_S)


async def _main(name: str, url: str, run: str, per_s: str = "", point: str = "") -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    queue = QUEUES[name](url, run)
    await queue.open()
    if per_s:
        await _promote(queue, stop, float(per_s), Doom(point))
    else:
        await _serve(queue, stop)
    await queue.close()
    loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    uvloop.run(_main(*sys.argv[1:]))
