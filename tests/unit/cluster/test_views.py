"""Views on every instance follow the journal without a gap, whoever decides and whoever dies."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from actors.address import Address
from actors.errors import OutcomeUnknownError
from tests.support.nodes import Nodes
from tests.support.runtimes import until

TALLY = Address("counter", "tally")
PURSE = Address("bank", "purse")


async def test_decisions_show_everywhere_within_a_tenth_of_a_second(
    nodes: Nodes,
) -> None:
    a, _, _ = await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY, PURSE])
    await a.ask(TALLY, ("add", 5))
    await a.ask(PURSE, ("deposit", "one", 7))
    await nodes.views_follow([TALLY, PURSE], wait_max_s=0.1)


def owned_by(nodes: Nodes, name: str) -> bool:
    return nodes.owners().get(TALLY.slot) == name


async def test_views_follow_through_a_hand_over(nodes: Nodes) -> None:
    a, b, _ = await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    for to in (a, b, a):
        if nodes.owner(TALLY) is not to:
            await a.node.admin.move(TALLY.slot, to.name, "ops")
        await until(partial(owned_by, nodes, to.name))
        await b.ask(TALLY, ("add", 1))
        await nodes.views_follow([TALLY], wait_max_s=0.1)


async def test_the_last_word_of_a_dead_owner_is_told_by_the_next(nodes: Nodes) -> None:
    """It died before somebody heard it, who would never have missed it."""
    await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    owner = nodes.owner(TALLY)
    deaf = nodes.others(owner)[0]
    nodes.network.cut(owner.name, deaf.name)
    await owner.ask(TALLY, ("add", 5))
    await nodes.kill(owner)
    assert deaf.views.known[TALLY] == 0
    await nodes.settled()
    await nodes.views_follow([TALLY], wait_max_s=0.5)


async def test_what_was_in_doubt_and_is_true_shows_everywhere(nodes: Nodes) -> None:
    await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY, PURSE])
    for address, command in ((TALLY, ("add", 5)), (PURSE, ("deposit", "one", 7))):
        owner = nodes.owner(address)
        owner.journal.unknown_after_write()
        with pytest.raises(OutcomeUnknownError):
            await owner.ask(address, command)
        await nodes.views_follow([address], wait_max_s=2.0)


async def test_an_instance_that_was_cut_off_reads_what_it_missed(nodes: Nodes) -> None:
    a, _, _ = await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    owner = nodes.owner(TALLY)
    away = nodes.others(owner)[0]
    nodes.network.cut(owner.name, away.name)
    for _ in range(20):
        await owner.ask(TALLY, ("add", 1))
        await asyncio.sleep(0.25)
    assert away.views.known[TALLY] == 0
    nodes.network.mend(owner.name, away.name)
    await nodes.views_follow([TALLY], wait_max_s=1.0)
    assert a in nodes.alive


async def test_a_new_instance_learns_everything_from_the_journal(nodes: Nodes) -> None:
    a, _ = await nodes.start("a", "b")
    for number in range(5):
        await a.ask(Address("counter", f"e{number}"), ("add", number))
    await nodes.start("c")
    await nodes.views_follow([Address("counter", f"e{number}") for number in range(5)], 1.0)


async def test_an_owner_unaware_of_its_loss_misses_nothing(nodes: Nodes) -> None:
    """It takes itself for the owner, and overhears what the next one tells."""
    await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    last = nodes.owner(TALLY)
    other = nodes.others(last)[0]
    last.journal.pause()
    await other.node.admin.evict(last.name, "ops")
    await until(
        lambda: other.node.sharding.directory.owner(TALLY.slot).instance not in ("", last.name)
    )
    await other.ask(TALLY, ("add", 5))
    await asyncio.sleep(0.5)
    assert last.node.runtime.shards.holds(TALLY.slot)
    last.journal.resume()
    await nodes.views_follow([TALLY], wait_max_s=2.0)
    await until(lambda: last.node.replication.replicas.ready(TALLY), 1.0)


async def test_who_was_taken_for_dead_for_a_moment_is_told_again(nodes: Nodes) -> None:
    """Redis does not hear it, and its links fail one after the other."""
    await nodes.start("a", "b", "c")
    await nodes.views_follow([TALLY])
    owner = nodes.owner(TALLY)
    silent = nodes.others(owner)[0]
    silent.membership.go_away()
    await asyncio.sleep(3.0)
    for lasts_s in (3.05, 3.2, 3.35, 3.5):
        nodes.network.cut(owner.name, silent.name)
        await asyncio.sleep(lasts_s)
        nodes.network.mend(owner.name, silent.name)
        await asyncio.sleep(1.0)
    silent.membership.come_back()
    await asyncio.sleep(2.0)
    await owner.ask(TALLY, ("add", 5))
    await nodes.views_follow([TALLY], wait_max_s=2.0)
