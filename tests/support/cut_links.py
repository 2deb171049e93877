"""The wires between instances, to be cut one by one.

Each instance advertises a :class:`Wire` in front of its port, so whatever a peer says to it comes
through here, while clients and servers beneath are reached directly. Who connects is read from the
greeting, the first websocket frame; so the wire between two instances can be cut and the others
left alone. A cut wire is a network that drops packets: nothing arrives, nothing is refused, and
what was on its way arrives when it is mended, if anybody still waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from actors.peers.protocol import Hello, decode_handshake
from tests.support.served import free_port

CHUNK_BYTES = 65_536
MASK_BYTES = 4


class Cuts:
    """Which pairs cannot hear each other."""

    def __init__(self) -> None:
        self._cut: set[frozenset[str]] = set()
        self._mended = asyncio.Event()
        self.held = 0
        """Pieces that met a cut wire."""

    def cut(self, one: str, other: str) -> None:
        self._mended.clear()
        self._cut.add(frozenset((one, other)))

    def mend(self) -> None:
        self._cut.clear()
        self._mended.set()

    async def passable(self, one: str, other: str) -> None:
        """Wait until the wire between them is whole."""
        while frozenset((one, other)) in self._cut:
            self.held += 1
            await self._mended.wait()


class Wire:
    """In front of one instance."""

    def __init__(self, name: str, target_port: int, cuts: Cuts) -> None:
        self.port = free_port()
        self._name = name
        self._target_port = target_port
        self._cuts = cuts
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)
        try:
            target = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        caller: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._listening(reader, target[1], caller))
                both.create_task(self._talking(target[0], writer, caller))
        finally:
            target[1].close()
            writer.close()

    async def _listening(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        caller: asyncio.Future[str],
    ) -> None:
        """From the caller to the instance; learns who calls."""
        said = b""
        while data := await _some(reader):
            if not caller.done():
                said += data
                name = caller_of(said)
                if name is not None:
                    caller.set_result(name)
            await self._pass(data, writer, caller)
        writer.close()

    async def _talking(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        caller: asyncio.Future[str],
    ) -> None:
        """From the instance to the caller."""
        while data := await _some(reader):
            await self._pass(data, writer, caller)
        writer.close()

    async def _pass(
        self, data: bytes, writer: asyncio.StreamWriter, caller: asyncio.Future[str]
    ) -> None:
        if caller.done():
            await self._cuts.passable(caller.result(), self._name)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()


async def _some(reader: asyncio.StreamReader) -> bytes:
    """Nothing at the end, however it came."""
    try:
        return await reader.read(CHUNK_BYTES)
    except ConnectionError:
        return b""


def caller_of(said: bytes) -> str | None:
    """Who says hello in the first frame behind the request's head; ``None`` while it is not whole.
    A client's frame is masked, and a greeting is short (RFC 6455, section 5.2)."""
    _, _, frame = said.partition(b"\r\n\r\n")
    if len(frame) < 2:
        return None
    length, start = frame[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
    mask = frame[start : start + MASK_BYTES]
    masked = frame[start + MASK_BYTES : start + MASK_BYTES + length]
    if len(masked) < length or len(mask) < MASK_BYTES:
        return None
    whole = bytes(byte ^ mask[at % MASK_BYTES] for at, byte in enumerate(masked))
    hello = decode_handshake(whole)
    assert isinstance(hello, Hello), hello
    return hello.instance


@asynccontextmanager
async def wired(ports: dict[str, int]) -> AsyncIterator[tuple[dict[str, str], Cuts]]:
    """Wires in front of these instances: the URLs to advertise, by name, and how to cut."""
    cuts = Cuts()
    wires = [Wire(name, port, cuts) for name, port in ports.items()]
    for wire in wires:
        await wire.start()
    try:
        yield {name: wire.url for name, wire in zip(ports, wires, strict=True)}, cuts
    finally:
        cuts.mend()
        for wire in wires:
            await wire.close()
