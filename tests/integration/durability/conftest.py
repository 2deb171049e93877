"""A catalogue to storm and a place for the logs."""

from __future__ import annotations

import pytest

from tests.support.stock import DATES, import_catalogue, seats_to_draw


@pytest.fixture
def dates() -> list[str]:
    return list(DATES)


@pytest.fixture
def seats() -> list[str]:
    return seats_to_draw()


@pytest.fixture
async def stocked_database_url(database_url: str) -> str:
    """A fresh database with the catalogue in it."""
    await import_catalogue(database_url)
    return database_url
