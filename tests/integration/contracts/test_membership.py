"""Who announces, who leaves, who is forgotten."""

from __future__ import annotations

from collections.abc import Callable

from actors.membership.contract import Member, Membership
from tests.support.journal_rows import until

Join = Callable[[], Membership]

ANNA = Member("anna", "anna-1", "http://10.0.0.1:8080", 1_800_000_000_000)
BERT = Member("bert", "bert-1", "http://10.0.0.2:8080", 1_800_000_000_001)
TTL_S = 10.0
"""Longer than any of these tests waits."""


async def test_nobody_is_a_member_at_first(join: Join) -> None:
    assert await join().members() == []


async def test_everybody_sees_who_announced_itself_by_name(join: Join) -> None:
    anna, bert = join(), join()
    await bert.announce(BERT, TTL_S)
    await anna.announce(ANNA, TTL_S)

    assert await anna.members() == [ANNA, BERT]
    assert await bert.members() == [ANNA, BERT]


async def test_an_announcement_takes_the_place_of_the_last_one(join: Join) -> None:
    membership = join()
    again = Member("anna", "anna-2", "http://10.0.0.9:8080", ANNA.since_ms + 5)
    await membership.announce(ANNA, TTL_S)
    await membership.announce(again, TTL_S)

    assert await membership.members() == [again]


async def test_who_leaves_is_forgotten_at_once(join: Join) -> None:
    membership = join()
    await membership.announce(ANNA, TTL_S)
    await membership.announce(BERT, TTL_S)
    await membership.leave(ANNA)
    await membership.leave(ANNA)

    assert await membership.members() == [BERT]


async def test_an_old_run_that_leaves_does_not_take_the_new_one_with_it(join: Join) -> None:
    old, new = join(), join()
    successor = Member("anna", "anna-2", ANNA.url, ANNA.since_ms + 5)
    await old.announce(ANNA, TTL_S)
    await new.announce(successor, TTL_S)
    await old.leave(ANNA)

    assert await new.members() == [successor]


async def test_who_falls_silent_is_forgotten(join: Join) -> None:
    membership = join()
    await membership.announce(ANNA, ttl_s=0.1)
    await membership.announce(BERT, ttl_s=60)

    async def only_bert() -> bool:
        return await membership.members() == [BERT]

    await until(only_bert)
