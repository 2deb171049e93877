"""One holder at a time, until it resigns or falls silent: the twin and the real thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from actors.clock import SystemClock
from actors.election.contract import KEY_TTL_S, Election, ElectionError
from actors.election.redis import CALL_TIMEOUT_S, RedisElection
from tests.support.journal_rows import until
from tests.support.servers import silent_server
from tests.support.twins.election import MemoryElection, MemoryElectionStore

Stand = Callable[..., Election]


@pytest.fixture(params=["memory", "redis"])
def election_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    return url


@pytest.fixture
async def stand(election_url: str) -> AsyncIterator[Stand]:
    """Connects candidates to one election."""
    url = election_url
    stood: list[Election] = []
    ballot = MemoryElectionStore(SystemClock())

    def stand_one(ttl_s: float = KEY_TTL_S) -> Election:
        election: Election
        election = RedisElection(url, ttl_s=ttl_s) if url else MemoryElection(ballot, ttl_s)
        stood.append(election)
        return election

    yield stand_one
    for election in stood:
        await election.close()


async def test_nobody_leads_at_first(stand: Stand) -> None:
    assert await stand().leader() is None


async def test_the_first_gets_it_the_second_does_not_and_everybody_sees_who(stand: Stand) -> None:
    anna, bert = stand(), stand()
    assert await anna.campaign("anna-1")
    assert not await bert.campaign("bert-1")
    assert await bert.leader() == "anna-1"
    assert await anna.campaign("anna-1"), "renewed"
    assert not await anna.campaign("anna-2"), "another run of the same instance is another"


async def test_of_many_at_once_one_is_granted(stand: Stand) -> None:
    candidates = [stand() for _ in range(8)]
    granted = await asyncio.gather(*(one.campaign(f"i-{n}") for n, one in enumerate(candidates)))
    assert granted.count(True) == 1
    assert await candidates[0].leader() == f"i-{granted.index(True)}"


async def test_who_resigns_makes_room_at_once_and_only_for_itself(stand: Stand) -> None:
    anna, bert = stand(), stand()
    await anna.campaign("anna-1")
    await bert.resign("bert-1")
    assert await anna.leader() == "anna-1"
    await anna.resign("anna-1")
    await anna.resign("anna-1")
    assert await anna.leader() is None
    assert await bert.campaign("bert-1")


async def test_who_falls_silent_is_followed(stand: Stand) -> None:
    anna, bert = stand(ttl_s=0.1), stand()
    assert anna.ttl_s == 0.1
    await anna.campaign("anna-1")

    async def bert_is_granted() -> bool:
        return await bert.campaign("bert-1")

    await until(bert_is_granted)
    assert not await anna.campaign("anna-1")


async def test_a_renewal_begins_the_time_anew(stand: Stand) -> None:
    short, long = stand(ttl_s=0.1), stand(ttl_s=60)
    await short.campaign("anna-1")
    await long.campaign("anna-1")
    began = time.monotonic()

    async def short_is_over() -> bool:
        return time.monotonic() > began + 0.15

    await until(short_is_over)
    assert await short.leader() == "anna-1"


# -- Redis alone -------------------------------------------------------------------------------


async def all_calls_fail(election: Election) -> None:
    calls = (election.campaign("anna-1"), election.resign("anna-1"), election.leader())
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ElectionError] * 3, results


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/valkey.sock"])
async def test_a_redis_that_is_not_there_is_an_error(url: str) -> None:
    election = RedisElection(url)
    await all_calls_fail(election)
    await election.close()


async def test_a_redis_that_never_answers_is_an_error_in_time() -> None:
    async with silent_server() as port:
        election = RedisElection(f"redis://127.0.0.1:{port}/0")
        began = time.monotonic()
        with pytest.raises(ElectionError):
            await election.campaign("anna-1")
        assert time.monotonic() - began < CALL_TIMEOUT_S + 20
        await election.close()


async def test_a_key_of_another_kind_is_an_error(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.rpush("booking:leader", "?")
    election = RedisElection(redis_url)
    await all_calls_fail(election)
    await election.close()


async def test_a_grant_ends_by_redis_own_clock(redis_url: str) -> None:
    election = RedisElection(redis_url)
    await election.campaign("anna-1")
    async with Redis.from_url(redis_url) as redis:
        assert 5_000 < await redis.pttl("booking:leader") <= 6_000
    await election.close()
