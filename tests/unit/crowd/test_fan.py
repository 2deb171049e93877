"""A fan who is called back in the middle of a request leaves nothing behind."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

from booking.crowd.calls import Answer, Calls
from booking.crowd.fan import Fan
from booking.crowd.tally import Tally

DATE = {"id": "d", "totalSeats": 50, "reservedSeats": 0}
SEAT = {"id": "d-1", "price": 100}
HELD = [{"id": "r", "status": "PENDING"}]


class CutOff:
    """Stands for the calls: the first reservation arrives, but its answer never does."""

    def __init__(self) -> None:
        self.reserved = asyncio.Event()
        self.keys: list[str | None] = []
        self.deleted: list[str] = []

    async def call(self, method: str, path: str, *, key: str | None = None, **rest: Any) -> Answer:
        match method, path:
            case "POST", "/queue/issue":
                return Answer(201, {"token": "t", "status": "active"})
            case "POST", "/reservation":
                self.keys.append(key)
                if len(self.keys) == 1:
                    self.reserved.set()
                    await asyncio.Event().wait()
                return Answer(201, {"id": "r"})
            case "GET", "/concert/available-dates":
                return Answer(200, [DATE])
            case "GET", "/concert/available-seats":
                return Answer(200, [SEAT])
            case "GET", "/reservations":
                return Answer(200, HELD)
            case "DELETE", _:
                self.deleted.append(path)
                return Answer(204)
        raise AssertionError(f"{method} {path}")


async def test_a_hold_whose_answer_was_cut_off_is_asked_for_again_and_given_back() -> None:
    calls = CutOff()
    fan = Fan(cast(Calls, calls), Tally(), Random(1), pace=0.0)
    visit = asyncio.create_task(fan.live())
    await asyncio.wait_for(calls.reserved.wait(), 5)
    visit.cancel()
    await asyncio.gather(visit, return_exceptions=True)
    await fan.leave(tries=1)
    assert len(calls.keys) == 2
    assert calls.keys[0] == calls.keys[1]
    assert calls.deleted == ["/reservation/r", "/queue"]
