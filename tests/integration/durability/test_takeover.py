"""Two processes on one journal: a namesake takes over and fences, anybody else is shares."""

from __future__ import annotations

from pathlib import Path

from booking_http.codes import UNAVAILABLE
from tests.support.api_client import Api, eventually, new_user
from tests.support.served import served
from tests.support.storm import Storm
from tests.support.verdict import all_is_true

RETRYABLE = UNAVAILABLE.keys() - {"past_lost"}
"""Refusals that promise nothing, and pass. Which of them an owner gives that was frozen is a matter
of what it learns first: that its appends are late, that what it knows is old, or that it is fenced.
"""


async def test_an_instance_of_another_name_joins_and_takes_its_share(
    stocked_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with (
        served(stocked_database_url, redis_url, tmp_path) as first,
        served(stocked_database_url, redis_url, tmp_path, BOOKING_INSTANCE="other") as second,
    ):
        await first.start()
        await second.start()
        async with Api(first.url) as here, Api(second.url) as there:
            await eventually(lambda: _owns_half(here), within_s=30)
            user, token = await here.enter()
            assert (await there.charge(user, 10)).status == 200
            assert (await here.charge(user, 10)).data["balance"] == 20
            assert (await there.leave(token)).status == 204
            await eventually(lambda: _has_ended(here, token))
            assert (await there.call("GET", "/readyz")).status == 200


async def _owns_half(api: Api) -> bool:
    page = (await api.call("GET", "/metrics")).body.decode()
    [owned] = [line for line in page.splitlines() if line.startswith("booking_shards_owned ")]
    return 115 <= float(owned.split()[1]) <= 141


async def _has_ended(api: Api, token: str) -> bool:
    return (await api.status(token)).status == 401


async def test_an_owner_that_was_frozen_and_taken_over_is_fenced(
    stocked_database_url: str,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    """The first instance stops in mid-flight, a second of the same name takes its shards, then the
    first goes on. Its clients stay with it until it has refused them three times; all that it
    answers is true, or says that the same may be asked again."""
    with (
        served(stocked_database_url, redis_url, tmp_path) as old,
        served(stocked_database_url, redis_url, tmp_path) as new,
    ):
        await old.start()
        async with Storm([old.url], seats, clients=40, seed=11, patience=3) as storm:
            await storm.answers(300)
            old.freeze()
            await new.start()
            storm.add_url(new.url)
            old.thaw()
            await storm.answers(400)
            await storm.settle()

            refused = {one.code for one in storm.failures if one.url == old.url}
            assert refused, "nobody asked the old owner after the takeover"
            answered = {one.code for one in storm.failures if one.url == old.url and one.status}
            assert answered <= RETRYABLE, storm.tries
            async with Api(new.url) as api:
                await all_is_true(storm, api, dates, stocked_database_url)
        assert await old.ended() == 1
        assert "a later run of test has taken over" in old.said.splitlines()[-1]
        assert await new.end() == 0


async def test_an_idle_owner_that_was_taken_over_ends_by_itself(
    stocked_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Without anything to append it meets no fence, and would answer reads from its past."""
    with (
        served(stocked_database_url, redis_url, tmp_path) as old,
        served(stocked_database_url, redis_url, tmp_path) as new,
    ):
        await old.start()
        await new.start()
        assert await old.ended() == 1
        assert "a later run of test has taken over" in old.said.splitlines()[-1]
        async with Api(new.url) as api:
            assert (await api.charge(new_user(), 10)).status == 200
