"""A bare aiohttp application that gives recorded answers: the measure of all ratios.

``python -m bench.bare FILE`` serves the answers in FILE on a free loopback port, which it prints.
A POST reads its body and decodes it into a Struct as any service has to; nothing else is done.
It ends on SIGTERM, and when its standard input closes.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Answer(msgspec.Struct, frozen=True):
    """What the service answered once on a route."""

    method: str
    path: str
    status: int
    content_type: str
    body: bytes


def _struct(*fields: tuple[str, type] | tuple[str, type, object]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=True)


BODIES: dict[str, type[msgspec.Struct]] = {
    "/queue/issue": _struct(("userId", str), ("queue", str, "")),
    "/user/charge": _struct(("userId", str), ("amount", int)),
    "/reservation": _struct(
        ("seatId", str, ""), ("concertScheduleId", str, ""), ("seatNumber", int, 0)
    ),
    "/payment": _struct(("seatId", str)),
}


def write_answers(path: Path, answers: list[Answer]) -> None:
    """Keep answers for :func:`read_answers`."""
    path.write_bytes(msgspec.json.encode(answers))


def read_answers(path: Path) -> list[Answer]:
    """The answers in a file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Answer])


def application(answers: list[Answer]) -> web.Application:
    """One route for each answer."""
    app = web.Application()
    for answer in answers:
        app.router.add_route(answer.method, answer.path, _handler(answer))
    return app


def _handler(answer: Answer) -> Handler:
    headers = {"Content-Type": answer.content_type}
    status, content = answer.status, answer.body

    async def read(request: web.Request) -> web.Response:
        return web.Response(body=content, status=status, headers=headers)

    if answer.method == "GET":
        return read
    decode = msgspec.json.Decoder(BODIES[answer.path]).decode

    async def write(request: web.Request) -> web.Response:
        decode(await request.read())
        return web.Response(body=content, status=status, headers=headers)

    return write


async def serve(answers: list[Answer]) -> None:
    """Give these answers until SIGTERM or the end of standard input."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    runner = web.AppRunner(application(answers), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(runner.addresses[0][1], flush=True)
        await stop.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
        await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(read_answers(Path(sys.argv[1]))))
