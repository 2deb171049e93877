"""SIGTERM under load: whoever was accepted is answered, and the next start shows everything."""

from __future__ import annotations

from pathlib import Path

from tests.support.api_client import Api
from tests.support.served import served
from tests.support.storm import Call, Storm
from tests.support.verdict import all_is_true


async def test_a_drain_under_load_answers_whom_it_accepted_and_loses_nothing(
    stocked_database_url: str,
    redis_url: str,
    tmp_path: Path,
    dates: list[str],
    seats: list[str],
) -> None:
    with served(stocked_database_url, redis_url, tmp_path) as instance:
        await instance.start()
        async with Storm([instance.url], seats, clients=40, seed=3) as storm:
            await storm.answers(300)
            assert await instance.end(within_s=30) == 0, instance.said
            assert "stopped" in instance.said
            await instance.start()
            await storm.answers(200)
            await storm.settle()
            assert any(one.status == 0 for one in storm.failures), "the drain was under no load"
            assert [call for call in storm.calls if executed_without_answer(call)] == []
            async with Api(instance.url) as api:
                await all_is_true(storm, api, dates, stocked_database_url)


def executed_without_answer(call: Call) -> bool:
    """Its first attempt had no answer, or one that says that nothing was done; still the repeat
    was told an outcome that existed already."""
    return (
        call.key is not None
        and call.replayed
        and not call.twin
        and all(one.code != "outcome_unknown" for one in call.tries)
    )
