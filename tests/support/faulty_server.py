"""A server that answers as it is told, for clients that have to cope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import WSCloseCode, web

Script = Callable[[web.WebSocketResponse], Awaitable[None]]


class Answer(msgspec.Struct):
    """One answer. ``drop``: the connection is cut instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    drop: bool = False


def good(data: Any, status: int = 200) -> Answer:
    return Answer(status, {"success": True, "data": data})


def problem(code: str, status: int, retry_after: str | None = None) -> Answer:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    body = {"title": code, "status": status, "detail": "words", "code": code, "request_id": "r1"}
    return Answer(status, body, headers)


class FaultyServer:
    """Gives the answers of ``plan`` one after another, and remembers what it was asked."""

    def __init__(self) -> None:
        self.plan: list[Answer] = []
        self.sockets: list[Script] = []
        """What is done with one websocket after another; without one left, the path is unknown."""
        self.asked: list[web.BaseRequest] = []
        self.url = ""

    @property
    def keys(self) -> list[str]:
        """The keys of what was asked."""
        return [request.headers.get("Idempotency-Key", "") for request in self.asked]

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        await request.read()
        if request.path.endswith("/ws") and self.sockets:
            return await self._socket(request, self.sockets.pop(0))
        if request.path.endswith("/ws"):
            return _written(problem("not_found", 404))
        answer = self.plan.pop(0)
        if answer.drop:
            assert request.transport is not None
            request.transport.abort()
            await asyncio.Event().wait()
        return _written(answer)

    @staticmethod
    async def _socket(request: web.BaseRequest, script: Script) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await script(socket)
        return socket


def _written(answer: Answer) -> web.Response:
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    return web.Response(status=answer.status, body=body, headers=answer.headers)


def place(position: int, *, poll_after_ms: int = 1) -> dict[str, Any]:
    """A place in the queue; 0 is inside."""
    return {
        "token": "t",
        "userId": "u",
        "status": "pending" if position else "active",
        "number": 7,
        "position": position,
        "ahead": max(0, position - 1),
        "etaSeconds": position,
        "etaKnown": True,
        "pollAfterMs": poll_after_ms,
    }


def tells(*positions: int, close: int | None = None, jitter_ms: int = 1) -> Script:
    """Says hello and these places, then closes with the code, or waits for the client to go."""

    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "hello", "heartbeatMs": 1, "reconnectJitterMs": jitter_ms})
        await socket.send_json({"type": "of a later version"})
        for seq, position in enumerate(positions):
            await socket.send_json({"type": "queue", "seq": seq, "data": place(position)})
        if close is None:
            await socket.receive()
        elif close == WSCloseCode.ABNORMAL_CLOSURE:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        else:
            await socket.close(code=close)

    return script


def seats_frame(seq: int, snapshot: bool, **states: str) -> dict[str, Any]:
    """Seats as ``s7="held"``."""
    changed = [{"seatNumber": int(name[1:]), "state": state} for name, state in states.items()]
    data = {"concertScheduleId": "d", "version": seq, "snapshot": snapshot, "changed": changed}
    return {"type": "seats", "seq": seq, "data": data}


def sends(*frames: dict[str, Any], close: int | None = None) -> Script:
    """Says hello and exactly these frames, then closes or waits for the client to go."""

    async def script(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "hello", "heartbeatMs": 1, "reconnectJitterMs": 1})
        for frame in frames:
            await socket.send_json(frame)
        if close is None:
            await socket.receive()
        else:
            await socket.close(code=close)

    return script


@asynccontextmanager
async def faulty_server() -> AsyncIterator[FaultyServer]:
    faulty = FaultyServer()
    runner = web.ServerRunner(web.Server(faulty.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    faulty.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield faulty
    finally:
        await runner.cleanup()
