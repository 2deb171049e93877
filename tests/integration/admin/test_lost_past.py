"""The database forgets what was acknowledged, as a standby does that was promoted without it."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from booking.audit.run import run as audit
from booking.entities import account_address
from tests.integration.admin.test_service import SHOWS, TOKEN, operate
from tests.support.api_client import Api, Reply, eventually
from tests.support.journals import user_id
from tests.support.service import StartService

USER = user_id(1)
SHARD = account_address(USER).slot


async def losses(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await operate(api, "GET", "/admin/losses")).data["items"]
    return items


async def check(api: Api) -> Reply:
    return await api.call("GET", f"/user/check?userId={USER}")


async def fail_over(url: str, keep: int, *, cut: bool) -> None:
    """The rows of the user's shard above ``keep`` are gone, with all connections if wanted."""
    database = await asyncpg.connect(url)
    if cut:
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await database.execute("DELETE FROM journal WHERE shard = $1 AND seq > $2", SHARD, keep)
    await database.close()


@pytest.mark.parametrize("cut", [True, False])
async def test_a_loss_is_noticed_told_and_accepted(
    start_service: StartService, database_url: str, cut: bool
) -> None:
    """Given five charges, when the last two are gone from the journal, then nothing is answered
    from memory or written behind the gap, and after an operator has accepted, the balance is what
    there is."""
    api = (await start_service(SHOWS, BOOKING_ADMIN_TOKEN=TOKEN)).api
    for _ in range(5):
        assert (await api.charge(USER, 1_000)).status == 200
    await fail_over(database_url, 3, cut=cut)

    async def noticed() -> bool:
        answer = await operate(api, "GET", "/admin/losses")
        return answer.status == 200 and bool(answer.data["items"])

    await eventually(noticed)
    [loss] = await losses(api)
    assert (loss["shard"], loss["firstSeq"], loss["lastSeq"]) == (SHARD, 4, 5)
    assert loss["entities"] == [f"account/{USER}"]
    refused = await check(api)
    assert (refused.status, refused.code) == (503, "past_lost")
    report = await audit(database_url)
    assert [v.check for v in report.verdicts if not v.ok] == ["I3"]

    accepted = await operate(api, "POST", "/admin/losses/accept", {"shards": [SHARD]})
    assert accepted.status == 200

    async def served() -> bool:
        return (await check(api)).status == 200

    await eventually(served)
    assert (await check(api)).data["balance"] == 3_000
    assert (await api.charge(USER, 500)).status == 200
    report = await audit(database_url)
    assert report.ok
    [line] = report.losses
    assert f"account/{USER}" in line
