"""The promises on paper and in code, and how a run is judged by them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bench.client import Response
from bench.report import told
from bench.scenario import Scenario, route_of
from bench.slo.page import chart, page
from bench.slo.rig import Timeline
from bench.slo.verdict import LEVELS, SUCCESS_SHARE, Phases, Verdict, judge, recovery_s
from bench.stories import CURIOUS_EVERY, Stories
from bench.world import DateSummary, Users
from tests.support.edge import Edge, running
from tests.support.house import ROOT
from tests.support.instance import Instance
from tests.unit.edge.test_venue_plan import a_catalogue

PHASES = Phases(calm_from=1, killed_at=11, redis_from=21, end=31)


def a_run(*, took_s: float = 0.004, per_s: int = 100) -> Timeline:
    """Every call asked for and answered at the same pace, and nothing wrong."""
    timeline = Timeline(0.0, PHASES.end, by_begin=True)
    for number in range(int(PHASES.end * per_s)):
        at = number / per_s
        for level in LEVELS:
            timeline.request(level.step, 200, at, at + took_s)
        timeline.unit(at, at + took_s)
    return timeline


def fails(timeline: Timeline, at: float) -> None:
    timeline.failed_at.append((at, "hold:503"))


def row(verdict: Verdict, start: str) -> tuple[str, bool]:
    (found,) = [row for row in verdict.rows if row.what.startswith(start)]
    return found.measured, found.kept


def test_a_good_run_keeps_every_promise() -> None:
    verdict = judge(a_run(), PHASES, 100, 2)
    assert verdict.kept
    assert len(verdict.rows) == len(LEVELS) + 4
    assert "BROKEN" not in told("slo.txt", it=verdict)


def test_a_slow_call_is_told_apart_from_the_fast_ones() -> None:
    timeline = a_run()
    for number in range(1_000):
        timeline.request("seats", 200, 2 + number / 1_000, 2.2 + number / 1_000)
    verdict = judge(timeline, PHASES, 100, 2)
    assert not verdict.kept
    assert [r.what for r in verdict.rows if not r.kept] == ["GET /concert/available-seats"]


def test_reads_are_promised_more_than_writes() -> None:
    broken = {r.what for r in judge(a_run(took_s=0.03), PHASES, 100, 2).rows if not r.kept}
    assert broken == {level.call for level in LEVELS if level.call.startswith("GET")}


def test_one_failure_in_ten_thousand_requests_is_the_limit() -> None:
    timeline = a_run()
    asked = 10 * 100 * len(LEVELS)
    allowed = int(asked * (1 - SUCCESS_SHARE) + 1e-6)
    for _ in range(allowed):
        fails(timeline, 5.0)
    assert row(judge(timeline, PHASES, 100, 2), "requests that succeed")[1]
    fails(timeline, 5.0)
    assert not row(judge(timeline, PHASES, 100, 2), "requests that succeed")[1]


def test_a_rate_that_was_not_reached_is_a_broken_promise() -> None:
    assert row(judge(a_run(), PHASES, 200, 2), "bookings a second") == ("100.0", False)


def test_recovery_lasts_until_the_last_failure() -> None:
    timeline = a_run()
    assert recovery_s(timeline, 11, 21) == 0
    fails(timeline, 11.2)
    fails(timeline, 12.5)
    assert recovery_s(timeline, 11, 21) == pytest.approx(1.5)
    assert recovery_s(timeline, 21, 31) == 0


def test_a_booking_that_had_to_wait_is_part_of_the_recovery() -> None:
    timeline = a_run()
    timeline.unit(13.0, 16.0)  # due 2 s after the break, answered 3 s later
    timeline.unit(5.0, 10.9)  # late, but before anything broke
    assert recovery_s(timeline, 11, 21) == pytest.approx(2.0)
    assert "2.00 s" in row(judge(timeline, PHASES, 100, 2), "kill -9")[0]


def test_redis_may_cost_nothing_at_all() -> None:
    timeline = a_run()
    fails(timeline, 21.1)
    assert row(judge(timeline, PHASES, 100, 2), "Redis") == ("0.10 s", False)


def test_a_call_that_was_never_asked_for_is_not_kept() -> None:
    timeline = Timeline(0.0, 31.0, by_begin=True)
    timeline.request("status", 200, 2.0, 2.001)
    verdict = judge(timeline, PHASES, 100, 2)
    assert row(verdict, "POST /payment") == ("never asked", False)


def test_the_page_of_a_run_is_whole_and_loads_nothing() -> None:
    timeline = a_run()
    fails(timeline, 12.0)
    text = page("A & B", "2 cores", judge(timeline, PHASES, 100, 2), timeline, PHASES)
    assert "A &amp; B" in text
    assert text.count("<svg") == text.count("</svg>") == 4
    assert not re.search(r"(src|href)=|https?://", text)


def test_a_chart_stays_within_its_frame() -> None:
    drawn = chart("t", [("a <b>", [(0.0, 0.0), (5.0, 10.0), (10.0, 3.0)])], 10.0, [(5.0, "x")])
    root = ElementTree.fromstring(drawn)
    line = next(element for element in root if element.tag == "polyline")
    for point in line.attrib["points"].split():
        x, y = map(float, point.split(","))
        assert 0 <= x <= 900
        assert 0 <= y <= 240


# -- what is asked ---------------------------------------------------------------------------------


async def test_the_stories_ask_for_every_call_and_end_well() -> None:
    """Told to an edge with an application of dictionaries behind it."""
    async with running(Instance(a_catalogue())) as edge:
        asked: dict[str, str] = {}
        date = DateSummary("d1", "c1", 50, 0)
        stories = Stories(Users(), [date])
        for _ in range(2 * CURIOUS_EVERY):
            scenario = stories()
            assert scenario is not None
            await played(edge, scenario, asked)
    assert asked == {level.step: level.call for level in LEVELS}


async def played(edge: Edge, scenario: Scenario, asked: dict[str, str]) -> None:
    """Plays one story to its end, which it does not reach unless every answer is right."""
    step, request = next(scenario)
    while True:
        method, path = route_of(request)
        template = re.sub(r"^/(reservation|payment|orders)/.+", r"/\1/{id}", path)
        asked[step] = f"{method} {template}"
        response = await sent(edge, request)
        try:
            step, request = scenario.send(response)
        except StopIteration:
            return


async def sent(edge: Edge, request: bytes) -> Response:
    client = await edge.connect()
    await client.send(request)
    status, _, body = await client.answer()
    client.close()
    return Response(status, b"", body)


def test_the_page_promises_what_is_measured() -> None:
    text = (ROOT / "docs" / "reference" / "service-levels.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `([A-Z]+ /[^`]+)` \| p99 < (\d+) ms \| ([\d.]+) % \|$", re.MULTILINE)
    written = row.findall(text)
    assert written == [
        (level.call, f"{level.p99_ms:.0f}", f"{SUCCESS_SHARE * 100:g}") for level in LEVELS
    ]


_OTHERS = ("/ws", "/ticket")
"""Pushed, or pictures that a client keeps."""


async def test_every_call_of_the_api_has_a_promise() -> None:
    async with running() as edge:
        served = {
            f"{route.method} {route.path}"
            for route in edge.server.table.routes
            if route.tag != "system" and not route.path.startswith("/admin")
        }
    others = {call for call in served if call.endswith(_OTHERS)}
    assert served - others == {level.call for level in LEVELS}
