"""Cluster, plans, shards and instances over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from actors.journal.contract import JournalError
from booking_http import AdminParts
from tests.support.admin_edge import TOKEN, AdminEdge, running_admin

WHO = "admin (127.0.0.1)"


@pytest.fixture
async def admin() -> AsyncIterator[AdminEdge]:
    """No booking is served behind it."""
    async with running_admin(serving=False) as started:
        yield started


async def test_the_cluster_is_shown_with_everything_the_contract_names(admin: AdminEdge) -> None:
    admin.operations.instances["b"].draining = True
    data = (await admin("GET", "/admin/cluster")).data
    assert data["leader"] == "a"
    assert data["term"] == 3
    assert data["ageMs"] == 120
    assert [each["instance"] for each in data["instances"]] == ["a", "b", "c"]
    assert data["instances"][1]["state"] == "draining"
    instance = data["instances"][0]
    assert {"url", "sinceMs", "loopLagMs", "commitAgeMs", "shards", "rate"} <= instance.keys()
    assert len(data["shards"]) == 256
    shard = data["shards"][7]
    assert {"shard", "owner", "epoch", "pinnedTo", "frozen", "entities", "rate"} <= shard.keys()


# -- plans ----------------------------------------------------------------------------------------


async def plan_for_a_new_instance(admin: AdminEdge) -> dict[str, object]:
    admin.operations.join("d")
    answer = await admin("POST", "/admin/rebalance", {"dryRun": True})
    assert answer.status == 200, answer.body
    data = answer.data
    assert isinstance(data, dict)
    return data


async def test_a_dry_run_shows_the_moves_and_does_nothing(admin: AdminEdge) -> None:
    plan = await plan_for_a_new_instance(admin)
    moves = plan["moves"]
    assert isinstance(moves, list)
    assert len(moves) == 64
    assert {"shard", "from", "to", "expectedPauseMs"} <= moves[0].keys()
    assert {move["to"] for move in moves} == {"d"}
    assert "basis" not in plan
    before, after = plan["loadBefore"], plan["loadAfter"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["worstToMeanShards"] > after["worstToMeanShards"]
    assert {state.desired for state in admin.operations.shards} == {"a", "b", "c"}
    assert await admin.said() == []


async def test_applying_does_exactly_the_moves_that_were_shown(admin: AdminEdge) -> None:
    plan = await plan_for_a_new_instance(admin)
    answer = await admin("POST", "/admin/rebalance", {"planId": plan["planId"]})
    assert answer.status == 200
    assert answer.data["state"] == "running"
    assert answer.data["begunBy"] == WHO
    moves = plan["moves"]
    assert isinstance(moves, list)
    under_way = {s.shard: s.desired for s in admin.operations.shards if s.desired != s.owner}
    assert under_way == {move["shard"]: move["to"] for move in moves}
    admin.operations.step(10)
    assert (await admin("GET", "/admin/rebalance")).data["done"] == 10
    again = await admin("POST", "/admin/rebalance", {"planId": plan["planId"]})
    assert again.data["done"] == 10
    admin.operations.step(100)
    assert (await admin("GET", "/admin/rebalance")).data["state"] == "done"


async def test_a_plan_of_a_cluster_that_has_changed_is_refused(admin: AdminEdge) -> None:
    plan = await plan_for_a_new_instance(admin)
    await admin("POST", "/admin/shards/5/pin", {"to": "c"})
    answer = await admin("POST", "/admin/rebalance", {"planId": plan["planId"]})
    assert (answer.status, answer.code) == (409, "plan_stale")
    assert "shard 5" in answer.json["detail"]
    assert admin.operations.rebalance is None


async def test_a_plan_can_be_given_up_on_the_way(admin: AdminEdge) -> None:
    plan = await plan_for_a_new_instance(admin)
    await admin("POST", "/admin/rebalance", {"planId": plan["planId"]})
    admin.operations.step(5)
    answer = await admin("DELETE", "/admin/rebalance")
    assert (answer.data["state"], answer.data["done"]) == ("aborted", 5)
    assert admin.operations.step(10) == 0
    assert sum(state.owner == "d" for state in admin.operations.shards) == 5
    assert [what for _, what, _ in await admin.said()] == ["rebalance", "abort"]


async def test_what_was_never_begun_cannot_be_looked_at_or_aborted(admin: AdminEdge) -> None:
    for method in ("GET", "DELETE"):
        answer = await admin(method, "/admin/rebalance")
        assert (answer.status, answer.code) == (404, "no_rebalance")
    answer = await admin("POST", "/admin/rebalance", {"planId": "0123456789abcdef"})
    assert (answer.status, answer.code) == (404, "unknown_plan")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "planId"),
        ({"dryRun": False}, "planId"),
        ({"dryRun": True, "planId": "x"}, "dryRun"),
        ({"dryRun": 1}, "dryRun"),
        ({"planId": ""}, "planId"),
        ({"dry": True}, "dry"),
    ],
)
async def test_a_rebalance_says_which_of_the_two_it_is(
    admin: AdminEdge, body: dict[str, object], named: str
) -> None:
    answer = await admin("POST", "/admin/rebalance", body)
    assert answer.status == 400
    assert named in answer.json["detail"]


# -- shards and instances -----------------------------------------------------------------------


async def test_a_shard_is_moved_pinned_and_let_go(admin: AdminEdge) -> None:
    answer = await admin("POST", "/admin/shards/4/move", {"to": "a"})
    assert answer.data == {"what": "move", "target": "4", "who": WHO}
    admin.operations.step()
    assert admin.operations.shards[4].owner == "a"
    assert (await admin("POST", "/admin/shards/4/pin", {"to": "b"})).status == 200
    assert admin.operations.shards[4].pinned_to == "b"
    assert (await admin("POST", "/admin/shards/4/unpin")).status == 200
    assert admin.operations.shards[4].pinned_to is None
    assert await admin.said() == [
        (WHO, "move", {"shard": 4, "from": "b", "to": "a"}),
        (WHO, "pin", {"shard": 4, "instance": "b"}),
        (WHO, "unpin", {"shard": 4}),
    ]


async def test_a_frozen_shard_says_why_it_does_not_move(admin: AdminEdge) -> None:
    await admin("POST", "/admin/shards/9/freeze", {"reason": "being looked at"})
    answer = await admin("POST", "/admin/shards/9/move", {"to": "b"})
    assert (answer.status, answer.code) == (409, "shard_frozen")
    assert "being looked at" in answer.json["detail"]
    await admin("POST", "/admin/shards/9/unfreeze")
    assert (await admin("POST", "/admin/shards/9/move", {"to": "b"})).status == 200


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "a\nb"}, {"reason": "x" * 201}])
async def test_a_freeze_needs_a_reason_of_one_line(
    admin: AdminEdge, body: dict[str, object]
) -> None:
    answer = await admin("POST", "/admin/shards/9/freeze", body)
    assert answer.status == 400
    assert "reason" in answer.json["detail"]


@pytest.mark.parametrize("shard", ["256", "-1", "x", "1.0", "999999999999", "%32%35%36", "0x1"])
async def test_a_shard_that_is_not_there_is_unknown(admin: AdminEdge, shard: str) -> None:
    answer = await admin("POST", f"/admin/shards/{shard}/unpin")
    assert (answer.status, answer.code) == (404, "unknown_shard")


async def test_an_instance_that_is_not_there_is_unknown(admin: AdminEdge) -> None:
    for answer in (
        await admin("POST", "/admin/shards/1/move", {"to": "nobody"}),
        await admin("POST", "/admin/instances/nobody/drain"),
        await admin("POST", "/admin/instances/nobody/evict"),
    ):
        assert (answer.status, answer.code) == (404, "unknown_instance")
    assert await admin.said() == []


async def test_instances_are_drained_evicted_and_taken_back(admin: AdminEdge) -> None:
    assert (await admin("POST", "/admin/instances/b/drain")).data["what"] == "drain"
    admin.operations.step(256)
    assert all(state.owner != "b" for state in admin.operations.shards)
    await admin("POST", "/admin/instances/c/evict")
    assert (await admin("GET", "/admin/cluster")).data["instances"][2]["state"] == "evicted"
    await admin("POST", "/admin/instances/c/undrain")
    assert (await admin("GET", "/admin/cluster")).data["instances"][2]["state"] == "serving"
    assert [what for _, what, _ in await admin.said()] == ["drain", "evict", "undrain"]


async def test_paths_around_an_id_are_exact(admin: AdminEdge) -> None:
    for path in (
        "/admin/shards/1",
        "/admin/shards//move",
        "/admin/shards/1/move/",
        "/admin/shards/1/2/move",
        "/admin/shards/move",
        "/admin/instances/a/move",
    ):
        assert (await admin("POST", path, {"to": "a"})).code == "not_found", path
    answer = await admin("GET", "/admin/shards/1/move")
    assert answer.status == 405
    assert answer.headers["Allow"] == "OPTIONS, POST"


# -- trouble --------------------------------------------------------------------------------------


async def test_a_lost_database_is_said_with_retry_after(admin: AdminEdge) -> None:
    admin.operations.trouble = JournalError("connection refused to 10.0.0.1")
    for method, path in (
        ("GET", "/admin/cluster"),
        ("POST", "/admin/instances/a/drain"),
        ("GET", "/admin/log"),
    ):
        answer = await admin(method, path)
        assert (answer.status, answer.code) == (503, "journal_unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert "10.0.0.1" not in answer.json["detail"]


async def test_parts_that_an_instance_does_not_have_are_refused() -> None:
    async with running_admin(parts=AdminParts(token=TOKEN)) as bare:
        for method, path, body in (
            ("GET", "/admin/cluster", None),
            ("POST", "/admin/rebalance", {"dryRun": True}),
            ("GET", "/admin/queues", None),
            ("PATCH", "/admin/queues/main", {"mode": "paused"}),
            ("PUT", "/admin/concerts", {"concerts": []}),
            ("GET", "/admin/audit", None),
            ("GET", "/admin/log", None),
        ):
            answer = await bare(method, path, body)
            assert (answer.status, answer.code) == (503, "unavailable"), path
            assert "Retry-After" in answer.headers


async def test_calls_are_counted_by_name_and_outcome(admin: AdminEdge) -> None:
    await admin("GET", "/admin/cluster")
    await admin("GET", "/admin/cluster")
    await admin("POST", "/admin/shards/999/unpin")
    admin.operations.trouble = JournalError("gone")
    await admin("POST", "/admin/instances/a/drain")
    await admin("GET", "/admin/cluster", token="wrong")
    numbers = (await admin("GET", "/metrics", token=None)).body.decode()
    assert 'booking_admin_calls_total{call="cluster",outcome="done"} 2.0' in numbers
    assert 'booking_admin_calls_total{call="unpinShard",outcome="refused"} 1.0' in numbers
    assert 'booking_admin_calls_total{call="drainInstance",outcome="failed"} 1.0' in numbers
    assert "booking_admin_refused_attempts_total 1.0" in numbers
