"""The booking flow with the journal in two databases, or in two schemas of one."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from booking import audit
from booking.audit.report import render
from booking.schema import parts
from tests.support.api_client import Api
from tests.support.catalogues import catalogue, concert, date
from tests.support.servers import run
from tests.support.service import Service, StartService

SHOWS = catalogue(concert("alpha", date("alpha-1"), date("alpha-2"), date("alpha-3")))


@pytest.fixture(params=["two databases", "two schemas"])
def urls(request: pytest.FixtureRequest, database_url: str) -> list[str]:
    if request.param == "two databases":
        second: str = request.getfixturevalue("second_database_url")
    else:
        run(make_schema(database_url, "part_1"))
        second = f"{database_url}&search_path=part_1"
    run(parts.prepare([database_url, second]))
    return [database_url, second]


async def make_schema(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE SCHEMA {name}")
    finally:
        await connection.close()


@pytest.fixture
async def service(start_service: StartService, urls: list[str]) -> Service:
    return await start_service(SHOWS, BOOKING_JOURNAL_URLS=urls[1])


async def book(api: Api, seat: str) -> tuple[str, str]:
    """A fan's whole way to a seat; the user and the payment."""
    user, token = await api.enter()
    assert (await api.charge(user, 5_000)).data == {"balance": 5_000}
    assert (await api.reserve(token, seat, key="hold")).status == 201
    paid = await api.pay(token, seat, key="pay")
    assert paid.status == 201, paid
    again = await api.pay(token, seat, key="pay")
    assert (again.data, again.headers["Idempotent-Replayed"]) == (paid.data, "true")
    return user, paid.data["id"]


async def test_fans_book_across_both_and_a_restart_finds_everything(
    service: Service, start_service: StartService, urls: list[str]
) -> None:
    seats = [f"alpha-{day}-{number}" for day in (1, 2, 3) for number in range(1, 9)]
    booked = await asyncio.gather(*(book(service.api, seat) for seat in seats))
    assert [await parities(url) for url in urls] == [[0], [1]]

    await service.stop()
    after = await start_service(SHOWS, BOOKING_JOURNAL_URLS=urls[1])
    for user, payment in booked:
        assert await after.api.balance(user) == 4_000
        listed = await after.api.call("GET", "/payments", userId=user)
        assert [each["id"] for each in listed.data["items"]] == [payment]
    report = await audit.run(*urls)
    assert report.ok, render(report)
    assert report.spent == 1_000 * len(seats)


async def parities(url: str) -> list[int]:
    """What the shards with events are modulo 2."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch("SELECT DISTINCT shard % 2 FROM journal")
        return [row[0] for row in found]
    finally:
        await connection.close()
