"""What the journal has lost, and accepting that: over HTTP and on the command line."""

from __future__ import annotations

import pytest

from actors.cluster.admin_views import LossView
from tests.support.admin_edge import AdminEdge
from tests.unit.admin.test_command_line import Booking, booking

__all__ = ["booking"]


def loss(shard: int) -> LossView:
    return LossView(
        shard=shard,
        first_seq=4,
        last_seq=5,
        entities=["account/ann"],
        noticed_by="seoul-1",
        noticed_at_ms=1_800_000_000_000,
        accepted_at_ms=None,
        accepted_by="",
    )


@pytest.fixture(autouse=True)
def lost(admin: AdminEdge) -> None:
    admin.operations.lost = [loss(7), loss(9)]


async def test_losses_are_shown(admin: AdminEdge) -> None:
    items = (await admin("GET", "/admin/losses")).data["items"]
    assert [(item["shard"], item["firstSeq"], item["lastSeq"]) for item in items] == [
        (7, 4, 5),
        (9, 4, 5),
    ]
    assert items[0]["entities"] == ["account/ann"]
    assert items[0]["acceptedAtMs"] is None


async def test_a_loss_is_accepted_for_the_shards_named(admin: AdminEdge) -> None:
    assert (await admin("POST", "/admin/losses/accept", {"shards": [9]})).status == 200
    items = (await admin("GET", "/admin/losses")).data["items"]
    assert [item["acceptedAtMs"] is None for item in items] == [True, False]
    assert [(what, detail) for _, what, detail in await admin.said()] == [
        ("accept_loss", {"shards": [9]})
    ]


async def test_all_losses_are_accepted_at_once(admin: AdminEdge) -> None:
    answer = await admin("POST", "/admin/losses/accept", {"all": True})
    assert (answer.status, answer.data["target"]) == (200, "7, 9")
    again = await admin("POST", "/admin/losses/accept", {"all": True})
    assert (again.status, again.json["code"]) == (404, "no_loss")


async def test_a_shard_without_a_loss_refuses_the_whole_request(admin: AdminEdge) -> None:
    answer = await admin("POST", "/admin/losses/accept", {"shards": [7, 8]})
    assert (answer.status, answer.json["code"]) == (404, "no_loss")
    assert await admin.said() == []


@pytest.mark.parametrize("body", [{}, {"all": False}, {"all": True, "shards": [7]}, {"shards": []}])
async def test_what_is_accepted_is_said_in_one_way(
    admin: AdminEdge, body: dict[str, object]
) -> None:
    assert (await admin("POST", "/admin/losses/accept", body)).status == 400


async def test_the_command_line_shows_and_accepts(admin: AdminEdge, booking: Booking) -> None:
    ran = await booking("losses")
    assert ran.status == 0
    assert ran.lines[1][:4] == ["7", "4", "to", "5"]
    assert "account/ann" in ran.out
    assert (await booking("accept-loss")).status == 2
    assert (await booking("--user", "kim", "accept-loss", "7")).status == 0
    assert (await booking("accept-loss", "7")).status == 1
    assert (await booking("accept-loss", "--all")).status == 0
    who, _, detail = (await admin.said())[0]
    assert (who, detail) == ("kim (127.0.0.1)", {"shards": [7]})
