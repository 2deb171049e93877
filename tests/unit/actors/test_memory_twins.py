"""The faults that tests order of the in-memory twins are what they say."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.errors import NotOwnedError, OutcomeUnknownError
from actors.journal.contract import Batch, JournalError, Row
from actors.transport import Request
from tests.support.faulty import FaultyJournal
from tests.support.runtimes import Cluster, Instance, pass_time
from tests.support.twins.peers import MemoryTransport

ANN = Address("counter", "ann")


def batch(seq: int, epoch: int = 1) -> Batch:
    row = Row(ANN.slot, seq, epoch, ANN, "added", 1, b'["added",1]', 0)
    return Batch([row], incarnation="one-1")


@pytest.fixture
async def journal() -> FaultyJournal:
    journal = FaultyJournal()
    await journal.claim([(ANN.slot, 0)], "one", "one-1")
    return journal


async def test_a_refused_append_writes_nothing(journal: FaultyJournal) -> None:
    journal.fail_next()
    with pytest.raises(JournalError):
        await journal.append(0, batch(1))
    assert journal.store.events(ANN) == []


async def test_an_unknown_append_is_written(journal: FaultyJournal) -> None:
    journal.unknown_after_write()
    with pytest.raises(JournalError):
        await journal.append(0, batch(1))
    assert len(journal.store.events(ANN)) == 1


async def test_a_late_append_is_written_later(journal: FaultyJournal) -> None:
    journal.late_write()
    with pytest.raises(JournalError):
        await journal.append(0, batch(1))
    assert journal.store.events(ANN) == []
    await pass_time(0.1)
    assert len(journal.store.events(ANN)) == 1


async def test_a_late_append_is_fenced_by_a_claim(journal: FaultyJournal) -> None:
    journal.late_write()
    with pytest.raises(JournalError):
        await journal.append(0, batch(1))
    await journal.claim([(ANN.slot, 1)], "one", "one-1")
    await pass_time(0.1)
    assert journal.store.events(ANN) == []


async def test_a_promoted_standby_lacks_what_was_written_since(journal: FaultyJournal) -> None:
    await journal.append(0, batch(1))
    standby = journal.store.standby()
    await journal.append(0, batch(2))
    await journal.claim([(ANN.slot, 1)], "two", "two-1")
    journal.store.promote(standby)
    assert [row.seq for row in journal.store.events(ANN)] == [1]
    assert journal.store.leases[ANN.slot].incarnation == "one-1"
    assert await journal.append(0, batch(3)) == {ANN.slot}, "nothing is written behind a gap"
    assert not await journal.append(0, batch(2))


async def test_the_transport_carries_commands_to_the_named_instance(
    cluster: Cluster, one: Instance
) -> None:
    transport = MemoryTransport()
    transport.join("one", one.runtime.send)
    answer = await transport.ask("one", Request(ANN, ("add", 2), 5.0))
    assert answer.reply == 2


async def test_what_cannot_be_sent_was_not_done(one: Instance) -> None:
    transport = MemoryTransport()
    transport.join("one", one.runtime.send)
    transport.cut("one")
    for instance in ("one", "nobody"):
        with pytest.raises(NotOwnedError):
            await transport.ask(instance, Request(ANN, ("add", 2), 5.0))
    transport.heal("one")
    assert (await transport.ask("one", Request(ANN, "get", 5.0))).reply == 0


async def test_what_was_sent_before_the_cut_may_be_done(one: Instance) -> None:
    transport = MemoryTransport()
    transport.join("one", one.runtime.send)
    one.journal.latency_s = 0.5
    sent = asyncio.ensure_future(transport.ask("one", Request(ANN, ("add", 2), 5.0)))
    await pass_time(0.1)
    transport.cut("one")
    with pytest.raises(OutcomeUnknownError):
        await sent
    transport.heal("one")
    assert (await transport.ask("one", Request(ANN, "get", 5.0))).reply == 2


async def test_a_transport_hears_who_is_there_and_not_cut_off(cluster: Cluster) -> None:
    one = await cluster.start("one-1")
    transport = MemoryTransport()
    assert not transport.connected("one")
    transport.join("one", one.runtime.send)
    assert transport.connected("one")
    transport.cut("one")
    assert not transport.connected("one")
    transport.heal("one")
    assert transport.connected("one")
    transport.leave("one")
    assert not transport.connected("one")
