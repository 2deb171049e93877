"""What there is to storm in a stocked database."""

from __future__ import annotations

import pytest

from tests.support.stock import DATES, seats_to_draw


@pytest.fixture
def dates() -> list[str]:
    return list(DATES)


@pytest.fixture
def seats() -> list[str]:
    return seats_to_draw()
