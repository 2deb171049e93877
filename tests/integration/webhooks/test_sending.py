"""Deliveries to real receivers: slow ones, dead ones, and those who try to lead us elsewhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from actors.journal.contract import JournalError
from booking.webhooks.addresses import Network
from booking.webhooks.contract import Posting
from booking.webhooks.posting import ANSWER_BYTES_MAX, Poster
from booking.webhooks.sending import EACH, Webhooks
from tests.integration.webhooks.conftest import LOOPBACK
from tests.support.consumers import until
from tests.support.receivers import answering, charged, receiving, tell

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four attempts, within a second."""
    monkeypatch.setattr("booking.webhooks.contract.DELAYS_S", (0.01, 0.02, 0.03))


async def happen(webhooks: Webhooks, dsn: str, *seqs: int) -> list[str]:
    await tell(dsn, webhooks.consumer().handle, [charged(seq) for seq in seqs])
    return [f"7-{seq}" for seq in seqs]


async def test_an_event_arrives_signed_as_a_cloud_event(
    sending: Webhooks, database_url: str
) -> None:
    async with receiving() as receiver:
        name, secret = await sending.create(receiver.url, (), "", None)
        await happen(sending, database_url, 1)
        await until(lambda: sending.outcomes["delivered"] == 1)
        [event] = receiver.verify(secret)
        [(headers, _)] = receiver.requests
    assert (event["specversion"], event["id"], event["source"]) == ("1.0", "7-1", "/booking/test")
    assert (event["type"], event["data"]["amount"]) == ("booking.balance.charged.v1", 1_000)
    assert headers["content-type"] == "application/cloudevents+json"
    assert headers["webhook-id"] == event["id"]
    [view] = await sending.store.all()
    assert (view.id, view.pending, view.dead) == (name, 0, 0)


async def test_a_slow_one_and_a_dead_one_hold_up_nobody(
    sending: Webhooks, database_url: str
) -> None:
    """Given a receiver that never answers, one whose port is closed and one that is well, when
    many events happen, then the one that is well has them all while the first has only as many
    requests under way as there is room for."""
    never = asyncio.Event()

    async def hang(number: int) -> web.Response:
        await never.wait()
        return web.Response()

    async with receiving(hang) as slow, receiving() as good:
        await sending.create(slow.url, (), "", None)
        await sending.create("http://127.0.0.1:1/", (), "", None)
        await sending.create(good.url, (), "", None)
        ids = await happen(sending, database_url, *range(1, 61))
        await until(lambda: len(good.seen) == 60)
        assert sorted(good.seen) == sorted(ids)
        assert set(good.seen.values()) == {1}
        await until(lambda: slow.open == EACH)
        assert slow.open_most == EACH
        never.set()


async def test_one_that_comes_back_has_everything_under_the_same_ids(
    sending: Webhooks, database_url: str
) -> None:
    async with receiving(answering(500, 503, 302, 200)) as receiver:
        await sending.create(receiver.url, (), "", None)
        await happen(sending, database_url, 1)
        await until(lambda: sending.outcomes["delivered"] == 1)
        assert receiver.seen == {"7-1": 4}
        assert len({body for _, body in receiver.requests}) == 1
    assert sending.outcomes == {"retried": 3, "delivered": 1}


async def test_one_that_fails_to_the_end_leaves_a_dead_letter(
    sending: Webhooks, database_url: str
) -> None:
    async with receiving(answering(500)) as receiver:
        name, _ = await sending.create(receiver.url, (), "", None)
        await happen(sending, database_url, 1)
        await until(lambda: sending.outcomes["dead"] == 1)
        [dead] = await sending.store.deliveries(name, "dead", 10)
        assert (dead.attempts, dead.status, dead.trouble) == (4, 500, "answered 500")
        receiver.answer = answering(200)
        assert await sending.store.resend(name, []) == 1
        await until(lambda: sending.outcomes["delivered"] == 1)
        assert receiver.seen == {"7-1": 5}
    assert await sending.store.deliveries(name, "dead", 10) == []


async def test_one_that_is_gone_is_asked_once(sending: Webhooks, database_url: str) -> None:
    async with receiving(answering(410)) as receiver:
        name, _ = await sending.create(receiver.url, (), "", None)
        await happen(sending, database_url, 1)
        await until(lambda: sending.outcomes["dead"] == 1)
        await happen(sending, database_url, 2)
        assert receiver.seen == {"7-1": 1}
    view = await sending.store.view(name)
    assert (view.enabled, view.dead, view.pending) == (False, 1, 0)


@pytest.fixture(params=[JournalError("away"), RuntimeError("a bug")], ids=["away", "bug"])
def troubles(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> dict[str, int]:
    """How often the database still fails, by what it is asked, from before anything is sent."""
    monkeypatch.setattr("booking.webhooks.sending.LEASE_S", 0.5)
    monkeypatch.setattr("booking.webhooks.sending.LOOK_EVERY_S", 0.05)
    left, store = {"take": 2, "delivered": 1}, webhooks.store
    for name in left:
        monkeypatch.setattr(store, name, failing(getattr(store, name), left, request.param))
    return left


async def test_trouble_with_the_database_ends_nothing(
    troubles: dict[str, int], sending: Webhooks, database_url: str
) -> None:
    """Given a database that cannot be asked for a while, neither for what is due nor to note what
    was delivered, then everything arrives all the same once it can, and the instance goes on."""
    async with receiving() as receiver:
        await sending.create(receiver.url, (), "", None)
        await happen(sending, database_url, 1)
        await until(lambda: sending.outcomes["delivered"] == 1)
        assert receiver.seen == {"7-1": 2}
    assert not any(troubles.values())


def failing(work: Any, left: dict[str, int], trouble: Exception) -> Any:
    """It fails so often as there is left."""

    async def tried(*arguments: Any) -> Any:
        if left[work.__name__]:
            left[work.__name__] -= 1
            raise trouble
        return await work(*arguments)

    return tried


async def test_a_ping_tells_what_the_address_answers(webhooks: Webhooks) -> None:
    async with receiving(answering(204, 500)) as receiver:
        name, secret = await webhooks.create(receiver.url, (), "", None)
        well, bad = await webhooks.ping(name), await webhooks.ping(name)
        first, second = receiver.verify(secret)
    assert (well.status, well.trouble) == (204, "")
    assert (bad.status, bad.trouble) == (500, "answered 500")
    assert first["type"] == "booking.webhook.ping.v1"
    assert first["id"] != second["id"]
    assert (await webhooks.store.view(name)).pending == 0


# -- what answers do to us -------------------------------------------------------------------------


async def attempt(
    url: str, allowed: Sequence[Network] = LOOPBACK, timeout_s: float = 30.0
) -> tuple[int, str]:
    poster = Poster(allowed, timeout_s)
    try:
        answered = await poster.post(Posting("we_1", "7-1", "{}", 1, url, SECRET, ""))
    finally:
        await poster.close()
    return answered.status, answered.trouble


async def test_an_answer_without_an_end_is_read_to_a_limit() -> None:
    """Given a receiver that never stops answering, then the attempt ends all the same, and with it
    the connection."""
    ended = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"%x\r\n%b\r\n" % (ANSWER_BYTES_MAX, b"x" * ANSWER_BYTES_MAX))
                await writer.drain()
        except OSError:
            ended.set()
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    assert await attempt(f"http://127.0.0.1:{port_of(server)}/") == (200, "")
    await ended.wait()
    server.close()


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def test_an_answer_that_does_not_come_is_waited_for_to_a_limit() -> None:
    never = asyncio.Event()

    async def hang(number: int) -> web.Response:
        await never.wait()
        return web.Response()

    async with receiving(hang) as receiver:
        assert await attempt(receiver.url, timeout_s=0.2) == (0, "no answer in time")
        never.set()


async def test_what_is_no_http_is_a_failure() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    status, trouble = await attempt(f"http://127.0.0.1:{port_of(server)}/")
    server.close()
    assert status == 0
    assert trouble.startswith("no answer: ")


# -- where names lead ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "localhost",
        "127.0.0.1.",
    ],
)
async def test_no_host_leads_into_a_private_network(host: str) -> None:
    """Given a receiver on every private address of this machine, when a URL leads there under any
    name or number, also one that was taken before the rule, then nothing connects to it."""
    async with receiving() as receiver:
        port = receiver.url.rpartition(":")[2]
        for scheme in ("http", "https"):
            status, trouble = await attempt(f"{scheme}://{host}:{port}", allowed=())
            assert status == 0
            assert "may not reach" in trouble or "Error" in trouble
    assert receiver.requests == []


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> list[str]:
    """Every name has these addresses, one after the other; the names that were asked for."""
    asked: list[str] = []
    left = list(answers)

    def getaddrinfo(host: str, port: int, *more: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in found]
        return [
            (family, socket.SOCK_STREAM, 6, "", (each, port))
            for family, each in zip(families, found, strict=True)
        ]

    monkeypatch.setattr("booking.webhooks.posting.socket.getaddrinfo", getaddrinfo)
    return asked


async def test_a_name_that_leads_to_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with receiving() as receiver:
        port = receiver.url.split(":")[2]
        asked = resolving(monkeypatch, ["127.0.0.1"])
        status, trouble = await attempt(f"https://rebind.example.org:{port}", allowed=())
        assert (status, trouble) == (0, "webhooks may not reach 127.0.0.1")
        assert asked == ["rebind.example.org"]
    assert receiver.requests == []


async def test_of_a_name_that_leads_to_both_only_what_may_be_reached_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a name of two addresses of which one is allowed, then only that one is connected to."""
    async with receiving() as receiver:
        resolving(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        url = receiver.url.replace("127.0.0.1", "both.example.org")
        allowed = (ip_network("127.0.0.1/32"),)
        assert await attempt(url, allowed) == (204, "")
        status, trouble = await attempt(url, (ip_network("10.0.0.0/8"),))
        assert (status, trouble[:-1]) == (0, "webhooks may not reach 127.0.0.")
    assert len(receiver.requests) == 1


async def test_a_name_that_changes_its_mind_is_checked_at_every_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given a name that first leads where it may and then elsewhere, when it is connected to again,
    then that is refused: no answer from before counts."""
    async with receiving() as receiver:
        resolving(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        url = receiver.url.replace("127.0.0.1", "rebind.example.org")
        allowed = (ip_network("127.0.0.1/32"),)
        assert (await attempt(url, allowed))[0] == 204
        assert await attempt(url, allowed) == (0, "webhooks may not reach 127.0.0.2")


async def test_plain_http_leads_only_into_networks_that_are_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, ["8.8.8.8"])
    assert await attempt("http://example.org/") == (0, "webhooks may not reach 8.8.8.8")


async def test_a_redirect_is_a_failure_and_leads_nowhere(
    sending: Webhooks, database_url: str
) -> None:
    """Given a receiver that answers with a redirect to a private address, then the event has failed
    and nothing was asked there."""
    async with receiving() as inside:
        there = {"Location": inside.url}

        def redirect(number: int) -> web.Response:
            return web.Response(status=307, headers=there)

        async with receiving(redirect) as receiver:
            assert await attempt(receiver.url) == (307, "answered 307")
        assert inside.requests == []


async def test_proxies_and_cookies_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_cookie(number: int) -> web.Response:
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with receiving(with_cookie) as receiver:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        poster = Poster(LOOPBACK)
        posting = Posting("we_1", "7-1", "{}", 1, receiver.url, SECRET, "")
        for _ in range(2):
            assert (await poster.post(posting)).status == 200
        await poster.close()
    assert all("cookie" not in headers for headers, _ in receiver.requests)
