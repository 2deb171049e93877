"""Where load may go, and the bytes that go there."""

from __future__ import annotations

import uuid

import pytest

from bench.client import Target, TargetError
from bench.scenario import get, post, route_of
from bench.world import Users


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080)),
        ("http://127.8.9.1:8080/", Target("127.8.9.1", 8080)),
        ("http://localhost:9", Target("127.0.0.1", 9)),
        ("http://[::1]:8080", Target("::1", 8080)),
        ("http://127.0.0.1", Target("127.0.0.1", 80)),
    ],
)
def test_loopback_addresses_are_accepted(url: str, target: Target) -> None:
    assert Target.parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:8080",
        "http://192.168.0.1:8080",
        "http://0.0.0.0:8080",
        "http://[::]:8080",
        "http://127.0.0.1.example.com",
        "https://127.0.0.1",
        "127.0.0.1:8080",
        "http://127.0.0.1:8080/queue",
        "http://user@127.0.0.1:8080",
        "",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(TargetError):
        Target.parse(url)


def test_a_get_request_carries_its_token() -> None:
    head = get("/queue/status", "abc").decode()
    assert head.startswith("GET /queue/status HTTP/1.1\r\n")
    assert "\r\nqueue-token: abc\r\n" in head
    assert head.endswith("\r\n\r\n")


def test_a_post_request_says_how_long_its_body_is() -> None:
    head, _, body = post("/user/charge", '{"amount":1}').partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 12" in head
    assert b"queue-token" not in head
    assert body == b'{"amount":1}'


def test_the_route_of_a_request_leaves_out_its_query() -> None:
    assert route_of(get("/user/check?userId=1")) == ("GET", "/user/check")


def test_users_are_different_and_canonical_uuids() -> None:
    users = [*Users().take(1_000), *Users().take(1_000)]
    assert len(set(users)) == 2_000
    assert all(str(uuid.UUID(user)) == user for user in users)
    assert uuid.UUID(users[0]).version == 4
