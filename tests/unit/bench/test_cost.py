"""The table of what each step costs is about whole bookings."""

from __future__ import annotations

import asyncio

from tests.cost.__main__ import measure, table


def test_every_step_of_every_booking_is_in_the_table() -> None:
    costs = asyncio.run(measure(12))
    assert [cost.step for cost in costs] == [
        *("issue", "status", "dates", "seats", "hold", "charge", "pay"),
    ]
    assert all(cost.requests == 11 and cost.service_s > 0 and cost.bare_s > 0 for cost in costs)
    assert table(costs).splitlines()[-1].startswith("| a booking |")
