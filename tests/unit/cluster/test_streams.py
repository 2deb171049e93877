"""What an owner tells all others: in order, one part at a time, anew when something was lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from actors.cluster.control_messages import ControlCodec
from actors.errors import NotOwnedError
from actors.membership.contract import Member
from actors.peers.limits import PeerLimits
from actors.replication import streams as limits
from actors.replication.streams import (
    EntityChange,
    ReplicationUpdate,
    UpdateStreams,
    convert_change,
    encode_change,
)
from actors.tasks import Tasks
from tests.support.runtimes import until
from tests.support.virtual_time import VirtualClock


class Receivers:
    """The other instances: what each heard, and whether they can."""

    def __init__(self) -> None:
        self.codec = ControlCodec()
        self.heard: defaultdict[str, list[tuple[float, ReplicationUpdate]]] = defaultdict(list)
        self.sizes: list[int] = []
        self.unreachable: set[str] = set()
        self.takes_s = 0.001
        self.asking = 0
        self.asking_most = 0

    async def send(self, instance: str, update: ReplicationUpdate, timeout_s: float) -> None:
        self.asking += 1
        self.asking_most = max(self.asking_most, self.asking)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.asking -= 1
        if instance in self.unreachable:
            raise NotOwnedError("cannot be reached")
        data = self.codec.encode_command(update)
        self.sizes.append(len(data))
        now = asyncio.get_running_loop().time()
        self.heard[instance].append((now, self.codec.decode_command(data)))

    def changes(self, instance: str) -> list[EntityChange]:
        updates = [update for _, update in self.heard[instance]]
        return [convert_change(change) for update in updates for change in update.changes]

    def seqs(self, instance: str) -> list[tuple[str, int]]:
        return [tuple(pair) for _, update in self.heard[instance] for pair in update.latest]  # type: ignore[misc]  # pairs

    def beats(self, instance: str) -> list[float]:
        return [at for at, update in self.heard[instance] if update.owned is not None]


class Owner:
    """The streams of one owner of two shards."""

    def __init__(self) -> None:
        self.receivers = Receivers()
        self.tasks = Tasks("streams")
        self.owned: list[tuple[int, int]] | None = [(1, 4), (2, 7)]
        self.all_seqs: list[tuple[str, int]] = []
        self.there = {"b", "c"}
        self.streams = UpdateStreams(
            Member("a", "a@1", "http://a", 0),
            self.receivers.send,
            VirtualClock(),
            self.tasks,
            owned=lambda: self.owned,
            latest=lambda: self.all_seqs,
            ends=lambda: [(1, 4, self.seq)],
            known=self.there.__contains__,
        )
        self.seq = 0

    async def meet(self) -> None:
        """Everybody heard the first part."""
        self.streams.open(sorted(self.there))
        await until(lambda: all(self.receivers.heard[name] for name in self.there), 1.0)

    def tell(self, size: int = 10) -> EntityChange:
        self.seq += 1
        change = EntityChange("counter/ann", self.seq - 1, [(self.seq, "added", 1, b"x" * size)])
        self.streams.publish(change.address, self.seq, encode_change(change))
        return change


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    owner = Owner()
    yield owner
    await owner.tasks.close()
    assert not owner.tasks.failed.done()


async def test_the_first_part_has_all_shards_and_seqs(owner: Owner) -> None:
    owner.all_seqs = [("counter/ann", 3), ("bank/ben", 9)]
    await owner.meet()
    for name in ("b", "c"):
        _, first = owner.receivers.heard[name][0]
        assert (first.instance, first.incarnation) == ("a", "a@1")
        assert [tuple(pair) for pair in first.owned or ()] == [(1, 4), (2, 7)]
        assert owner.receivers.seqs(name) == owner.all_seqs


async def test_changes_are_sent_to_all_in_order(owner: Owner) -> None:
    await owner.meet()
    told = [owner.tell() for _ in range(10)]
    await until(lambda: len(owner.receivers.changes("c")) == 10, 0.1)
    assert owner.receivers.changes("b") == owner.receivers.changes("c") == told


async def test_one_part_at_a_time_gathers_what_comes_up_meanwhile(owner: Owner) -> None:
    owner.there.remove("c")
    await owner.meet()
    owner.receivers.takes_s = 0.1
    told = []
    for _ in range(100):
        told.append(owner.tell())
        await asyncio.sleep(0.01)
    await until(lambda: len(owner.receivers.changes("b")) == 100, 1.0)
    assert owner.receivers.changes("b") == told
    assert owner.receivers.asking_most == 1
    assert len(owner.receivers.heard["b"]) < 20


async def test_a_part_fits_into_a_frame_however_much_there_is_to_tell(owner: Owner) -> None:
    owner.all_seqs = [(f"counter/{'x' * 40}-{n}", n) for n in range(5_000)]
    owner.streams.open(["b"])
    await asyncio.sleep(0)
    for _ in range(100):
        owner.tell(size=30_000)
    await until(lambda: len(owner.receivers.changes("b")) == 100, 5.0)
    assert sorted(owner.receivers.seqs("b")) == sorted(owner.all_seqs)
    assert max(owner.receivers.sizes) < PeerLimits().frame_bytes_max - 1_000


async def test_a_change_that_fits_into_no_part_is_left_to_the_journal(owner: Owner) -> None:
    await owner.meet()
    owner.tell(size=limits.PART_BYTES_MAX)
    after = owner.tell()
    await until(lambda: owner.receivers.changes("b"), 0.1)
    assert owner.receivers.seqs("b") == [("counter/ann", 1)]
    assert owner.receivers.changes("b") == [after]


async def test_an_idle_owner_still_publishes_its_shards(owner: Owner) -> None:
    await owner.meet()
    await asyncio.sleep(10.0)
    beats = owner.receivers.beats("b")
    pauses = [after - before for before, after in itertools.pairwise(beats)]
    assert max(pauses) <= limits.BEAT_EVERY_S + 0.01
    assert len(beats) <= 27, "and not more often"


async def test_a_busy_owner_says_so_as_often(owner: Owner) -> None:
    """A steady load must not keep the beat from coming due."""
    await owner.meet()
    for _ in range(1_000):
        owner.tell()
        await asyncio.sleep(0.01)
    beats = owner.receivers.beats("b")
    pauses = [after - before for before, after in itertools.pairwise(beats)]
    assert max(pauses) <= limits.BEAT_EVERY_S + 0.02
    assert len(beats) <= 27


async def test_an_unsure_owner_publishes_no_shards(owner: Owner) -> None:
    await owner.meet()
    owner.owned = None
    told = owner.tell()
    await asyncio.sleep(2.0)
    assert all(update.owned is None for _, update in owner.receivers.heard["b"][1:])
    assert owner.receivers.changes("b") == [told]


async def test_news_of_ownership_are_told_at_once(owner: Owner) -> None:
    await owner.meet()
    owner.owned = [(1, 4), (2, 7), (3, 1)]
    owner.streams.publish_ownership()
    await asyncio.sleep(0.01)
    assert [tuple(p) for p in owner.receivers.heard["c"][-1][1].owned or ()] == owner.owned


async def test_a_stream_that_broke_begins_anew_with_everything(owner: Owner) -> None:
    await owner.meet()
    owner.receivers.unreachable.add("b")
    lost = owner.tell()
    await asyncio.sleep(1.0)
    owner.receivers.unreachable.clear()
    owner.all_seqs = [("counter/ann", 1)]
    before = len(owner.receivers.heard["b"])
    await until(lambda: len(owner.receivers.heard["b"]) > before, limits.RETRY_S + 0.1)
    assert owner.receivers.heard["b"][-1][1].owned is not None
    assert owner.receivers.seqs("b") == [("counter/ann", 1)]
    assert owner.receivers.changes("b") == [], "it is in the journal"
    assert owner.receivers.changes("c") == [lost], "the other stream goes on"
    assert owner.tell() == (await _next(owner))


async def _next(owner: Owner) -> EntityChange:
    await until(lambda: owner.receivers.changes("b"), 0.1)
    return owner.receivers.changes("b")[-1]


async def test_who_cannot_keep_up_is_told_where_things_are_instead(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.meet()
    monkeypatch.setattr(limits, "PENDING_BYTES_MAX", 10_000)
    owner.receivers.takes_s = 0.5
    owner.all_seqs = [("counter/ann", 40)]
    for _ in range(40):
        owner.tell(size=1_000)
    await asyncio.sleep(3.0)
    assert len(owner.receivers.changes("b")) < 40
    assert owner.receivers.seqs("b") == [("counter/ann", 40)]


async def test_only_the_newest_seq_is_sent_to_all(owner: Owner) -> None:
    await owner.meet()
    for seq in (1, 2, 3):
        owner.streams.publish_seq("counter/ann", seq)
    await asyncio.sleep(0.1)
    assert owner.receivers.seqs("b") == owner.receivers.seqs("c") == [("counter/ann", 3)]


async def test_a_stream_ends_and_begins_with_its_receiver(owner: Owner) -> None:
    await owner.meet()
    assert owner.streams.receivers == 2
    owner.there.remove("b")
    await until(lambda: owner.streams.receivers == 1, 1.0)
    owner.receivers.heard.clear()
    owner.there.add("b")
    owner.streams.open(["b", "c"])
    await until(lambda: bool(owner.receivers.heard["b"]), 1.0)
    assert owner.receivers.heard["b"][0][1].owned is not None
    assert owner.streams.receivers == 2
