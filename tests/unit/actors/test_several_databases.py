"""A journal in two databases of which one is away: its shards are refused, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from actors.address import Address
from actors.errors import DeadlineExceededError, JournalUnavailableError, OutcomeUnknownError
from tests.support.runtimes import Cluster, Instance, pass_time, until

LEASE_SEEN_MAX_S = 2.5
"""A lost lease is noticed at the next look, at most a second later."""


def in_part(number: int, count: int = 1, kind: str = "counter") -> list[Address]:
    """Entities whose shards are in this one of two databases."""
    found = (Address(kind, f"e{n}") for n in range(1_000))
    return [address for address in found if address.slot % 2 == number][:count]


@pytest.fixture
async def one(cluster: Cluster) -> Instance:
    return await cluster.start(databases=2)


HERE, THERE = in_part(0)[0], in_part(1)[0]


async def test_shards_of_a_database_away_are_refused_until_it_is_back(one: Instance) -> None:
    assert [await one.reply(each, ("add", 1)) for each in (HERE, THERE)] == [1, 1]
    one.databases[1].go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.reply(THERE, ("add", 1))
    for total in range(2, 50):
        assert await one.reply(HERE, ("add", 1)) == total
        with pytest.raises(JournalUnavailableError) as refused:
            await one.reply(THERE, ("add", 1))
        assert refused.value.retry_after_s > 0
        await pass_time(0.1)
    one.databases[1].come_back()
    await until(lambda: not one.runtime.shards.journal_away, 5.0)
    assert await one.reply(THERE, "get") == 1, "nothing was written, and nothing lost"
    assert await one.reply(THERE, ("add", 1)) == 2


async def test_an_instance_is_ready_as_long_as_one_database_answers(one: Instance) -> None:
    await one.reply(THERE, "get")
    one.databases[1].go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.reply(THERE, ("add", 1))
    await pass_time(5.0)
    assert one.runtime.shards.journal_away
    assert one.runtime.health.problem() is None
    one.databases[0].go_away()
    await until(lambda: "out of reach" in str(one.runtime.health.problem()))


async def test_cold_entities_are_loaded_while_the_other_database_hangs(one: Instance) -> None:
    one.databases[1].pause()
    asked = [one.ask(address, ("add", 1), timeout_s=1.0) for address in in_part(1, 50)]
    for address in in_part(0, 50):
        assert await one.reply(address, ("add", 1), timeout_s=0.1) == 1
    for answer in asked:
        with pytest.raises(DeadlineExceededError):
            await answer


async def test_a_lost_lease_is_noticed_while_the_other_database_hangs(
    cluster: Cluster, one: Instance
) -> None:
    one.databases[1].pause()
    await pass_time(5.0)
    two = cluster.new("two-1", databases=2)
    seen = cluster.store.leases[HERE.slot].epoch
    assert await two.databases[0].claim([(HERE.slot, seen)], "two", "two-1")
    await until(lambda: HERE.slot in one.runtime.shards.lost, LEASE_SEEN_MAX_S)


async def test_every_count_is_right_after_outages_of_each_database(one: Instance) -> None:
    addresses = [*in_part(0, 10), *in_part(1, 10)]
    done = dict.fromkeys(addresses, 0)
    unknown = dict.fromkeys(addresses, 0)

    async def add(address: Address) -> None:
        for _ in range(200):
            try:
                await one.ask(address, ("add", 1), timeout_s=1.0)
            except OutcomeUnknownError:
                unknown[address] += 1
            except (JournalUnavailableError, DeadlineExceededError):
                await pass_time(0.05)
            else:
                done[address] += 1
                await pass_time(0.01)

    adding = asyncio.gather(*map(add, addresses))
    for number in (1, 0, 1):
        await pass_time(0.5)
        one.databases[number].unknown_after_write(2)
        one.databases[number].go_away()
        await pass_time(0.5)
        one.databases[number].come_back()
    await adding
    await until(
        lambda: one.runtime.health.problem() is None and not one.runtime.shards.journal_away
    )
    for address in addresses:
        count = await one.reply(address, "get")
        assert done[address] <= count <= done[address] + unknown[address]


async def test_after_a_pause_only_shards_of_the_database_away_are_doubted(one: Instance) -> None:
    """Given a database that is away, when the process stood still, then what the other one has is
    told again as soon as that has said whose its shards are."""
    shards = one.runtime.shards
    await one.reply(THERE, "get")
    one.databases[1].go_away()
    with pytest.raises(OutcomeUnknownError):
        await one.reply(THERE, ("add", 1))
    shards.doubt()
    assert not shards.trustworthy
    assert shards.told() is None
    await until(lambda: shards.trusts(HERE.slot), LEASE_SEEN_MAX_S)
    assert shards.trustworthy
    assert not shards.trusts(THERE.slot)
    assert {number % 2 for number, _ in shards.told() or ()} == {HERE.slot % 2}
    one.databases[1].come_back()
    await until(lambda: shards.trusts(THERE.slot), 5.0)
    assert len(shards.told() or ()) == len(shards.epochs()) == 256
