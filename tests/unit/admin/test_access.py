"""Who is let in, who is not, and what the trail says of them."""

from __future__ import annotations

from typing import Any

import pytest

from booking_http import (
    AdminParts,
    EdgeMetrics,
    EdgeSettings,
    build_admin_server,
    build_server,
)
from booking_http.admin.access import ADDRESSES_MAX, ATTEMPTS_MAX, Access
from booking_http.problems import RefusedError
from tests.support.admin_edge import TOKEN, AdminEdge, running_admin
from tests.support.edge import Edge, RawClient, running
from tests.support.fake_operations import FakeOperations
from tests.support.instance import Instance

WHO = "admin (127.0.0.1)"


async def test_the_right_token_is_let_in(admin: AdminEdge) -> None:
    assert (await admin("GET", "/admin/cluster")).status == 200


@pytest.mark.parametrize(
    "header",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
async def test_a_wrong_token_is_told_so(admin: AdminEdge, header: str) -> None:
    answer = await admin("GET", "/admin/cluster", token=None, headers={"Authorization": header})
    assert (answer.status, answer.code) == (401, "admin_token_invalid")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="booking admin"')
    assert TOKEN not in answer.body.decode()


async def test_without_a_token_it_is_said_what_is_needed(admin: AdminEdge) -> None:
    answer = await admin("GET", "/admin/cluster", token=None)
    assert (answer.status, answer.code) == (401, "admin_token_missing")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="booking admin"'


async def test_without_a_configured_token_everybody_gets_403() -> None:
    async with running_admin(token="") as admin:
        for sent in (None, "", TOKEN):
            for method, path in (("GET", "/admin/cluster"), ("POST", "/admin/instances/a/drain")):
                answer = await admin(method, path, token=sent)
                assert (answer.status, answer.code) == (403, "admin_disabled")
        assert not admin.operations.instances["a"].draining


async def test_nothing_of_a_request_is_looked_at_before_its_token(admin: AdminEdge) -> None:
    for method, target, body in (
        ("GET", "/admin/log?limit=nonsense", None),
        ("POST", "/admin/rebalance", b"{"),
        ("PUT", "/admin/concerts", b"x" * 100_000),
    ):
        assert (await admin(method, target, token="wrong-wrong-wrong", body=body)).status == 401


async def test_a_queue_token_opens_nothing_here() -> None:
    async with running() as edge:
        queue_token = await edge.enter("aaaaaaaa-0000-4000-8000-000000000001")
    async with running_admin() as admin:
        assert (await admin("GET", "/admin/cluster", token=queue_token)).status == 401


class Request:
    """As much of a request as a guard looks at."""

    def __init__(self, token: str, remote: str) -> None:
        self.headers = _Headers({"Authorization": f"Bearer {token}"})
        self.remote = remote


class _Headers(dict[str, str]):
    def getall(self, name: str, default: Any) -> Any:
        return [self[name]] if name in self else default


def attempt(access: Access, token: str, remote: str = "10.0.0.1") -> str:
    """The code of the refusal, or who was let in."""
    try:
        return access(Request(token, remote))  # type: ignore[arg-type]  # a stand-in
    except RefusedError as error:
        return error.refusal.code


def test_wrong_tokens_of_one_address_have_to_wait() -> None:
    """The limit is forgotten in time."""
    now = 0.0
    access = Access(TOKEN, lambda: now)
    wrong = [attempt(access, "wrong") for _ in range(ATTEMPTS_MAX + 3)]
    assert wrong == ["admin_token_invalid"] * ATTEMPTS_MAX + ["too_many_attempts"] * 3
    assert attempt(access, "wrong", "10.0.0.2") == "admin_token_invalid"
    assert attempt(access, TOKEN) == "admin (10.0.0.1)"
    now = 6.0
    assert [attempt(access, "wrong") for _ in range(2)] == [
        "admin_token_invalid",
        "too_many_attempts",
    ]
    now = 100.0
    assert attempt(access, "wrong") == "admin_token_invalid"
    assert access.refused == ATTEMPTS_MAX + 3 + 1 + 2 + 1


def test_the_memory_of_wrong_tokens_is_bounded() -> None:
    access = Access(TOKEN, lambda: 0.0)
    for number in range(ADDRESSES_MAX + 10):
        attempt(access, "wrong", f"10.{number // 256}.{number % 256}.1")
    assert len(access._wrong._full_at) + len(access._wrong._older) <= ADDRESSES_MAX


async def test_too_many_attempts_say_how_long_to_wait(admin: AdminEdge) -> None:
    answers = [await admin("GET", "/admin/cluster", token="wrong") for _ in range(ATTEMPTS_MAX + 1)]
    assert answers[-1].status == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 7


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("kim", "kim (127.0.0.1)"),
        ("Kim.Lee+ops@example.org", "Kim.Lee+ops@example.org (127.0.0.1)"),
        ("a b\tc", "a_b_c (127.0.0.1)"),
        ("<script>", "script (127.0.0.1)"),
        ("\xe9\xe9", WHO),
        ("x" * 200, f"{'x' * 64} (127.0.0.1)"),
        ("", WHO),
    ],
)
async def test_the_trail_says_who_it_was(admin: AdminEdge, given: str, shown: str) -> None:
    await admin("POST", "/admin/instances/b/drain", headers={"X-Admin-User": given})
    assert [who for who, _, _ in await admin.said()] == [shown]


# -- which port ------------------------------------------------------------------------------------


async def test_a_public_port_without_the_operators_side_knows_nothing_of_it(edge: Edge) -> None:
    for path in ("/admin/cluster", "/admin/console", "/admin/shards/1/move", "/admin"):
        answer = await edge("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status, answer.code) == (404, "not_found")


@pytest.fixture
async def edge() -> Any:
    async with running() as started:
        yield started


async def test_both_sides_can_be_on_one_port() -> None:
    async with running() as edge:
        parts = AdminParts(token=TOKEN, operations=FakeOperations())
        both = build_server(edge.instance.services, EdgeSettings(), EdgeMetrics(), parts)
        await edge.server.stop(1.0)
        edge.server = both
        await both.start("127.0.0.1", 0)
        token = {"Authorization": f"Bearer {TOKEN}"}
        assert (await edge("GET", "/admin/cluster", headers=token)).status == 200
        assert (await edge("GET", "/admin/cluster")).status == 401
        assert (await edge("POST", "/queue/issue", {"userId": USER})).status == 201


USER = "aaaaaaaa-0000-4000-8000-000000000001"


async def test_the_operators_port_has_health_and_numbers_and_no_bookings(admin: AdminEdge) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/admin/console"):
        assert (await admin("GET", path, token=None)).status == 200
    assert (await admin("POST", "/queue/issue", {"userId": USER})).status == 404


async def test_two_listeners_count_their_connections_together() -> None:
    services, metrics = Instance().services, EdgeMetrics()
    public = build_server(services, EdgeSettings(), metrics)
    operators = build_admin_server(services, EdgeSettings(), metrics, AdminParts(token=TOKEN))
    clients = []
    try:
        for server, wanted in ((public, 3), (operators, 2)):
            await server.start("127.0.0.1", 0)
            for _ in range(wanted):
                client = await RawClient.to(server.port)
                clients.append(client)
                await client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await client.answer())[0] == 200
        assert (public.connections, operators.connections) == (3, 2)
        assert metrics.connections() == 5
    finally:
        for client in clients:
            client.close()
        await public.stop(1.0)
        await operators.stop(1.0)
