"""No secret in any log line, whatever is sent to whichever route, and the ids that are in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from booking.calls import QueueToken, TokenSigner
from booking.catalogue import document, store
from booking.observability import logs
from booking_http.routes import Route
from tests.support.all_routes import all_routes
from tests.support.catalogues import catalogue, concert, date
from tests.support.served import Served, served
from tests.support.service import SECRET

ADMIN_TOKEN = "5f0c9a1e77d34b82"
PASSWORD = "kX9v2Lq7Tr"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CATALOGUE = catalogue(concert("alpha", date("alpha-1")))


@pytest.fixture
async def instance(database_url: str, redis_url: str, tmp_path: Path) -> Any:
    await store.save(database_url, document.parse(msgspec.json.encode(CATALOGUE)))
    settings = {
        "BOOKING_LOG": "json",
        "BOOKING_ACCESS_LOG": "on",
        "BOOKING_ADMIN_TOKEN": ADMIN_TOKEN,
    }
    with served(database_url, redis_url, tmp_path, **settings) as one:
        await one.start()
        yield one


def attacks(route: Route, token: str) -> Iterator[dict[str, Any]]:
    """Requests of this route with something secret in every place where one could be put."""
    for secret in (token, SECRET, ADMIN_TOKEN):
        path = route.path.replace("{id}", secret)
        yield {"url": path, "headers": {"queue-token": secret}}
        yield {"url": path, "headers": {"Authorization": f"Bearer {secret}"}}
        yield {"url": path, "headers": {"Idempotency-Key": secret, "Cookie": f"token={secret}"}}
        yield {"url": path, "params": {"token": secret, "userId": secret}}
        yield {"url": path, "params": {"concertScheduleId": secret}}
        yield {"url": path, "json": {"userId": secret, "seatId": secret, "token": secret}}
        yield {"url": path, "data": f'{{"token": "{secret}", broken'.encode()}
        yield {"url": f"{path.rstrip('/')}/{secret}"}


async def test_no_secret_reaches_the_log_by_any_route(instance: Served) -> None:
    async with aiohttp.ClientSession(instance.url) as session:
        body = {"userId": str(uuid.uuid4())}
        async with session.post("/queue/issue", json=body) as answer:
            token = (await answer.json())["data"]["token"]
        sent = 0
        for route in all_routes():
            for attack in attacks(route, token):
                async with session.request(route.method, **attack) as answer:
                    await answer.read()
                sent += 1
    assert await instance.end() == 0
    lines = [json.loads(line) for line in instance.said.splitlines()]
    seen = [line for line in lines if line["logger"] == "booking.http.access"]
    assert len(seen) >= sent > 300
    assert {line["route"] for line in seen} >= {route.path for route in all_routes()}
    for secret in (token, SECRET, ADMIN_TOKEN):
        assert secret not in instance.said


async def test_each_request_is_a_line_with_the_ids_it_is_found_by(instance: Served) -> None:
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    sent = {"X-Request-Id": "mine", "traceparent": parent}
    async with (
        aiohttp.ClientSession(instance.url) as session,
        session.get("/reservation/abc", headers=sent) as answer,
    ):
        assert answer.headers["X-Request-Id"] == "mine"
    await instance.end()
    lines = [json.loads(line) for line in instance.said.splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "mine"]
    assert line["message"] == "GET /reservation/{id} 401"
    assert (line["trace_id"], line["path"]) == (TRACE, "/reservation/abc")
    assert (line["status"], line["method"], line["level"]) == (401, "GET", "INFO")
    assert line["duration_ms"] > 0


async def test_passwords_of_servers_out_of_reach_stay_out_of_the_log(tmp_path: Path) -> None:
    database = f"postgresql://booking:{PASSWORD}@127.0.0.1:1/booking"
    with served(database, f"redis://:{PASSWORD}@127.0.0.1:1/0", tmp_path) as one:
        one.launch()
        assert await one.ended() == 1
        assert "cannot start" in one.said
        assert PASSWORD not in one.said


def test_a_token_of_ours_is_longer_than_what_is_blanked() -> None:
    """The log blanks every long word; a shorter form of token would slip through."""
    token = TokenSigner([SECRET]).sign(QueueToken(str(uuid.uuid4()), "q", 1, 1))
    assert len(max(token.split("."), key=len)) >= 64
    assert "{64,}" in Path(logs.__file__).read_text()
