"""Random commits, takeovers, crashes and rewinds: no event is left out, and none is done twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from actors.consumers.contract import Event
from actors.journal.contract import JournalError
from tests.support.consumers import Following, until

SHARDS = (1, 2, 3, 4, 5)
OWNERS = ("one", "two", "three")


class _Crashing:
    """Effects in the transaction, and outside of it; at random it raises before or after them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.outside: defaultdict[int, list[int]] = defaultdict(list)
        self.calm = False

    async def handle(self, events: Sequence[Event], connection: Any) -> None:
        for each in events:
            self._perhaps()
            connection.append((each.shard, each.seq))
            self.outside[each.shard].append(each.seq)
            if self._random.random() < 0.2:
                await asyncio.sleep(self._random.random() / 10)
        self._perhaps()

    def _perhaps(self) -> None:
        if not self.calm and self._random.random() < 0.02:
            raise self._random.choice([JournalError, ConnectionError, KeyError])("at random")


@pytest.mark.parametrize("seed", range(25))
async def test_no_event_is_left_out_and_none_is_done_twice(following: Following, seed: int) -> None:
    """Given a history of commits, of owners that come, go, stand still and die in the middle of a
    call, and of calls that fail, when it has come to rest, then each event was done once in the
    transaction, in order, and at least once outside of it."""
    random = Random(seed)
    crashing = _Crashing(random)
    runners = {owner: following.runner(owner, crashing.handle) for owner in OWNERS}
    tasks = {owner: following.start(runner) for owner, runner in runners.items()}
    following.claim("one", *SHARDS)
    for _ in range(120):
        chance, shard, owner = random.random(), random.choice(SHARDS), random.choice(OWNERS)
        following.told = random.random() < 0.7
        if chance < 0.6:
            following.commit(shard, random.randint(1, 8))
        elif chance < 0.85:
            following.claim(owner, shard, notice=random.random() < 0.5)
        else:  # It is killed, and the next run of the same name begins with nothing.
            tasks[owner].cancel()
            runners[owner] = following.runner(owner, crashing.handle)
            tasks[owner] = following.start(runners[owner])
        if random.random() < 0.5:
            runners[owner].wake.set()
        await asyncio.sleep(random.random() / 5)

    crashing.calm = True
    following.claim("one", *SHARDS)
    await following.effects.pause(False)  # A bad series of failures may have looked like poison.
    runners["one"].refresh()
    ends = {shard: len(following.store.rows[shard]) for shard in SHARDS}
    await until(lambda: len(following.effects.done) >= sum(ends.values()), 600)

    assert following.effects.by_shard() == {n: [*range(1, end + 1)] for n, end in ends.items()}
    assert {n: set(seqs) for n, seqs in crashing.outside.items()} == {
        n: set(range(1, end + 1)) for n, end in ends.items()
    }


@pytest.mark.parametrize("seed", range(10))
async def test_after_every_rewind_each_event_follows_the_one_before(
    following: Following, seed: int
) -> None:
    """Given operators who rewind at random while events come, when it has come to rest, then in
    every shard each event came behind the one before it, or began again after a rewind."""
    random = Random(seed)
    runner = following.runner()
    following.start(runner)
    following.claim("one", *SHARDS)
    rewinds: defaultdict[int, list[int]] = defaultdict(list)
    for _ in range(40):
        following.commit(random.choice(SHARDS), random.randint(1, 8))
        if random.random() < 0.3:
            to, shard = random.randint(0, 6), random.choice(SHARDS)
            for offset in await following.effects.rewind(to, {shard}):
                rewinds[offset.shard].append(to)
            runner.refresh()
        await asyncio.sleep(random.random() / 5)

    def at_rest() -> bool:
        offsets = following.effects.offsets
        return all(offsets[n].seq == len(following.store.rows[n]) for n in SHARDS)

    await until(at_rest)
    for shard, seqs in following.effects.by_shard().items():
        backs = [
            seq - 1 for before, seq in zip([0, *seqs], seqs, strict=False) if seq != before + 1
        ]
        wanted = iter(rewinds[shard])
        assert all(back in wanted for back in backs), (seqs, rewinds[shard])
        assert set(seqs) == set(range(1, len(following.store.rows[shard]) + 1))
