"""What an owner tells all others: in order, gathered, and anew when something was lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

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
    encode,
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
        self.lose: dict[str, Callable[[], None]] = {}

    def tell(self, instance: str, data: bytes, on_lost: Callable[[], None]) -> None:
        if instance in self.unreachable:
            raise NotOwnedError("cannot be reached")
        self.lose[instance] = on_lost
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
            self.receivers.tell,
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
        self.streams.publish(change.address, self.seq, encode(change))
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
    await until(lambda: len(owner.receivers.changes("c")) == 10, 1.0)
    assert owner.receivers.changes("b") == owner.receivers.changes("c") == told


async def test_a_change_after_a_quiet_moment_is_sent_at_once(owner: Owner) -> None:
    await owner.meet()
    await asyncio.sleep(limits.BEAT_EVERY_S - 0.1)
    told = owner.tell()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert owner.receivers.changes("b") == owner.receivers.changes("c") == [told]


async def test_what_comes_up_within_a_moment_is_one_part(owner: Owner) -> None:
    """A frame costs each receiver more than ten changes do, and a view that old is recent."""
    await owner.meet()
    before = len(owner.receivers.heard["b"])
    told = []
    for _ in range(100):
        told.append(owner.tell())
        await asyncio.sleep(0.01)
    await until(lambda: len(owner.receivers.changes("b")) == 100, 1.0)
    assert owner.receivers.changes("b") == told
    assert len(owner.receivers.heard["b"]) - before <= 1.0 / limits.GATHER_S + 2


async def test_who_is_answered_hears_first_what_was_decided(owner: Owner) -> None:
    """Given changes that wait to be sent, when an instance is about to be answered, then it is
    sent them before, once: its client reads its own writes there."""
    await owner.meet()
    first = owner.tell()
    owner.streams.hurry("b")
    owner.streams.hurry("nobody")
    assert owner.receivers.changes("b") == [first]
    assert owner.receivers.changes("c") == []
    second = owner.tell()
    await asyncio.sleep(limits.GATHER_S + 0.01)
    assert owner.receivers.changes("b") == owner.receivers.changes("c") == [first, second]


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
    await until(lambda: owner.receivers.changes("b"), 1.0)
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
    assert len(beats) <= 40, "twice as often at most"


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
    await until(lambda: owner.receivers.changes("b"), 1.0)
    return owner.receivers.changes("b")[-1]


async def test_a_refused_part_begins_the_stream_anew(owner: Owner) -> None:
    """Given a receiver that stood still and refuses what waited for it, then it hears everything
    from the beginning, and the other one goes on."""
    await owner.meet()
    assert [update.place for _, update in owner.receivers.heard["b"]] == [limits.FIRST]
    owner.tell()
    owner.receivers.lose["b"]()
    owner.receivers.lose["b"]()
    owner.all_seqs = [("counter/ann", 1)]
    await asyncio.sleep(1.0)
    places = [update.place for _, update in owner.receivers.heard["b"]]
    assert places.count(limits.FIRST) == 2, "once, however many parts were refused"
    assert owner.receivers.seqs("b") == [("counter/ann", 1)]
    assert [update.place for _, update in owner.receivers.heard["c"]].count(limits.FIRST) == 1


async def test_much_at_once_does_not_wait(owner: Owner) -> None:
    await owner.meet()
    for _ in range(limits.PART_CHANGES_MAX):
        owner.tell()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(owner.receivers.changes("b")) == limits.PART_CHANGES_MAX


async def test_only_the_newest_seq_is_sent_to_all(owner: Owner) -> None:
    await owner.meet()
    for seq in (1, 2, 3):
        owner.streams.publish_seq("counter/ann", seq)
    await asyncio.sleep(limits.GATHER_S + 0.01)
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
