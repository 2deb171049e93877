"""States with pages: what is written of them, what is read again, and in how small pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any
from weakref import ref

from actors.address import Address
from actors.core import folding
from actors.core.context import Limits
from actors.core.folding import Leftovers
from actors.journal.contract import Batch, PageRow, Row, SnapshotRow
from tests.support.runtimes import Cluster, Instance, pass_time, until
from tests.support.toys import Crowd

HALL = Address("crowd", "hall")
SMALL = Limits(snapshot_commit_bytes=1)


async def fill(one: Instance, count: int) -> None:
    for start in range(0, count, 1_000):
        some = range(start, min(start + 1_000, count))
        await asyncio.gather(*[one.ask(HALL, ("add", f"name-{n}")) for n in some])


async def take(one: Instance) -> SnapshotRow:
    """Have a snapshot written, and wait until it is."""
    shard, store = one.runtime.shards.by_number[HALL.slot], one.journal.store
    seq = shard.seq

    def taken() -> bool:
        one.runtime.shards.entities.snapshots.want(shard.activations[HALL])
        return HALL in store.snapshots and store.snapshots[HALL].seq >= seq

    await until(taken)
    return store.snapshots[HALL]


class MostInOneTurn:
    """The most of something that happens in one turn of the event loop. Meanwhile virtual time
    stands still, because there is always something to do."""

    def __init__(self) -> None:
        self.most = self.total = self._now = 0
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def note(self, count: int = 1) -> None:
        self._now += count
        self.total += count
        self.most = max(self.most, self._now)

    def _turn(self) -> None:
        self._now = 0
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def close(self) -> None:
        self._handle.cancel()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.note()
            return function(*arguments)

        return counted


async def test_a_snapshot_has_all_pages_and_the_next_one_only_those_that_changed(
    cluster: Cluster,
) -> None:
    """Given 35 names in four pages, when one of the second page goes, then the next snapshot writes
    the second page and no other."""
    one = await cluster.start(limits=SMALL)
    await fill(one, 35)
    assert (await take(one)).pages == 4
    one.crowd.encoded.clear()
    await one.ask(HALL, ("drop", 15))
    await take(one)
    assert one.crowd.encoded == [1]


async def test_enough_event_bytes_have_a_snapshot_written(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=1_000))
    for number in range(100):
        await one.ask(HALL, ("add", f"name-{number}"))
    await until(lambda: HALL in cluster.store.snapshots)
    rows = cluster.store.events(HALL, cluster.store.snapshots[HALL].seq)
    assert sum(len(row.payload) for row in rows) <= 2_000


async def test_however_large_the_last_snapshot_was_the_tail_is_bounded(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(snapshot_bytes_min=10, tail_bytes_max=500))
    await fill(one, 1_000)
    await take(one)
    for number in range(100):
        await one.ask(HALL, ("add", f"name-{number}"))
    await pass_time(1.0)
    rows = cluster.store.events(HALL, cluster.store.snapshots[HALL].seq)
    assert sum(len(row.payload) for row in rows) <= 600


async def test_the_next_owner_has_the_pages_and_what_came_after_them(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 35)
    await take(one)
    two = await cluster.start("two-1")
    assert await two.reply(HALL, "get") == 35
    assert two.crowd.decoded == [0, 1, 2, 3]
    [(_, state)] = [load for load in two.views.loads if load[0] == HALL]
    assert state == (35, {n: state[1][n] for n in range(4)})


async def test_the_next_owner_writes_only_what_changes_with_it(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 35)
    await take(one)
    await cluster.stop(one)
    two = await cluster.start("two-1", limits=SMALL)
    await two.ask(HALL, ("drop", 12))
    await take(two)
    assert two.crowd.encoded == [1]


async def test_a_page_that_is_gone_is_not_read_any_more(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 25)
    await take(one)
    await asyncio.gather(*[one.ask(HALL, ("drop", number)) for number in range(10, 20)])
    assert (await take(one)).pages == 2
    await cluster.stop(one)
    two = await cluster.start("two-1")
    assert await two.reply(HALL, "get") == 15
    assert two.crowd.decoded == [0, 2]


async def test_a_snapshot_that_was_not_finished_is_as_if_it_had_not_been_begun(
    cluster: Cluster,
) -> None:
    """Given a snapshot and pages of a later one without its head, as an owner leaves them that is
    killed, then the next owner has the first snapshot and its events, and its own is whole."""
    one = await cluster.start(limits=SMALL)
    await fill(one, 25)
    first = await take(one)
    await one.ask(HALL, ("drop", 3))
    await take(one)
    await cluster.stop(one)
    cluster.store.snapshots[HALL] = first
    two = await cluster.start("two-1", limits=SMALL)
    assert await two.reply(HALL, "get") == 24
    await two.ask(HALL, ("drop", 14))
    await take(two)
    await cluster.stop(two)
    three = await cluster.start("three-1")
    assert await three.reply(HALL, "get") == 23


async def test_pages_that_are_replaced_while_they_are_read_are_read_again(
    cluster: Cluster,
) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 25)
    await take(one)
    two = await cluster.start("two-1", shards=())
    read, asked = two.journal.pages, list[int]()

    async def replaced(snapshot: SnapshotRow, after: int) -> list[PageRow]:
        asked.append(snapshot.seq)
        if len(asked) == 1:
            await one.ask(HALL, ("drop", 3))
            await take(one)
            await one.journal.drop_pages(HALL, 26)
        return await read(snapshot, after)

    two.journal.pages = replaced  # type: ignore[method-assign]  # a hook
    warm = await two.runtime.shards.preload([HALL])
    assert sum(map(len, warm[HALL].state[1].values())) == 24
    assert set(asked) == {25, 26}


async def test_pages_of_an_older_shape_are_left_aside_with_their_snapshot(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 25)
    await take(one)
    two = cluster.new("two-1")
    two.crowd.pages_readable = False
    await two.runtime.start()
    assert await two.reply(HALL, "get") == 25


async def test_a_long_past_is_folded_in_small_slices(cluster: Cluster) -> None:
    """Given 20,000 events without a snapshot, when their entity is loaded, then no turn of the
    event loop folds more than a slice of them, and none asks for more than an answer may hold."""
    payload = b'["added",1,"' + b"x" * 200 + b'"]'
    rows = [Row(HALL.slot, s, 1, HALL, "added", 1, payload, 0) for s in range(1, 20_001)]
    one = await cluster.start()
    assert not cluster.store.write(Batch(rows, incarnation="one-1"))
    await cluster.stop(one)
    two = await cluster.start("two-1")
    most = MostInOneTurn()
    two.crowd.evolve = most.around(two.crowd.evolve)  # type: ignore[method-assign]  # counts
    answer = two.ask(HALL, "get")
    await answer
    most.close()
    assert most.total == 20_000
    assert most.most <= folding.SLICE_BYTES / folding.EVENT_BYTES_MIN


async def test_small_entities_do_not_wait_for_a_large_one(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    await fill(one, 2_000)
    await take(one)
    await cluster.stop(one)
    two = await cluster.start("two-1")
    two.journal.latency_s = 0.1
    large = two.ask(HALL, "get")
    small = [two.ask(Address("counter", f"c{n}"), "get") for n in range(1_000)]
    await asyncio.gather(*small)
    assert not large.done()
    assert (await large).reply == 2_000


async def test_a_snapshot_is_written_in_small_commits_between_those_of_callers(
    cluster: Cluster,
) -> None:
    """Given a snapshot of 100 pages under way, when callers come meanwhile, then they are answered
    before it is done, and no turn of the event loop encodes more than one commit of it."""
    one = await cluster.start(limits=SMALL)
    await fill(one, 1_000)
    most = MostInOneTurn()
    one.crowd.encode_page = most.around(one.crowd.encode_page)  # type: ignore[method-assign]  # counts
    writing = asyncio.ensure_future(take(one))
    for _ in range(10):
        await one.ask(HALL, ("add", "late"))
    assert HALL not in cluster.store.snapshots
    while HALL not in cluster.store.snapshots:  # noqa: ASYNC110 - time stands still here
        await asyncio.sleep(0)
    most.close()
    assert (await writing).seq <= 1_001
    assert most.most == 1


async def test_replaced_pages_stay_for_a_while_and_go_then(cluster: Cluster) -> None:
    one = await cluster.start(limits=SMALL)
    kept = []
    for name in "abcdefg":
        await one.ask(HALL, ("add", name))
        await take(one)
        kept.append(len(cluster.store.pages[HALL]))
        await pass_time(20.0)
    assert kept == [1, 2, 3, 3, 3, 3, 3]


async def test_a_large_state_is_forgotten_piece_by_piece() -> None:
    class Piece:
        alive = 0

        def __init__(self) -> None:
            Piece.alive += 1

        def __del__(self) -> None:
            Piece.alive -= 1

    pieces: Sequence[Piece] = [Piece() for _ in range(10)]
    leftovers = Leftovers()
    leftovers.add(pieces)
    pieces = []
    seen = [Piece.alive]
    while Piece.alive:
        await asyncio.sleep(folding.DROP_AGAIN_S / 2)
        seen.append(Piece.alive)
    assert all(before - after <= 1 for before, after in pairwise(seen))
    assert 10 <= len(seen) <= 25


async def test_what_leaves_memory_is_forgotten_that_way(cluster: Cluster) -> None:
    one = await cluster.start(limits=Limits(entities_max=1))
    forgotten: list[Any] = []
    one.crowd.pieces = lambda state: forgotten.append(state) or ()  # type: ignore[method-assign, func-returns-value]  # a witness
    await fill(one, 3)
    for number in range(5):
        await one.ask(Address("counter", f"c{number}"), "get")
    await until(lambda: forgotten)
    assert forgotten[0][0] == 3
    assert Crowd.page_size == 10


async def test_nobody_keeps_the_state_of_a_shard_that_is_gone(cluster: Cluster) -> None:
    """It would be freed as a whole by whatever happens to come next in its lane."""

    class Pages(dict[int, Any]):
        """One that can be referred to weakly."""

    one, states = await cluster.start(), list[ref[Pages]]()
    evolve = one.crowd.evolve

    def noted(state: Any, event: Any) -> Any:
        last, pages = evolve(state, event)
        pages = Pages(pages)
        states.append(ref(pages))
        return last, pages

    one.crowd.evolve = noted  # type: ignore[method-assign]  # a witness
    await fill(one, 15)
    assert await one.runtime.shards.release(HALL.slot, 0.2)
    await pass_time(1.0)
    for told in (one.views.told, one.views.loads, one.views.all):
        told.clear()
    assert [state() for state in states] == [None] * 15


class Laid(Crowd):
    """What it reads and takes in leads to work of three pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.bases: list[Any] = []
        self.worked: list[int] = []

    def groundwork(self, basis: Any) -> Iterator[None] | None:
        self.bases.append(basis)
        return map(self.worked.append, range(3))

    def evolve(self, state: Any, event: Any) -> Any:
        assert not self.worked or self.worked[-3:] == [0, 1, 2]
        return super().evolve(state, event)


async def test_the_work_before_an_event_or_a_state_is_done_piece_by_piece(
    cluster: Cluster,
) -> None:
    """Given a snapshot and an event behind it, when the entity is read, then the work of each is
    done before it is used, and everybody else has the event loop after each piece."""
    one = await cluster.start(limits=SMALL)
    await fill(one, 35)
    await take(one)
    await one.ask(HALL, ("drop", 15))
    laid, turns = Laid(), MostInOneTurn()
    laid.worked = Noted(turns)
    [loaded] = await one.journal.load([HALL])
    folded = await folding.Folding(one.journal).fold(laid, loaded)
    turns.close()
    assert [laid.bases[0][0], *laid.bases[1:]] == [35, ("dropped", 15)]
    assert laid.worked == [0, 1, 2] * 2
    assert turns.most == 1
    assert folded.state == one.runtime.shards.by_number[HALL.slot].activations[HALL].state


class Noted(list[int]):
    """Notes when something is appended."""

    def __init__(self, turns: MostInOneTurn) -> None:
        super().__init__()
        self._turns = turns

    def append(self, number: int) -> None:
        self._turns.note()
        super().append(number)
