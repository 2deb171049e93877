"""Who owns what, as far as one has heard: the higher epoch wins, and those who wait are woken."""

from __future__ import annotations

import asyncio

import pytest

from actors.cluster.directory import UNOWNED, ShardDirectory
from tests.support.virtual_time import VirtualClock


@pytest.fixture
def directory() -> ShardDirectory:
    return ShardDirectory()


async def test_at_first_nobody_is_known(directory: ShardDirectory) -> None:
    assert directory.owner(7) == UNOWNED
    assert directory.unconfirmed_s(7, 1e9) == float("inf")


async def test_the_higher_epoch_wins_in_whatever_order_it_is_heard(
    directory: ShardDirectory,
) -> None:
    assert directory.learn(7, "a", 3)
    assert not directory.learn(7, "b", 2)
    assert not directory.learn(7, "b", 3)
    assert directory.owner(7).instance == "a"
    assert directory.learn(7, "b", 4, "b@1")
    assert (directory.owner(7).instance, directory.owner(7).incarnation) == ("b", "b@1")
    assert not directory.learn(7, "", 9), "who knows no owner has nothing to say"
    assert directory.owner(8) == UNOWNED


async def test_the_run_may_be_learned_later_than_the_epoch(directory: ShardDirectory) -> None:
    directory.learn(7, "a", 3)
    assert not directory.learn(7, "a", 3, "a@1")
    assert directory.owner(7).incarnation == "a@1"


async def test_an_owners_word_counts_from_when_it_was_said(directory: ShardDirectory) -> None:
    directory.learn(7, "a", 3)
    directory.confirm(7, 3, 10.0)
    assert directory.unconfirmed_s(7, 11.5) == 1.5
    directory.confirm(7, 2, 99.0)
    assert directory.unconfirmed_s(7, 11.5) == 1.5, "that was an owner of the past"


async def test_news_wake_everybody_who_waits_for_that_shard(directory: ShardDirectory) -> None:
    clock = VirtualClock()
    waiting = [asyncio.ensure_future(directory.changed(7, 5.0)) for _ in range(3)]
    other = asyncio.ensure_future(directory.changed(8, 5.0))
    await asyncio.sleep(1.0)
    directory.learn(7, "a", 1)
    await asyncio.gather(*waiting)
    assert clock.monotonic() == 1.0
    assert not other.done()
    await other
    assert clock.monotonic() == 5.0


async def test_who_gives_up_waiting_leaves_the_others_waiting(directory: ShardDirectory) -> None:
    patient = asyncio.ensure_future(directory.changed(7, 5.0))
    hasty = asyncio.ensure_future(directory.changed(7, 5.0))
    await asyncio.sleep(0.5)
    hasty.cancel()
    await asyncio.sleep(0.5)
    assert not patient.done()
    directory.confirm(7, 0, 1.0)
    await patient
