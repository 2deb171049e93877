"""POST /queue/issue, GET /queue/status, DELETE /queue."""

from __future__ import annotations

from booking.queue.admin import QueueChange
from tests.support.edge import ALICE, BOB, Edge, running
from tests.support.instance import Instance
from tests.support.journals import user_id


async def test_an_issued_token_comes_with_the_whole_place(edge: Edge) -> None:
    answer = await edge("POST", "/queue/issue", {"userId": ALICE})
    assert answer.status == 201
    assert answer.headers["Location"] == "/queue/status"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    place = answer.data
    assert edge.instance.services.queue.read_token(place.pop("token")).user == ALICE
    assert place == {
        "userId": ALICE,
        "status": "active",
        "number": 1,
        "position": 0,
        "ahead": 0,
        "etaSeconds": 0,
        "etaKnown": True,
        "pollAfterMs": 10_000,
        "expiresAt": "2027-01-15T08:10:00.000Z",
    }


async def test_who_is_in_the_queue_keeps_the_place(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    again = await edge("POST", "/queue/issue", {"userId": ALICE})
    assert (again.status, again.code) == (409, "already_queued")
    assert (await edge("GET", "/queue/status", token=token)).data["number"] == 1


async def test_a_waiting_user_learns_position_and_when_to_ask_again() -> None:
    instance = Instance(queue_max_active=1)
    async with running(instance) as edge:
        await edge.enter(ALICE)
        token = await edge.enter(BOB)
        answer = await edge("GET", "/queue/status", token=token)
        assert answer.status == 200
        assert answer.headers["Retry-After"] == "1"
        assert answer.data["status"] == "pending"
        assert (answer.data["position"], answer.data["ahead"]) == (1, 0)
        assert "expiresAt" not in answer.data


async def test_a_place_given_up_opens_nothing_any_more(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    left = await edge("DELETE", "/queue", token=token)
    assert (left.status, left.body) == (204, b"")
    assert "Content-Length" not in left.headers
    for method, target in (("GET", "/queue/status"), ("DELETE", "/queue")):
        answer = await edge(method, target, token=token)
        assert (answer.status, answer.code) == (401, "token_expired")


async def test_the_bearer_form_of_the_token_is_the_same(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {token}"}
        assert (await edge("GET", "/queue/status", headers=headers)).status == 200


async def test_another_scheme_of_authorization_is_not_a_token(edge: Edge) -> None:
    answer = await edge("GET", "/queue/status", headers={"Authorization": "Basic YTpi"})
    assert (answer.status, answer.code) == (401, "token_missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="booking"'


async def test_an_unknown_queue_is_not_found(edge: Edge) -> None:
    answer = await edge("POST", "/queue/issue", {"userId": ALICE, "queue": "other"})
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_full_queue_says_when_to_come_back() -> None:
    async with running(Instance(queue_max_active=1)) as edge:
        await edge.instance.services.queue.change("main", QueueChange(max_waiting=1), "eve")
        await edge.enter(ALICE)
        await edge.enter(BOB)
        answer = await edge("POST", "/queue/issue", {"userId": user_id(3)})
        assert (answer.status, answer.code) == (503, "queue_full")
        assert answer.headers["Retry-After"] == "30"


async def test_a_token_of_somebody_else_does_not_line_up(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    answer = await edge("POST", "/queue/issue", {"userId": BOB}, token=token)
    assert (answer.status, answer.code) == (404, "not_found")


async def test_a_poll_counts_as_being_there(edge: Edge) -> None:
    token = await edge.enter(ALICE)
    signs = edge.instance.signs()
    await edge("GET", "/queue/status", token=token)
    assert signs == [1]
