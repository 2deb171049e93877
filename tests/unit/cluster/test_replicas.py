"""ViewReplicas of what is shown: read once, followed in order, read again where something is
missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

import msgspec
import pytest

from actors.address import Address
from actors.behaviour import Behaviour
from actors.journal.contract import Batch, Loaded, Row, SnapshotRow
from actors.replication import replicas as limits
from actors.replication.replicas import ViewReplicas
from actors.replication.streams import EntityChange
from actors.subscription import Change
from actors.tasks import Tasks
from tests.support.faulty import FaultyJournal
from tests.support.nodes import FollowedViews
from tests.support.runtimes import until
from tests.support.toys import Bank, Counter

ANN = Address("counter", "ann")
BEN = Address("counter", "ben")
EPOCH = 1


class LateJournal(FaultyJournal):
    """Looks at once and answers later."""

    answer_s = 0.0

    async def load(self, addresses: Sequence[Address], *, whole: bool = False) -> list[Loaded]:
        found = await super().load(addresses, whole=whole)
        await asyncio.sleep(self.answer_s)
        return found


class Reader:
    """ViewReplicas of what somebody else owns, and a journal to which the owner appends."""

    def __init__(self) -> None:
        self.journal = LateJournal(latency_s=0.002)
        self.counter = Counter()
        self.behaviours: dict[str, Behaviour] = {"counter": self.counter, "bank": Bank()}
        self.views = FollowedViews(list(self.behaviours.values()), lambda shard: None)
        self.mine: set[Address] = set()
        self.replicas = ViewReplicas(
            {"counter": True, "bank": False},
            self.behaviours.__getitem__,
            [self.views],
            self.journal,
            self.mine.__contains__,
        )
        self.tasks = Tasks("replicas")
        self.tasks.spawn(self.replicas.run(0), "replicas")
        self.seq = 0

    async def start(self) -> None:
        await self.journal.claim([(ANN.slot, 0)], "owner", "owner@1")

    async def decide(
        self, amount: int, address: Address = ANN, *, epoch: int = EPOCH
    ) -> EntityChange:
        """An event is journalled; what the owner tells of it."""
        before = self.journal.store.events(address)
        self.seq += 1
        payload = msgspec.json.encode(["added", amount])
        row = Row(address.slot, self.seq, epoch, address, "added", 1, payload, 0)
        await self.journal.append(0, Batch([row], incarnation="owner@1"))
        before_seq = before[-1].seq if before else 0
        return EntityChange(address.text, before_seq, [(self.seq, "added", 1, payload)])

    async def known(self, state: int, wait_max_s: float = 1.0) -> None:
        await until(lambda: self.views.known.get(ANN) == state, wait_max_s)

    @property
    def loads(self) -> int:
        return self.journal.loads


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    await reader.start()
    yield reader
    await reader.tasks.close()
    assert not reader.tasks.failed.done()
    assert reader.views.gaps == []


async def test_a_tracked_entity_is_read_once_even_if_empty(reader: Reader) -> None:
    assert not reader.replicas.ready(ANN)
    reader.replicas.track([ANN])
    await reader.known(0)
    assert reader.replicas.ready(ANN)
    reader.replicas.track([ANN])
    await asyncio.sleep(1.0)
    assert reader.loads == 1


async def test_many_are_read_with_one_query(reader: Reader) -> None:
    wanted = [Address("counter", f"e{n}") for n in range(limits.READ_TOGETHER_MAX)]
    reader.replicas.track(wanted)
    await until(lambda: all(map(reader.replicas.ready, wanted)), 1.0)
    assert reader.loads == 1


async def test_changes_in_order_are_applied_at_once_without_reading(reader: Reader) -> None:
    reader.replicas.track([ANN])
    await reader.known(0)
    for total in (1, 2, 3):
        reader.replicas.on_change(await reader.decide(1))
        assert reader.views.known[ANN] == total
    assert reader.loads == 1


async def test_a_change_that_was_heard_before_is_dropped(reader: Reader) -> None:
    reader.replicas.track([ANN])
    await reader.known(0)
    change = await reader.decide(5)
    reader.replicas.on_change(change)
    reader.replicas.on_change(change)
    assert reader.views.events(ANN) == [("added", 5)]


async def test_a_gap_that_closes_by_itself_is_not_read(reader: Reader) -> None:
    """Two owners in turn told over two links."""
    reader.replicas.track([ANN])
    await reader.known(0)
    first, second, third = [await reader.decide(n) for n in (1, 10, 100)]
    reader.replicas.on_change(third)
    reader.replicas.on_change(second)
    assert reader.views.known[ANN] == 0
    reader.replicas.on_change(first)
    await reader.known(111)
    assert reader.views.events(ANN) == [("added", 1), ("added", 10), ("added", 100)]
    assert reader.loads == 1


async def test_a_gap_that_stays_is_read_and_what_follows_is_applied(reader: Reader) -> None:
    reader.replicas.track([ANN])
    await reader.known(0)
    await reader.decide(1)
    reader.replicas.on_change(await reader.decide(10))
    await reader.known(11)
    reader.replicas.on_change(await reader.decide(100))
    assert reader.views.known[ANN] == 111
    assert reader.loads == 2


async def test_what_is_told_while_it_is_read_follows_the_reading(reader: Reader) -> None:
    await reader.decide(1)
    reader.journal.answer_s = 0.2
    reader.replicas.track([ANN])
    await asyncio.sleep(0.1)
    for amount in (10, 100):
        reader.replicas.on_change(await reader.decide(amount))
    assert reader.views.all == []
    await reader.known(111)
    assert reader.views.loads == [(ANN, 1)]
    assert reader.views.events(ANN) == [("added", 10), ("added", 100)]
    assert reader.loads == 1


async def test_something_never_heard_of_is_read_when_it_changes(reader: Reader) -> None:
    await reader.decide(1)
    reader.replicas.on_change(await reader.decide(10))
    await reader.known(11)


async def test_only_a_seq_beyond_the_known_one_is_read(reader: Reader) -> None:
    reader.replicas.track([ANN])
    await reader.known(0)
    await reader.decide(7)
    reader.replicas.on_seq(ANN.text, 1)
    await reader.known(7)
    reader.replicas.on_seq(ANN.text, 1)
    await asyncio.sleep(1.0)
    assert reader.loads == 2


async def test_updates_of_own_or_unreplicated_entities_are_ignored(reader: Reader) -> None:
    reader.mine.add(ANN)
    reader.replicas.on_change(await reader.decide(1))
    reader.replicas.on_seq(ANN.text, 1)
    reader.replicas.on_seq("alarm/clock", 9)
    await asyncio.sleep(1.0)
    assert reader.loads == 0
    assert reader.views.all == []


async def test_a_copy_goes_on_from_what_its_own_runtime_knew(reader: Reader) -> None:
    """The shard was ours, and is somebody else's now."""
    reader.mine.add(ANN)
    await reader.decide(1)
    reader.replicas.own_loaded(ANN, 1, 1, 1)
    reader.views.loaded(ANN, 1, 1, 1)
    await reader.decide(10)
    assert reader.replicas.own_committed(ANN, 11, 2, 1) == 1
    reader.views.committed(Change(ANN, 11, 1, 2, [("added", 10)]))
    assert reader.replicas.latest_seqs(lambda shard: shard == ANN.slot) == [(ANN.text, 2)]
    reader.mine.clear()
    reader.replicas.on_change(await reader.decide(100))
    assert reader.views.known[ANN] == 111
    assert reader.loads == 0


async def test_a_reading_that_comes_late_takes_nothing_back(reader: Reader) -> None:
    """It was asked for before the shard became ours."""
    reader.journal.answer_s = 0.2
    reader.replicas.track([ANN])
    await asyncio.sleep(0.1)
    reader.mine.add(ANN)
    reader.replicas.own_loaded(ANN, 42, 5, 1)
    await asyncio.sleep(1.0)
    assert reader.views.all == []
    assert reader.replicas.latest_seqs(lambda shard: True) == [(ANN.text, 5)]


async def test_an_owner_heard_meanwhile_does_not_make_a_reading_void(reader: Reader) -> None:
    """Every part of a stream asks which shards are to be distrusted: mostly none."""
    await reader.decide(1)
    reader.journal.answer_s = 0.2
    reader.replicas.track([ANN])
    for _ in range(30):
        await asyncio.sleep(0.01)
        reader.replicas.distrust(frozenset())
    await reader.known(1)
    await asyncio.sleep(1.0)
    assert reader.replicas.reads == 1


async def test_without_the_journal_it_waits_and_reads_when_it_is_back(reader: Reader) -> None:
    reader.journal.go_away()
    reader.replicas.track([ANN])
    await asyncio.sleep(3.0)
    assert not reader.replicas.ready(ANN)
    reader.journal.come_back()
    await reader.known(0, limits.JOURNAL_RETRY_S + 0.1)


@pytest.mark.parametrize(("readable", "loads"), [(True, 1), (False, 2)])
async def test_a_snapshot_is_enough_and_one_of_an_older_shape_is_not(
    reader: Reader, readable: bool, loads: int
) -> None:
    for amount in (1, 10):
        await reader.decide(amount)
    snapshot = SnapshotRow(ANN.slot, EPOCH, ANN, 2, b"11")
    await reader.journal.append(0, Batch(snapshots=[snapshot], incarnation="owner@1"))
    reader.counter.snapshots_readable = readable
    reader.replicas.track([ANN])
    await reader.known(11)
    assert reader.loads == loads, "once with the snapshot, once without"


async def test_what_is_known_is_not_read_again(reader: Reader) -> None:
    for amount in (1, 10):
        await reader.decide(amount)
    reader.replicas.track([ANN])
    await reader.known(11)
    asked: list[int] = []
    later = reader.journal.later

    async def noted(known: Sequence[tuple[Address, int]]) -> list[Loaded]:
        asked.extend(seq for _, seq in known)
        return await later(known)

    reader.journal.later = noted  # type: ignore[method-assign]  # a witness
    await reader.decide(100)
    reader.replicas.distrust([ANN.slot])
    assert not reader.replicas.ready(ANN)
    await reader.known(111)
    await until(lambda: reader.replicas.ready(ANN), 1.0)
    assert asked == [2]


async def test_a_replica_of_a_past_that_was_lost_is_read_anew(reader: Reader) -> None:
    """Given a replica with an event that a fail-over lost, before anybody has noticed the loss,
    when an owner tells of a change that passes over it, then the replica is read anew."""
    for amount in (1, 10, 100):
        await reader.decide(amount)
    reader.replicas.track([ANN])
    await reader.known(111)
    store = reader.journal.store
    for rows in (store.rows[ANN.slot], store._of_entity[ANN]):
        del rows[1:]
    reader.seq = 1
    names = (Address("counter", f"other-{number}") for number in count())
    neighbour = next(address for address in names if address.slot == ANN.slot)
    for _ in range(2):
        await reader.decide(1, neighbour)
    change = await reader.decide(1000)
    assert (change.before_seq, change.last_seq) == (1, 4)
    reader.replicas.on_change(change)
    assert not reader.replicas.ready(ANN)
    await reader.known(1001)


async def test_a_view_that_cannot_follow_is_told_everything_anew(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a view that fails at a change, then the instance goes on, nobody is shown it, and it is
    told the state anew."""
    await reader.decide(1)
    reader.replicas.track([ANN])
    await reader.known(1)
    told = reader.views.committed

    def fails(change: Change) -> None:
        reader.views.committed = told  # type: ignore[method-assign]
        raise AssertionError("number 6")

    reader.views.committed = fails  # type: ignore[method-assign]
    reader.replicas.on_change(await reader.decide(10))
    assert "cannot be shown: AssertionError" in caplog.text
    assert not reader.replicas.ready(ANN)
    await reader.known(11, limits.UNREADABLE_S + 1)


async def test_too_many_buffered_changes_are_dropped_and_read(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUFFERED_MAX", 3)
    reader.journal.answer_s = 0.2
    reader.replicas.track([ANN])
    await asyncio.sleep(0.1)
    for _ in range(10):
        reader.replicas.on_change(await reader.decide(1))
    await reader.known(10)


async def test_changes_are_encoded_as_the_wire_needs_them(reader: Reader) -> None:
    change = await reader.decide(5)
    assert msgspec.msgpack.decode(
        msgspec.msgpack.encode(change), type=EntityChange
    ) == EntityChange(ANN.text, 0, [(1, "added", 1, b'["added",5]')])


async def test_an_unreadable_entity_that_rests_is_tried_again_too(reader: Reader) -> None:
    """Its owner says nothing new, and nobody asks for it to be read."""
    reader.counter.unreadable.add("ann")
    await reader.decide(5)
    reader.replicas.track([ANN])
    await until(lambda: reader.journal.loads == 1)
    await asyncio.sleep(limits.UNREADABLE_S * 3)
    assert 3 <= reader.journal.loads <= 4
    reader.counter.unreadable.clear()
    await reader.known(5, limits.UNREADABLE_S + 1)
    assert reader.replicas.ready(ANN)


async def test_an_unreadable_entity_is_tried_again_after_a_while(
    reader: Reader,
) -> None:
    """An event of a later version, in the middle of a rolling upgrade: nothing else suffers."""
    reader.replicas.track([ANN, BEN])
    await until(lambda: reader.replicas.ready(ANN) and reader.replicas.ready(BEN))
    change = await reader.decide(5)
    seq, _, version, _ = change.rows[0]
    reader.replicas.on_change(
        EntityChange(change.address, change.before_seq, [(seq, "?", version, b"?")])
    )
    assert not reader.replicas.ready(ANN)
    assert reader.replicas.ready(BEN)
    reader.replicas.on_change(await reader.decide(1))
    assert not reader.replicas.ready(ANN), "not at once"
    await asyncio.sleep(limits.UNREADABLE_S)
    reader.replicas.on_change(await reader.decide(1))
    await reader.known(7)
    assert reader.replicas.ready(ANN)


class LargeStep(Counter):
    """An event of 100 takes three pieces of work before it can be taken in."""

    def __init__(self) -> None:
        super().__init__()
        self.worked = 0

    def groundwork(self, basis: Any) -> Iterator[None] | None:
        if basis != ("added", 100) or self.worked >= 3:
            return None
        return self._work()

    def _work(self) -> Iterator[None]:
        while self.worked < 3:
            self.worked += 1
            yield

    def evolve(self, state: Any, event: Any) -> Any:
        assert event != ("added", 100) or self.worked == 3, "evolved before its work was done"
        return super().evolve(state, event)


@pytest.mark.parametrize("tracked_late", [False, True])
async def test_an_event_that_takes_work_is_taken_in_when_it_is_done_and_in_order(
    reader: Reader, *, tracked_late: bool
) -> None:
    """Whether its owner tells of it or it is read from the journal."""
    large = LargeStep()
    reader.behaviours["counter"] = large
    if not tracked_late:
        reader.replicas.track([ANN])
        await reader.known(0)
    changes = [await reader.decide(amount) for amount in (1, 100, 10)]
    for change in changes:
        reader.replicas.on_change(change)
    assert large.worked == 0, "nothing of it while the change is taken from the link"
    reader.replicas.track([ANN])
    await reader.known(111)
    assert large.worked == 3
    later = await reader.decide(1_000)
    reader.replicas.on_change(later)
    assert reader.views.known.get(ANN) == 1_111


async def test_what_the_next_owner_does_not_have_is_forgotten(reader: Reader) -> None:
    """Given two changes that were heard and that the store then lost with their owner, when the
    next owner decides, then the replica is what the journal says, however the seqs compare."""
    reader.replicas.track([ANN])
    await reader.known(0)
    reader.replicas.on_change(await reader.decide(1))
    standby = reader.journal.store.standby()
    for _ in range(2):
        reader.replicas.on_change(await reader.decide(10))
    reader.journal.store.promote(standby)
    reader.seq = 1
    await reader.journal.claim([(ANN.slot, 1)], "next", "owner@1")
    for total in (101, 201, 301):
        change = await reader.decide(100, epoch=2)
        reader.replicas.on_change(msgspec.structs.replace(change, epoch=2))
        await reader.known(total)


async def test_an_owner_tells_where_its_own_past_ended(reader: Reader) -> None:
    """Given a replica that is beyond what the journal has when this instance takes over, then its
    first change follows on what was loaded."""
    reader.replicas.track([ANN])
    await reader.known(0)
    for _ in range(3):
        reader.replicas.on_change(await reader.decide(1))
    reader.replicas.own_loaded(ANN, 1, 1, 2)
    assert reader.replicas.own_committed(ANN, 5, 2, 2) == 1
