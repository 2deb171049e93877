"""The listening clients of the bench, fed by hand and by a real edge."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from bench.client import Target
from bench.listener import Listener, Moves, connect, handshake
from bench.record import Latencies
from bench.report import told
from bench.sockets import Finding, Phase, main
from tests.support.edge import ALICE, BOB, Edge, eventually, running
from tests.support.instance import Instance
from tests.support.websockets import FAST

ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def queue_frame(ahead: int) -> bytes:
    payload = b'{"type":"queue","seq":1,"data":{"ahead":%d,"etaSeconds":0}}' % ahead
    return b"\x81" + bytes([len(payload)]) + payload


async def test_changes_are_counted_by_how_many_are_ahead() -> None:
    moves, closes = Moves(), Counter[int]()
    listener = Listener(moves, closes)
    for piece in (ACCEPTED[:20], ACCEPTED[20:] + queue_frame(9)[:7], queue_frame(9)[7:]):
        listener.data_received(piece)
    assert listener.ready.done()
    assert listener.known == 0
    for _ in range(3):
        moves.begun()
    listener.data_received(queue_frame(7))
    assert (listener.known, len(moves.lateness)) == (2, 2)
    listener.data_received(queue_frame(7) + queue_frame(6))
    assert (listener.known, len(moves.lateness), moves.frames) == (3, 3, 4)
    assert min(moves.lateness) >= 0
    late = Listener(moves, closes)
    late.data_received(ACCEPTED + queue_frame(6))
    assert late.known == 3


async def test_ends_are_counted_by_code() -> None:
    closes = Counter[int]()
    refused, closed, lost = (Listener(Moves(), closes) for _ in range(3))
    refused.data_received(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    closed.data_received(ACCEPTED + b"\x88\x02\x03\xf5")
    lost.connection_made(asyncio.Transport())
    lost.connection_lost(None)
    assert closes == {0: 1, 1013: 1, 1006: 1}
    assert refused.ready.done()
    assert closed.ready.done()


async def test_listeners_of_a_real_edge_are_told() -> None:
    instance = Instance(queue_max_active=1)
    async with running(instance, FAST) as edge:
        await listen(edge)


async def listen(edge: Edge) -> None:
    alice, bob = await edge.enter(ALICE), await edge.enter(BOB)
    moves, closes = Moves(), Counter[int]()
    target = Target("127.0.0.1", edge.server.port)
    carol = await edge.enter("cccccccc-0000-4000-8000-000000000003")
    (listener,) = await connect(target, [carol], moves, closes, small=True)
    moves.begun()
    await edge("DELETE", "/queue", token=alice)
    await eventually(lambda: listener.known == 1)
    (refused,) = await connect(target, ["forged"], moves, closes, small=False)
    assert refused.transport is None
    assert closes == {0: 1}
    assert handshake(bob).endswith(b"\r\n\r\n")
    assert listener.transport is not None
    listener.transport.abort()


def finding(p99_ms: float, memory_mb: float, untold: int = 0) -> Finding:
    some = Latencies(10, 1.0, 2.0, p99_ms, 4.0)
    phase = Phase("all read", 100, 5, some, untold, 1.0, some, 0.1)
    return Finding("m", 100, 1.0, 70.0, memory_mb, memory_mb, [phase], {}, {"booking_sockets": 1})


def test_the_claims_are_checked() -> None:
    assert all(holds for _, holds in finding(900, 72).verdicts())
    assert [holds for _, holds in finding(1_001, 72).verdicts()].count(False) == 1
    assert [holds for _, holds in finding(900, 74).verdicts()].count(False) == 1
    assert [holds for _, holds in finding(900, 72, untold=1).verdicts()].count(False) == 1
    text = told("sockets.txt", it=finding(900, 74))
    assert "FAIL  memory 40.0 kB a client" in text
    assert "pass  push lateness p99 900 ms" in text


@pytest.mark.parametrize(
    "wrong",
    [["--clients", "0"], ["--clients", "20001"], ["--unread", "1"], ["--changes", "51"]],
)
def test_what_cannot_be_meant_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
