"""All consumers of an instance: what wakes them, and what is seen of them."""

from __future__ import annotations

import pytest

from actors.consumers.contract import Consumer, Offset
from actors.consumers.operations import Consumers, UnknownConsumerError
from actors.journal.contract import JournalError
from actors.subscription import Change
from tests.support.consumers import Following, note, until
from tests.support.journal_rows import address_in
from tests.support.twins.offsets import MemoryOffsets


class _Away(MemoryOffsets):
    async def all(self) -> list[Offset]:
        raise JournalError("away")


def consumers(following: Following, *offsets: MemoryOffsets) -> Consumers:
    runners = [following.runner(offsets=each) for each in offsets or (following.effects,)]
    return Consumers(runners, following.reader())


async def test_a_commit_wakes_all_of_them(following: Following) -> None:
    both = consumers(following, MemoryOffsets([]), MemoryOffsets([]))
    both.committed(Change(address_in(1), None))
    assert [runner.wake.is_set() for runner in both.runners] == [True, True]


async def test_a_shard_that_lost_its_past_is_looked_at_again(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    one = consumers(following)
    [runner] = one.runners
    following.start(runner)
    await until(lambda: len(following.effects.done) == 3)
    following.store.forget(1, 1)
    following.claim("one", 1)
    following.commit(1, 3)
    one.past_lost(1)
    await until(lambda: runner.stopped == 1)
    [view] = await one.views()
    assert (view.state, view.stopped[0].seq, view.stopped[0].poison_seq) == ("stopped", 3, 0)


async def test_the_lowest_offset_of_all_is_what_may_be_archived(following: Following) -> None:
    """Given two consumers of which one is behind in one shard and has never seen another, then
    no more may go than both are done with."""
    ahead, behind = MemoryOffsets(), MemoryOffsets()
    await ahead.open({1: 9, 2: 4, 3: 5})
    await behind.open({1: 3, 2: 7})
    lowest = await consumers(following, ahead, behind).lowest()
    assert {n: seq for n, seq in lowest.items() if seq} == {1: 3, 2: 4}
    assert len(lowest) == 256


async def test_a_consumer_of_another_process_is_shown_and_steered(following: Following) -> None:
    """Given one that runs elsewhere, then its place is told, it is paused by its name, and nothing
    that it has not done may be archived."""
    following.claim("one", 1)
    following.commit(1, 5)
    relay = MemoryOffsets()
    await relay.open({1: 2})
    both = Consumers([], following.reader(), elsewhere={"relay": relay})
    [view] = await both.views()
    assert (view.name, view.state, view.behind) == ("relay", "running", 3)
    assert (await both.lowest())[1] == 2
    await both.pause("relay")
    assert [one.state for one in await both.views()] == ["paused"]
    assert relay.offsets[1].paused


async def test_one_whose_database_is_away_hides_no_other(following: Following) -> None:
    following.claim("one", 1)
    following.commit(1, 3)
    views = await consumers(following, _Away(), MemoryOffsets()).views()
    assert [(view.state, view.behind) for view in views] == [("away", 0), ("running", 3)]


async def test_nobody_can_be_steered_who_is_not_there(following: Following) -> None:
    one = consumers(following)
    with pytest.raises(UnknownConsumerError):
        await one.pause("nobody")


@pytest.mark.parametrize("name", ["", "a/b", "two words", "-x", "x" * 64])
def test_a_name_fits_into_a_path_and_a_label(name: str) -> None:
    with pytest.raises(ValueError, match="a consumer's name"):
        Consumer(name=name, handle=note)
