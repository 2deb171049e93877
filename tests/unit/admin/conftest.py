"""Every test here talks to a running operators' side over a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.admin_edge import AdminEdge, running_admin


@pytest.fixture
async def admin() -> AsyncIterator[AdminEdge]:
    async with running_admin() as started:
        yield started
