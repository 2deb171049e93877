"""What the client does when an answer is bad, late or missing."""

from __future__ import annotations

import pytest

from booking_client import AsyncBooking, Retry, Unreachable, errors
from booking_client.answers import Problem
from booking_client.errors import BY_CODE, Refused, refusal
from booking_client.transport import WORTH_REPEATING, passes
from booking_http.codes import CODES
from tests.support.edge import Edge
from tests.support.faulty_server import Answer, FaultyServer, good, problem

LOST = Answer(drop=True)
CHARGED = good({"balance": 5})


@pytest.mark.parametrize(
    "trouble",
    [
        LOST,
        problem("overloaded", 503, "0"),
        problem("outcome_unknown", 503),
        problem("idempotency_key_in_flight", 409, "0"),
        Answer(429, b"slow down", {"Retry-After": "0"}),
        Answer(502, b"<html>no upstream</html>"),
    ],
    ids=["lost", "503", "503 of unknown outcome", "in flight", "429 of a proxy", "502 of a proxy"],
)
async def test_a_post_is_sent_again_with_the_same_key(
    server: FaultyServer, client: AsyncBooking, trouble: Answer
) -> None:
    server.plan = [trouble, trouble, CHARGED]
    assert await client.charge("u", 5) == 5
    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1
    assert server.keys[0]


async def test_two_calls_have_two_keys_unless_the_caller_brings_one(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [CHARGED] * 4
    for key in (None, None, "mine", "mine"):
        await client.charge("u", 5, key=key)
    first, second, *mine = server.keys
    assert first != second
    assert mine == ["mine", "mine"]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("seat_unavailable", 409, errors.SeatUnavailable),
        ("queue_full", 503, errors.QueueFull),
        ("hold_cooling_down", 429, errors.HoldCoolingDown),
        ("internal_error", 500, errors.ServiceFault),
        ("not_known_to_this_client", 422, Refused),
    ],
)
async def test_an_outcome_is_not_asked_for_again(
    server: FaultyServer, client: AsyncBooking, code: str, status: int, kind: type[Refused]
) -> None:
    server.plan = [problem(code, status, "30")]
    with pytest.raises(Refused) as caught:
        await client.reserve("t", "s")
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (code, status)
    assert (caught.value.request_id, caught.value.retry_after_s) == ("r1", 30.0)
    assert len(server.asked) == 1


async def test_it_gives_up_after_its_attempts(server: FaultyServer) -> None:
    server.plan = [problem("stopping", 503, "0")] * 3
    async with AsyncBooking(server.url, retry=Retry(attempts_max=3, first_wait_s=0)) as client:
        with pytest.raises(errors.Unavailable):
            await client.balance("u")
    assert server.plan == []


async def test_a_service_that_is_not_there_is_unreachable() -> None:
    async with AsyncBooking("http://127.0.0.1:1", retry=Retry(2, first_wait_s=0)) as client:
        with pytest.raises(Unreachable, match="GET /user/check"):
            await client.balance("u")


async def test_an_answer_of_somebody_else_is_unreachable(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [Answer(200, b"<html>a login page</html>")]
    with pytest.raises(Unreachable, match="not the service's"):
        await client.balance("u")


async def test_a_place_that_an_earlier_attempt_gave_up_is_given_up(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [LOST, problem("token_expired", 401)]
    await client.leave("t")
    assert server.paths == ["/queue", "/queue"]


async def test_what_a_newer_service_adds_is_ignored(
    server: FaultyServer, client: AsyncBooking
) -> None:
    server.plan = [good({"balance": 5, "currency": "KRW"})]
    assert await client.balance("u") == 5


def test_waits_double_are_spread_and_have_an_end() -> None:
    retry = Retry(attempts_max=5, total_s=30, first_wait_s=1, wait_max_s=3)
    longest = [retry.wait_s(failures, None, 0, lambda: 1.0) for failures in range(1, 6)]
    assert longest == [1, 2, 3, 3, None]
    assert retry.wait_s(1, None, 0, lambda: 0.0) == 0.5
    assert retry.wait_s(1, 7, 0, lambda: 0.0) == 7
    assert retry.wait_s(1, 7, 0, lambda: 1.0) == 8
    assert retry.wait_s(1, 7, 25, lambda: 0.0) is None


async def test_every_code_that_a_fan_may_meet_has_its_exception(edge: Edge) -> None:
    routes = [route for route in edge.server.table.routes if not route.path.startswith("/admin")]
    met = {str(code) for route in routes for code in route.problems}
    assert met - set(BY_CODE) == set()
    assert set(BY_CODE) - {str(code) for code in CODES} == set()


def test_what_passes_is_worth_repeating() -> None:
    assert {str(code) for code, row in CODES.items() if row.passes} == WORTH_REPEATING


def test_a_503_passes_unless_it_is_an_outcome() -> None:
    lasting = {code for code, row in CODES.items() if row.status == 503 and not row.passes}
    assert lasting == {"queue_full"}


def test_exceptions_are_told_apart_by_code() -> None:
    assert passes(refusal(Problem("", 503, "", "moved")))
    assert not passes(refusal(Problem("", 503, "", "queue_full")))
    assert passes(refusal(Problem("", 504, "", "")))
    assert not passes(refusal(Problem("", 404, "", "")))
