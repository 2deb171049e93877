"""How often one user or one address may ask."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from booking_http import EdgeSettings
from booking_http.dispatch import KEYS_MAX, RateLimit
from booking_http.problems import RefusedError
from tests.support.edge import ALICE, BOB, running

LEFT = re.compile(rb'RateLimit: "user";r=(\d+);t=(\d+)\r\n')


class Watch:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


def left(lines: bytes) -> tuple[int, int]:
    found = LEFT.search(lines)
    assert found is not None, lines
    return int(found[1]), int(found[2])


def test_a_minutes_requests_may_come_at_once_and_no_more(watch: Watch) -> None:
    limit = RateLimit("user", 60, watch)
    assert [left(limit.take("u"))[0] for _ in range(60)] == list(range(59, -1, -1))
    with pytest.raises(RefusedError) as caught:
        limit.take("u")
    assert caught.value.refusal.row.status == 429
    assert caught.value.refusal.headers == {
        "RateLimit-Policy": '"user";q=60;w=60',
        "RateLimit": '"user";r=0;t=1',
        "Retry-After": "1",
    }


def test_what_was_used_comes_back_evenly(watch: Watch) -> None:
    limit = RateLimit("user", 60, watch)
    for _ in range(60):
        limit.take("u")
    watch.now += 1.0
    assert left(limit.take("u")) == (0, 60)
    with pytest.raises(RefusedError):
        limit.take("u")
    watch.now += 60.0
    assert left(limit.take("u")) == (59, 1)


def test_a_refusal_costs_nothing(watch: Watch) -> None:
    limit = RateLimit("user", 1, watch)
    limit.take("u")
    for _ in range(100):
        with pytest.raises(RefusedError):
            limit.take("u")
    watch.now += 60.0
    limit.take("u")


def test_each_has_a_bucket_of_its_own(watch: Watch) -> None:
    limit = RateLimit("user", 1, watch)
    limit.take("u")
    limit.take("v")


def test_a_bucket_is_remembered_over_the_turn_of_a_window(watch: Watch) -> None:
    limit = RateLimit("user", 2, watch)
    limit.take("v")
    watch.now += 59.0
    limit.take("u")
    limit.take("u")
    watch.now += 2.0
    with pytest.raises(RefusedError):
        limit.take("u")


def test_memory_has_a_limit(watch: Watch) -> None:
    limit = RateLimit("user", 1, watch)
    for number in range(3 * KEYS_MAX):
        limit.take(str(number))
    assert len(limit._full_at) + len(limit._older) <= KEYS_MAX


async def test_a_user_is_told_what_is_left_and_then_refused() -> None:
    async with running(settings=EdgeSettings(rate_per_user_minute=3)) as edge:
        token, other = await edge.enter(ALICE), await edge.enter(BOB)
        for left_over in (2, 1, 0):
            answer = await edge("GET", "/queue/status", token=token)
            assert answer.status == 200
            assert answer.headers["RateLimit-Policy"] == '"user";q=3;w=60'
            assert answer.headers["RateLimit"].startswith(f'"user";r={left_over};t=')
        for target in ("/queue/status", "/concert/available-dates"):
            answer = await edge("GET", target, token=token)
            assert (answer.status, answer.code) == (429, "rate_limited")
            assert int(answer.headers["Retry-After"]) in range(1, 21)
            assert answer.headers["RateLimit"].startswith('"user";r=0;')
        assert (await edge("GET", "/queue/status", token=other)).status == 200


async def test_nobody_is_limited_by_what_others_say_of_them() -> None:
    """A limit by the body's userId would let anybody lock anybody out."""
    async with running(settings=EdgeSettings(rate_per_user_minute=1)) as edge:
        token = await edge.enter(ALICE)
        for _ in range(3):
            answer = await edge("POST", "/user/charge", {"userId": ALICE, "amount": 1})
            assert answer.status == 200
            assert "RateLimit" not in answer.headers
            assert (await edge("GET", "/queue/status", token=token[:-2])).status == 401
        assert (await edge("GET", "/queue/status", token=token)).status == 200


async def test_an_address_is_limited_but_for_probes_and_scrapes() -> None:
    async with running(settings=EdgeSettings(rate_per_address_minute=2)) as edge:
        await edge.enter(ALICE)
        assert (await edge("GET", "/queue/status")).status == 401
        refused = await edge("GET", "/queue/status")
        assert (refused.status, refused.headers["RateLimit"][:14]) == (429, '"address";r=0;')
        assert (await edge("GET", "/livez")).status == 200
        assert (await edge("GET", "/metrics")).status == 200
        # Nobody escapes by a header that no proxy of ours has written.
        sent = {"X-Forwarded-For": "203.0.113.9"}
        assert (await edge("GET", "/queue/status", headers=sent)).status == 429


async def test_behind_a_trusted_proxy_the_address_is_the_clients() -> None:
    trusted = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    settings = EdgeSettings(rate_per_address_minute=1, trusted_proxies=trusted)
    async with running(settings=settings) as edge:

        async def status(forwarded: str) -> int:
            sent = {"X-Forwarded-For": forwarded}
            return (await edge("GET", "/queue/status", headers=sent)).status

        assert await status("203.0.113.9") == 401
        assert await status("203.0.113.9") == 429
        assert await status("made-up, 203.0.113.9, 10.0.0.7") == 429
        assert await status("203.0.113.9, 203.0.113.10") == 401
        assert await status("") == 401
        assert await status("") == 429


async def test_without_limits_nothing_is_told() -> None:
    async with running() as edge:
        answer = await edge("GET", "/queue/status", token=await edge.enter(ALICE))
        assert "RateLimit" not in answer.headers
        assert "RateLimit-Policy" not in answer.headers
