"""The measurement of a large date works on a small one, and says what holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from bench.hall import measure
from bench.report import told
from bench.watchdog import Stops


def test_a_date_is_sold_out_listed_and_taken_over(tmp_path: Path) -> None:
    finding = asyncio.run(measure(1_000, Stops(tmp_path / "stops")))
    assert finding.problems == []
    assert finding.seats == 1_000
    assert set(finding.stops_ms) == {"holds", "list", "list again", "sales", "takeover"}
    assert "1,000 seats" in told("hall.txt", it=finding)


def test_a_claim_that_does_not_hold_is_said(tmp_path: Path) -> None:
    finding = asyncio.run(measure(100, Stops(tmp_path / "stops")))
    fine = replace(
        finding, holds_per_s=6e3, sales_per_s=6e3, hold_ratio=1.2, sale_ratio=1.2, held_bytes=140.0
    )
    assert all(holds for _, holds in fine.verdicts())
    for worse in (
        replace(fine, sales_per_s=4_999.0),
        replace(fine, hold_ratio=1.51),
        replace(fine, held_bytes=151.0),
        replace(fine, stops_ms={"list": 51.0}),
        replace(fine, problems=["seat 3"]),
    ):
        assert [holds for _, holds in worse.verdicts()].count(False) == 1
