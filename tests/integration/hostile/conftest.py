"""One service for each test of this folder, and the proof afterwards that it took no harm."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from booking import audit
from booking.audit.report import render
from tests.support.api_client import Api
from tests.support.catalogues import catalogue, concert, date
from tests.support.service import Service, StartService

CATALOGUE = catalogue(concert("alpha", date("alpha-1"), date("alpha-2")))


@pytest.fixture
async def service(start_service: StartService, database_url: str) -> AsyncIterator[Service]:
    service = await start_service(CATALOGUE)
    yield service
    await assert_healthy(service.api, database_url)


async def assert_healthy(api: Api, database_url: str) -> None:
    """It still books a seat, has answered nothing with 500, and its journal is sound."""
    user, token = await api.enter()
    assert (await api.charge(user, 1_000)).data == {"balance": 1_000}
    assert (await api.reserve(token, "alpha-2-50")).status == 201
    assert (await api.pay(token, "alpha-2-50")).status == 201
    assert (await api.call("GET", "/readyz")).status == 200
    numbers = (await api.call("GET", "/metrics")).body
    assert b'http_response_status_code="201"' in numbers
    assert b'http_response_status_code="500"' not in numbers
    report = await audit.run(database_url)
    assert report.ok, render(report)
