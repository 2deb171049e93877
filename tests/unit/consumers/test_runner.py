"""What a consumer is given, and what becomes of it when something fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from actors.consumers.contract import Event
from actors.journal.contract import JournalError, Row
from actors.journal.memory import MemoryJournal
from tests.support.consumers import Following, decoded, note, until
from tests.support.journal_rows import address_in


class _Away(MemoryJournal):
    """Cannot be read until it can."""

    away = True

    async def read(self, after: Any, limit: int) -> list[Row]:
        if self.away:
            raise JournalError("away")
        return await super().read(after, limit)


async def test_every_event_is_told_once_and_in_order(following: Following) -> None:
    """Given events of two shards, and more that are committed later, when a consumer runs, then it
    has each of them once, in order for each shard."""
    following.claim("one", 1, 2)
    following.commit(1, 5)
    following.commit(2, 1)
    runner = following.runner()
    following.start(runner)
    await until(lambda: len(following.effects.done) == 6)
    following.commit(2, 3)
    runner.wake.set()
    await until(lambda: len(following.effects.done) == 9)

    assert following.effects.by_shard() == {1: [1, 2, 3, 4, 5], 2: [1, 2, 3, 4]}
    assert (runner.behind, runner.events) == (0, 9)


async def test_an_event_is_given_as_the_journal_and_its_codec_have_it(following: Following) -> None:
    given: list[Event] = []

    async def keep(events: Sequence[Event], connection: Any) -> None:
        given.extend(events)

    following.claim("one", 4)
    following.commit(4, type_="Paid", command=b"k" * 16)
    following.start(following.runner(handle=keep))
    await until(lambda: bool(given))

    [row] = following.store.rows[4]
    assert given == [Event(4, 1, address_in(4), row.at_ms, "Paid", decoded(row), b"k" * 16)]


async def test_one_that_is_idle_is_woken_by_a_commit_at_once(following: Following) -> None:
    following.claim("one", 1)
    runner = following.runner()
    following.start(runner)
    await asyncio.sleep(10)
    loop = asyncio.get_running_loop()
    following.commit(1)
    runner.wake.set()
    began = loop.time()
    await until(lambda: bool(following.effects.done))
    assert loop.time() - began < 0.25  # Virtual: it is the pauses that count, not the machine.


async def test_only_the_kinds_that_are_wanted_are_told_and_the_others_passed(
    following: Following,
) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    runner = following.runner(kinds={"nothing"})
    following.start(runner)
    await until(lambda: runner.events == 3)
    assert following.effects.done == []
    assert following.effects.offsets[1].seq == 3


async def test_one_that_starts_at_the_end_is_told_only_what_comes(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    runner = following.runner(start="end")
    following.start(runner)
    await until(lambda: 1 in following.effects.offsets)
    following.commit(1)
    await until(lambda: bool(following.effects.done))
    assert following.effects.done == [(1, 4)]


async def test_another_run_goes_on_where_the_last_one_was(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    task = following.start(following.runner())
    await until(lambda: len(following.effects.done) == 3)
    task.cancel()
    following.claim("two", 1)
    following.commit(1, 2)
    following.start(following.runner("two"))
    await until(lambda: len(following.effects.done) == 5)
    assert following.effects.by_shard() == {1: [1, 2, 3, 4, 5]}


async def test_a_stale_owner_changes_nothing(following: Following) -> None:
    """Given an owner that stands still with events in hand, when another takes the shard over,
    handles them, and the first goes on, then its transaction is not made."""
    stands, goes_on = asyncio.Event(), asyncio.Event()

    class Slow(MemoryJournal):
        async def read(self, after: Any, limit: int) -> list[Row]:
            rows = await super().read(after, limit)
            if rows:
                stands.set()
                await goes_on.wait()
            return rows

    following.claim("one", 1)
    following.commit(1, 3)
    stale = following.runner("one", journal=Slow(following.store))
    following.start(stale)
    await stands.wait()
    following.claim("two", 1, notice=False)
    following.start(following.runner("two"))
    await until(lambda: len(following.effects.done) == 3)
    goes_on.set()
    await asyncio.sleep(5)
    assert following.effects.by_shard() == {1: [1, 2, 3]}
    assert stale.events == 0


# -- trouble ---------------------------------------------------------------------------------------


def _refusing(poison: set[tuple[int, int]], error: type[Exception] = ValueError) -> Any:
    async def handle(events: Sequence[Event], connection: Any) -> None:
        if any((each.shard, each.seq) in poison for each in events):
            raise error("what people sent")
        await note(events, connection)

    return handle


async def test_a_poison_event_stops_only_its_shard(following: Following) -> None:
    """Given one event of many that a consumer cannot take, when it runs, then all other shards go
    on, and its own up to the event before it; what is told of it has no words of the event."""
    following.claim("one", 1, 2, 3)
    for shard in (1, 2, 3):
        following.commit(shard, 40)
    runner = following.runner(handle=_refusing({(2, 17)}))
    following.start(runner)
    await until(lambda: runner.stopped == 1)
    following.commit(1, 5)
    await until(lambda: len(following.effects.done) == 45 + 16 + 40)

    every = following.effects.by_shard()
    assert every == {1: [*range(1, 46)], 2: [*range(1, 17)], 3: [*range(1, 41)]}
    offset = following.effects.offsets[2]
    assert (offset.seq, offset.poison_seq) == (16, 17)
    assert offset.trouble.startswith("ValueError at ")
    assert "what people sent" not in offset.trouble


async def test_a_skipped_event_is_left_out_and_remembered(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 4)
    runner = following.runner(handle=_refusing({(1, 2)}))
    following.start(runner)
    await until(lambda: runner.stopped == 1)
    assert await following.effects.skip(1, "its user is gone", "ann") is not None
    runner.refresh()
    await until(lambda: len(following.effects.done) == 3)

    assert following.effects.by_shard() == {1: [1, 3, 4]}
    [skip] = following.effects.offsets[1].skipped
    assert (skip.seq, skip.reason, skip.who) == (2, "its user is gone", "ann")
    assert await following.effects.skip(1, "again", "ann") is None


async def test_an_event_that_cannot_be_decoded_is_poison(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    runner = following.runner()

    def decode(row: Row) -> str:
        if row.seq == 3:
            raise ValueError("of a later version")
        return decoded(row)

    runner._reader._decode = decode
    following.start(runner)
    await until(lambda: runner.stopped == 1)
    assert following.effects.by_shard() == {1: [1, 2]}
    assert following.effects.offsets[1].poison_seq == 3


async def test_a_function_that_hangs_is_ended_and_its_event_is_poison(following: Following) -> None:
    async def hang(events: Sequence[Event], connection: Any) -> None:
        if any(each.shard == 2 for each in events):
            await asyncio.sleep(1_000_000)
        await note(events, connection)

    following.claim("one", 1, 2)
    following.commit(1, 2)
    following.commit(2, 2)
    runner = following.runner(handle=hang)
    following.start(runner)
    await until(lambda: runner.stopped == 1 and len(following.effects.done) == 2, 3600)
    assert following.effects.by_shard() == {1: [1, 2]}
    assert following.effects.offsets[2].trouble.startswith("HungError")


@pytest.mark.parametrize("error", [ConnectionError, JournalError])
async def test_what_passes_by_itself_is_waited_out(
    following: Following, error: type[Exception]
) -> None:
    """Given a mail server that is down for an hour, when it is back, then every event is handled,
    and none was held to be poison."""
    poison = {(1, 2)}
    following.claim("one", 1)
    following.commit(1, 3)
    runner = following.runner(handle=_refusing(poison, error))
    following.start(runner)
    await asyncio.sleep(3600)
    assert runner.failures > 100
    assert following.effects.by_shard().get(1, []) == []
    poison.clear()
    await until(lambda: len(following.effects.done) == 3)
    assert runner.stopped == 0


async def test_a_journal_that_cannot_be_read_is_waited_for(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    journal = _Away(following.store)
    runner = following.runner(journal=journal)
    following.start(runner)
    await asyncio.sleep(60)
    assert runner.behind_s >= 0
    journal.away = False
    await until(lambda: len(following.effects.done) == 3)


# -- operators, and a journal that is another ------------------------------------------------------


async def test_one_that_is_paused_does_nothing_until_it_is_resumed(following: Following) -> None:
    following.claim("one", 1, 2)
    following.commit(1)
    runner = following.runner()
    following.start(runner)
    await until(lambda: len(following.effects.done) == 1)
    await following.effects.pause(True)
    runner.refresh()
    following.commit(1)
    await asyncio.sleep(100)
    assert len(following.effects.done) == 1
    assert runner.behind == 1
    assert runner.behind_s == 0  # Nobody waits for it.
    await following.effects.pause(False)
    await until(lambda: len(following.effects.done) == 2)  # Also without being told.


async def test_one_that_is_rewound_takes_everything_again(following: Following) -> None:
    following.claim("one", 1, 2)
    for shard in (1, 2):
        following.commit(shard, 3)
    runner = following.runner()
    following.start(runner)
    await until(lambda: len(following.effects.done) == 6)
    moved = await following.effects.rewind(1, {1, 5})
    assert [offset.shard for offset in moved] == [1]
    runner.refresh()
    await until(lambda: len(following.effects.done) == 8)
    assert following.effects.by_shard() == {1: [1, 2, 3, 2, 3], 2: [1, 2, 3]}


async def test_a_journal_that_lost_what_was_done_stops_the_shard(following: Following) -> None:
    """Given a fail-over that lost two events which a consumer is done with, and others that took
    their place, when the consumer looks again, then it says so, and leaves nothing out."""
    following.claim("one", 1)
    following.commit(1, 5)
    runner = following.runner()
    following.start(runner)
    await until(lambda: len(following.effects.done) == 5)
    following.store.forget(1, 3)
    following.claim("one", 1)
    following.commit(1, 4)
    runner.refresh((1,))
    await until(lambda: runner.stopped == 1)
    assert "event 5 of epoch 1" in following.effects.offsets[1].trouble
    assert following.effects.offsets[1].poison_seq == 0
    assert await following.effects.skip(1, "", "") is None
    assert len(following.effects.done) == 5


async def test_events_that_are_gone_from_the_journal_stop_the_shard(following: Following) -> None:
    class Archived(MemoryJournal):
        async def read(self, after: Any, limit: int) -> list[Row]:
            return [row for row in await super().read(after, limit) if row.seq > 2]

    following.claim("one", 1)
    following.commit(1, 5)
    runner = following.runner(journal=Archived(following.store))
    following.start(runner)
    await until(lambda: runner.stopped == 1)
    assert following.effects.offsets[1].trouble == (
        "events 1 to 2 are archived: they have to be put back"
    )
