"""Membership when Redis is away, silent, or holds something else: an error, and soon."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import pytest
from redis.asyncio import Redis

from actors.membership.contract import Member, MembershipError, MembershipRefusedError
from actors.membership.redis import CALL_TIMEOUT_S, RedisMembership
from tests.support.servers import silent_server

ANNA = Member("anna", "anna-1", "http://10.0.0.1:8080", 1_800_000_000_000)
TTL_S = 10.0
"""Longer than any of these tests waits."""


async def all_calls_fail(membership: RedisMembership) -> None:
    calls = (membership.announce(ANNA, TTL_S), membership.leave(ANNA), membership.members())
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [MembershipError] * 3, results


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere/valkey.sock"])
async def test_a_redis_that_is_not_there_is_an_error(url: str) -> None:
    membership = RedisMembership(url)
    await all_calls_fail(membership)
    await membership.close()


async def test_a_redis_that_never_answers_is_an_error_in_time() -> None:
    async with silent_server() as port:
        membership = RedisMembership(f"redis://127.0.0.1:{port}/0")
        began = time.monotonic()
        await all_calls_fail(membership)
        assert time.monotonic() - began < CALL_TIMEOUT_S + 20
        await membership.close()


async def test_a_refused_password_is_another_error_than_a_redis_away(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    membership = RedisMembership(
        urlunsplit(parts._replace(netloc=f"nobody:wrong@{parts.netloc.rpartition('@')[2]}"))
    )
    with pytest.raises(MembershipRefusedError):
        await membership.announce(ANNA, TTL_S)
    await membership.close()


async def test_a_broken_connection_is_replaced(redis_url: str) -> None:
    membership = RedisMembership(redis_url)
    await membership.announce(ANNA, TTL_S)
    async with Redis.from_url(redis_url) as redis:
        for client in await redis.client_list():
            if client["lib-name"] and client["age"] != "never":
                await redis.client_kill_filter(_id=client["id"], skipme=True)

    assert await membership.members() == [ANNA]
    await membership.close()


async def test_a_value_of_another_program_is_an_error(redis_url: str) -> None:
    membership = RedisMembership(redis_url)
    async with Redis.from_url(redis_url) as redis:
        await redis.set("booking:member:odd", "?")
    with pytest.raises(MembershipError, match="another program"):
        await membership.members()
    await membership.close()


async def test_keys_of_others_are_left_alone(redis_url: str) -> None:
    membership = RedisMembership(redis_url, "one-1")
    async with Redis.from_url(redis_url) as redis:
        for key in ("booking:one-11:member:odd", "booking:one-1:leader", "booking:\xff:member:odd"):
            await redis.set(key.encode("latin-1"), "?")
    await membership.announce(ANNA, TTL_S)
    assert await membership.members() == [ANNA]
    await membership.close()


async def test_closing_waits_for_a_call_and_refuses_later_ones(redis_url: str) -> None:
    """A connection that a call opens while the link is closed would stay open for ever."""
    membership = RedisMembership(redis_url)
    call = asyncio.create_task(membership.members())
    await asyncio.sleep(0)
    await membership.close()
    assert call.done()
    assert call.result() == []
    with pytest.raises(MembershipError, match="closed"):
        await membership.members()
