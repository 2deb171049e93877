"""What is said of consumers that follow a sale."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from actors.address import SLOT_COUNT, Address
from actors.consumers.contract import Event
from bench import follow, notify
from bench.record import Latencies
from bench.report import told
from booking.entities import account_address

CALM, LATE = Latencies(9_000, 110.0, 150.0, 190.0, 240.0), Latencies(9_000, 1.0, 2.0, 250.0, 300.0)


def finding(**changes: Any) -> follow.Finding:
    figures: dict[str, Any] = {
        "machine": "a machine",
        "without_per_s": 700.0,
        "with_per_s": 602.0,
        "lag": CALM,
        "lag_half": CALM,
        "takeovers_s": [3.1, 4.26],
        "problems": [],
    }
    return follow.Finding(**{**figures, **changes})


def test_all_is_told() -> None:
    lines = told("follow.txt", it=finding(problems=["an audit"])).splitlines()
    assert lines[1:5] == [
        "700 bookings/s without them, 602 with them",
        "lag at full load: p50 110 ms, p99 190 ms, max 240 ms, of 9,000 events",
        "lag at half the rate: p50 110 ms, p99 190 ms, max 240 ms, of 9,000 events",
        "killed and taken over: 3.1 s, 4.3 s",
    ]
    assert lines[-1] == "WRONG: an audit"


@pytest.mark.parametrize(
    "changes",
    [
        {"with_per_s": 594.0},
        {"lag_half": LATE},
        {"takeovers_s": [3.0, 5.0]},
        {"problems": ["a booking failed"]},
    ],
    ids=str,
)
def test_each_claim_can_fail(changes: dict[str, Any]) -> None:
    assert all(holds for _, holds in finding().verdicts())
    assert [holds for _, holds in finding(**changes).verdicts()].count(False) == 1


def test_somebody_lives_in_every_shard() -> None:
    users = follow.one_in_each_shard()
    assert sorted(users) == list(range(SLOT_COUNT))
    assert all(account_address(user).slot == shard for shard, user in users.items())


class Connection:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def execute(self, *values: Any) -> None:
        self.sent.append(values)


async def test_each_event_is_told_with_its_age() -> None:
    """However many, no notification is too long."""
    at_ms = time.time_ns() // 1_000_000 - 100
    events = [
        Event(number % 256, number, Address("seat", "d"), at_ms, "SeatHeld", None)
        for number in range(700)
    ]
    connection = Connection()
    await notify.tell(events, connection)
    assert max(len(values[2]) for values in connection.sent) < 8_000
    heard = follow.Told(cast(Any, connection))
    for values in connection.sent:
        heard.hear(None, 1, *values[1:])
    assert heard.at_s.keys() == set(range(256))
    lag = heard.taken()
    assert (lag.count, heard.taken().count) == (700, 0)
    assert lag.p50_ms >= 100
