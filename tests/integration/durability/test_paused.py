"""A process that stands still for a moment, on a busy machine or a paused virtual one, refuses
nobody for it: those who ask meanwhile wait until it has asked the journal whose the shards are."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.api_client import Api, Reply
from tests.support.served import Served, served

USERS = 200
PAUSED_S = 1.5
"""Longer than ``actors.clock.JUMP_S``, from which on somebody else may own the shards."""
SENT_S = 0.3
"""For requests to lie in the sockets of a process that stands still."""


async def paused(instance: Served, asked: Sequence[asyncio.Task[Reply]]) -> list[Reply]:
    """The answers of what was asked while the process stood still."""
    await asyncio.sleep(SENT_S)
    instance.thaw()
    return await asyncio.gather(*asked)


def tallied(replies: Sequence[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)


async def test_users_who_race_for_a_seat_while_it_stands_still_are_answered(
    stocked_database_url: str, redis_url: str, tmp_path: Path, seats: list[str]
) -> None:
    """given 200 users who want one seat, when the process stops for 1.5 s in the middle, then one
    of them gets it, and 199 are told that it is taken."""
    with served(stocked_database_url, redis_url, tmp_path) as instance:
        await instance.start()
        async with Api(instance.url) as api:
            entered = await asyncio.gather(*(api.enter() for _ in range(USERS)))
            tokens = [token for _, token in entered]
            seat = seats[0]
            race = [asyncio.create_task(api.reserve(token, seat)) for token in tokens[: USERS // 2]]
            await asyncio.sleep(0)
            instance.freeze()
            race += [asyncio.create_task(api.reserve(t, seat)) for t in tokens[USERS // 2 :]]
            await asyncio.sleep(PAUSED_S - SENT_S)
            replies = await paused(instance, race)
            assert tallied(replies) == {201: 1, 409: USERS - 1}


async def test_what_is_read_while_it_stands_still_is_answered(
    stocked_database_url: str, redis_url: str, tmp_path: Path, seats: list[str], dates: list[str]
) -> None:
    """... from what is true by then."""
    with served(stocked_database_url, redis_url, tmp_path) as instance:
        await instance.start()
        async with Api(instance.url) as api:
            _, token = await api.enter()
            assert (await api.reserve(token, seats[0])).status == 201
            instance.freeze()
            await asyncio.sleep(PAUSED_S - SENT_S)
            asked = [
                asyncio.create_task(one)
                for _ in range(10)
                for one in (api.status(token), api.seats(token, dates[0]), api.dates(token))
            ]
            replies = await paused(instance, asked)
            assert tallied(replies) == {200: len(asked)}
