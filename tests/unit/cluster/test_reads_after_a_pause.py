"""Who reads from an instance that stood still waits until it knows again what is true, and is
refused only if it does not find out."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.clock import JUMP_S
from actors.cluster.control_messages import CONTROL_ADDRESS
from actors.errors import StaleError, UnavailableError
from actors.replication.streams import BEAT_EVERY_S, LATER, RETRY_S, ReplicationUpdate
from actors.tasks import Tasks
from actors.transport import Request
from booking.calls import SETTLE_MAX_S, Freshness
from tests.support.nodes import Node, Nodes
from tests.support.runtimes import until


class Reader:
    """Reads as the edge does: first everybody waits, if there is something to wait for."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.freshness = Freshness(node.node, Tasks("reader"))

    async def _read(self, address: Address) -> float:
        began_s = self.node.clock.monotonic()
        if self.freshness.regaining:
            await self.freshness.settle()
        self.freshness.check(address)
        return self.node.clock.monotonic() - began_s

    def read(self, address: Address) -> asyncio.Task[float]:
        """How long it took. Raises :class:`StaleError`."""
        return self.node.process.spawn(self._read(address))

    async def refused(self, address: Address) -> float:
        """How long it took to be refused."""
        began_s = self.node.clock.monotonic()
        with pytest.raises(StaleError):
            await self.read(address)
        return self.node.clock.monotonic() - began_s


async def prepared(nodes: Nodes) -> tuple[Reader, Address, Address]:
    """A reader at an instance, and what this one and another one decide."""
    a, b, _ = await nodes.start("a", "b", "c")
    mine, other = nodes.address_on(a), nodes.address_on(b)
    a.show([mine, other])
    reader = Reader(a)
    ready = a.node.replication.replicas.ready
    await until(lambda: ready(mine) and ready(other), 5.0)
    for address in (mine, other):
        await reader.read(address)
    return reader, mine, other


async def stood_still(reader: Reader, seconds: float = JUMP_S + 0.2) -> None:
    reader.node.stand_still()
    await asyncio.sleep(seconds)
    reader.node.go_on()


async def test_reads_wait_for_the_journal_and_the_owners(nodes: Nodes) -> None:
    """given an instance that stood still for more than a second, when somebody reads what it or
    another instance decides, then the answer comes within a second."""
    reader, mine, other = await prepared(nodes)
    await stood_still(reader)
    asked = [reader.read(address) for address in (mine, other) for _ in range(50)]
    took_s = await asyncio.gather(*asked)
    assert 0 < max(took_s) < 1.0


async def test_reads_see_what_happened_meanwhile(nodes: Nodes) -> None:
    reader, _, other = await prepared(nodes)
    owner = nodes.owner(other)
    reader.node.stand_still()
    await owner.reply(other, ("add", 5))
    await asyncio.sleep(JUMP_S + 0.2)
    reader.node.go_on()
    await reader.read(other)
    assert reader.node.views.known[other] == 5


async def test_what_follows_a_gap_in_a_stream_is_refused(nodes: Nodes) -> None:
    """given an instance that stood still, when parts come that were buffered meanwhile, then they
    are refused until the stream begins anew."""
    reader, _, _ = await prepared(nodes)
    node, (b, _) = reader.node.node, nodes.others(reader.node)
    me = b.node.members.me
    late = ReplicationUpdate(me.instance, me.incarnation, None, (), (), (), LATER)

    def refused() -> bool:
        deadline = reader.node.clock.monotonic() + 1.0
        future = node.ask_here(Request(CONTROL_ADDRESS, late, deadline))
        return isinstance(future.exception(), UnavailableError)

    assert not refused()
    await stood_still(reader)
    assert refused(), "nothing is believed now"
    await until(lambda: node.runtime.shards.trustworthy)
    assert refused(), "and this not before the stream's beginning"
    await asyncio.sleep(BEAT_EVERY_S + RETRY_S + 0.1)
    assert not refused()


async def test_reads_are_refused_at_once_when_the_journal_is_away(nodes: Nodes) -> None:
    reader, mine, _ = await prepared(nodes)
    reader.node.journal.go_away()
    await stood_still(reader)
    assert await reader.refused(mine) < 0.5
    assert await reader.refused(mine) < 0.05
    reader.node.journal.come_back()
    await until(lambda: reader.node.node.runtime.shards.trustworthy, 5.0)
    await reader.read(mine)


async def test_only_the_first_readers_wait_for_a_journal_that_hangs(nodes: Nodes) -> None:
    """What waits is bounded: those who come later are refused while it takes too long."""
    reader, mine, _ = await prepared(nodes)
    reader.node.stand_still()
    await asyncio.sleep(JUMP_S + 0.2)
    reader.node.journal.pause()
    reader.node.go_on()
    assert SETTLE_MAX_S <= await reader.refused(mine) < SETTLE_MAX_S + 0.5
    assert await reader.refused(mine) < 0.05
    reader.node.journal.resume()
    await until(lambda: not reader.freshness.regaining, 5.0)
    await until(lambda: reader.node.node.runtime.shards.trustworthy, 5.0)
    await reader.read(mine)
