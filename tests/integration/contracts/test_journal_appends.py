"""What is written, what is fenced, and what is found again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.journal.contract import Journal
from tests.support.journal_rows import AT_MS, address_in, batch, event, outcome, snapshot, timer

Connect = Callable[[], Awaitable[Journal]]

FIRST = bytes(16)
"""The command of the first outcome."""


async def test_an_event_comes_back_as_it_was_written(journal: Journal) -> None:
    address = address_in(3)
    row = event(
        address,
        seq=1,
        type_="Renamed",
        version=7,
        payload='{"name":"한 \\u0000 \\"x\\"","n":[1,2.50,null]}'.encode(),
        command=bytes(range(16)),
    )
    bare = event(address, seq=2)

    assert not await journal.append(0, batch(rows=[row, bare]))

    [loaded] = await journal.load([address])
    assert loaded.address == address
    assert loaded.snapshot is None
    assert list(loaded.rows) == [row, bare]


async def test_an_empty_batch_writes_nothing(journal: Journal) -> None:
    assert not await journal.append(0, batch())


async def test_rows_of_one_batch_may_belong_to_many_shards(journal: Journal) -> None:
    addresses = [address_in(shard) for shard in range(10)]

    assert not await journal.append(1, batch(rows=[event(address, 1) for address in addresses]))

    loaded = await journal.load(addresses)
    assert [[row.seq for row in entity.rows] for entity in loaded] == [[1]] * 10


async def test_a_later_append_comes_after_an_earlier_one(journal: Journal) -> None:
    first, second = address_in(4), address_in(4, 1)
    for seq in range(1, 21):
        await journal.append(0, batch(rows=[event(second if seq % 3 else first, seq)]))

    loaded = await journal.load([first, second])

    assert [row.seq for row in loaded[0].rows] == [3, 6, 9, 12, 15, 18]
    assert [row.seq for row in loaded[1].rows] == [s for s in range(1, 21) if s % 3]


async def test_nothing_of_a_fenced_shard_is_written_and_all_of_the_others(
    journal: Journal, connect: Connect
) -> None:
    lost, kept = address_in(2), address_in(5)
    other = await connect()
    await other.claim([(2, 1)], "two", "two-1")

    fenced = await journal.append(
        0,
        batch(
            rows=[event(lost, 1), event(kept, 1)],
            outcomes=[outcome(2, 21), outcome(5, 51)],
            snapshots=[snapshot(lost, 1), snapshot(kept, 1)],
            timers=[timer(lost), timer(kept)],
        ),
    )

    assert set(fenced) == {2}
    lost_entity, kept_entity = await journal.load([lost, kept])
    assert (lost_entity.snapshot, list(lost_entity.rows)) == (None, [])
    assert kept_entity.snapshot == snapshot(kept, 1)
    [kept_whole] = await journal.load([kept], whole=True)
    assert list(kept_whole.rows) == [event(kept, 1)]
    found = await journal.outcomes([(2, (21).to_bytes(16, "big")), (5, (51).to_bytes(16, "big"))])
    assert list(found.values()) == [outcome(5, 51)]
    assert await journal.armed_timers(range(256)) == [kept]


@pytest.mark.parametrize("part", ["rows", "outcomes", "snapshots", "timers", "removal"])
async def test_each_part_alone_is_fenced(journal: Journal, connect: Connect, part: str) -> None:
    address = address_in(2)
    await journal.append(0, batch(timers=[timer(address)]))
    await (await connect()).claim([(2, 1)], "two", "two-1")
    written = {
        "rows": batch(rows=[event(address, 1)]),
        "outcomes": batch(outcomes=[outcome(2, 1)]),
        "snapshots": batch(snapshots=[snapshot(address, 1)]),
        "timers": batch(timers=[timer(address_in(2, 1))]),
        "removal": batch(timers=[timer(address, armed=False)]),
    }[part]

    assert set(await journal.append(0, written)) == {2}

    [entity] = await journal.load([address])
    assert (entity.snapshot, list(entity.rows)) == (None, [])
    assert await journal.outcomes([(2, (1).to_bytes(16, "big"))]) == {}
    assert await journal.armed_timers([2]) == [address]


async def test_a_future_epoch_is_fenced_too(journal: Journal) -> None:
    assert set(await journal.append(0, batch(rows=[event(address_in(2), 1, epoch=2)]))) == {2}


async def test_a_batch_with_two_epochs_for_a_shard_writes_nothing_of_it(
    journal: Journal, connect: Connect
) -> None:
    await (await connect()).claim([(2, 1)], "one", "one-1")
    torn, whole = address_in(2), address_in(3)

    fenced = await journal.append(
        0, batch(rows=[event(torn, 1, epoch=1), event(torn, 2, epoch=2), event(whole, 1)])
    )

    assert set(fenced) == {2}
    loaded = await journal.load([torn, whole])
    assert [len(entity.rows) for entity in loaded] == [0, 1]


async def test_the_same_seq_twice_under_a_live_epoch_is_a_crash(journal: Journal) -> None:
    first, second = address_in(2), address_in(2, 1)
    await journal.append(0, batch(rows=[event(first, 1)]))

    with pytest.raises(AssertionError):
        await journal.append(0, batch(rows=[event(second, 1)]))

    loaded = await journal.load([first, second])
    assert [len(entity.rows) for entity in loaded] == [1, 0]
    assert not await journal.append(0, batch(rows=[event(second, 2)])), "the lane still works"


async def test_an_event_in_a_shard_that_is_not_its_entitys_is_a_crash(journal: Journal) -> None:
    with pytest.raises(AssertionError):
        await journal.append(0, batch(rows=[event(address_in(2), 1, shard=3)]))


async def test_two_lanes_append_at_the_same_time(journal: Journal) -> None:
    async def fill(lane: int, shard: int) -> None:
        for seq in range(1, 31):
            assert not await journal.append(lane, batch(rows=[event(address_in(shard), seq)]))

    await asyncio.gather(fill(0, 0), fill(1, 1))

    loaded = await journal.load([address_in(0), address_in(1)])
    assert [[row.seq for row in entity.rows] for entity in loaded] == [list(range(1, 31))] * 2


async def test_an_outcome_is_found_by_shard_and_command(journal: Journal) -> None:
    stored = outcome(1, 77, reply=b"\x00\xff")
    await journal.append(0, batch(outcomes=[stored, outcome(1, 78)]))

    command = stored.command
    assert await journal.outcomes([(1, command), (1, b"?" * 16)]) == {command: stored}
    assert await journal.outcomes([(2, command)]) == {}
    assert await journal.outcomes([]) == {}


async def test_the_first_outcome_of_a_command_stays(journal: Journal) -> None:
    await journal.append(0, batch(outcomes=[outcome(1, 7, reply=b"first")]))
    await journal.append(0, batch(outcomes=[outcome(1, 7, reply=b"second")]))

    [found] = (await journal.outcomes([(1, (7).to_bytes(16, "big"))])).values()
    assert found.reply == b"first"


async def test_an_outcome_outlives_two_turns_and_not_the_third(journal: Journal) -> None:
    """Segments turn once in the promised time, so two turns later the outcome is at least that
    old, also if one of the turns came at once because the journal's clock leapt ahead."""
    found = []
    for number in range(4):
        await journal.append(0, batch(outcomes=[outcome(1, number), outcome(2, number)]))
        assert await journal.turn_outcomes(0)
        found.append({shard for shard in (1, 2) if await journal.outcomes([(shard, FIRST)])})

    assert found == [{1, 2}, {1, 2}, set(), set()]
    latest = [(shard, number.to_bytes(16, "big")) for shard in (1, 2) for number in (2, 3)]
    assert len(await journal.outcomes(latest)) == 2, "those of both shards under each command"


async def test_a_command_repeated_across_turns_has_its_first_outcome(journal: Journal) -> None:
    """For as long as that is kept: two turns."""
    for number in range(3):
        again = outcome(1, 0, reply=b"%d" % number, at_ms=AT_MS + number)
        await journal.append(0, batch(outcomes=[again]))
        assert (await journal.outcomes([(1, FIRST)]))[FIRST].reply == b"0"
        await journal.turn_outcomes(0)


@pytest.mark.parametrize("off_days", [-3, 3])
async def test_segments_turn_by_the_journals_clock_alone(journal: Journal, off_days: int) -> None:
    """Given an outcome whose instance's clock is off by days, nothing ends before its day."""
    day_ms, now_ms = 24 * 3_600_000, int(await journal.now_ms() or 0)
    await journal.append(0, batch(outcomes=[outcome(1, 0, at_ms=now_ms + off_days * day_ms)]))

    assert [await journal.turn_outcomes(day_ms) for _ in range(4)] == [False] * 4

    assert await journal.outcomes([(1, FIRST)])


async def test_a_mark_is_seen_until_it_is_taken_away(journal: Journal) -> None:
    first, second, elsewhere = address_in(1), address_in(1, 1), address_in(2)
    await journal.append(0, batch(timers=[timer(first), timer(second), timer(elsewhere)]))
    await journal.append(0, batch(timers=[timer(first)]))

    assert set(await journal.armed_timers([1])) == {first, second}

    await journal.append(0, batch(timers=[timer(first, armed=False), timer(elsewhere)]))
    await journal.append(0, batch(timers=[timer(first, armed=False)]))

    assert await journal.armed_timers([1]) == [second]
    assert set(await journal.armed_timers({1, 2})) == {second, elsewhere}
    assert await journal.armed_timers([]) == []
