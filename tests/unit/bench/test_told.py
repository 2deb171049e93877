"""What each measurement prints: whole tables, word for word, of findings that were made up."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from bench import hall, hop, sockets, spread
from bench.record import Latencies
from bench.report import SideReport, StepReport, conclude, told
from bench.slo.verdict import Row, Verdict
from tests.unit.bench.test_report import finding, queue, report

SOME = Latencies(5_000, 1.0, 2.0, 9.9, 12.0)


def text(expected: str) -> str:
    return dedent(expected).strip("\n")


def a_hall(**changes: object) -> hall.Finding:
    figures: dict[str, object] = {
        "machine": "a machine",
        "seats": 100_000,
        "holds_per_s": 12_345.6,
        "sales_per_s": 23_456.7,
        "hold_ratio": 1.234,
        "sale_ratio": 1.1,
        "held_bytes": 99.9,
        "sold_bytes": 33.3,
        "list_s": 0.512,
        "list_again_s": 0.02,
        "takeover_s": 1.234,
        "stops_ms": {"list": 12.3, "holds": 48.5},
        "problems": [],
    }
    return hall.Finding(**{**figures, **changes})  # type: ignore[arg-type]


def test_a_large_date_is_told_with_each_claim() -> None:
    assert told("hall.txt", it=a_hall()) == text(
        """
        a date of 100,000 seats; a machine
        holds 12,346/s, 1.23 of the cost in dates of 50; sales 23,457/s, 1.10
        ledger: 100 bytes a held seat, 33 a sold one
        list 0.51 s, after a change 0.02 s; takeover 1.23 s
        largest stops of the loop: list 12 ms, holds 48 ms

        pass  holds and sales 12,346/s, at least 5,000/s
        pass  cost over that in dates of 50: 1.23, at most 1.5
        pass  a held seat 100 bytes, below 150
        pass  largest stop 48 ms (holds), below 50 ms
        pass  every command did what it should
        """
    )


def test_what_went_wrong_is_told_below_the_claims() -> None:
    lines = told("hall.txt", it=a_hall(problems=["one", "another"])).splitlines()
    assert lines[-3:] == [
        "FAIL  every command did what it should",
        "WRONG: one",
        "WRONG: another",
    ]


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"sales_per_s": 4_999.0}, "holds and sales 4,999/s"),
        ({"sale_ratio": 1.51}, "cost over that in dates of 50: 1.51"),
        ({"held_bytes": 150.0}, "a held seat 150 bytes"),
        ({"stops_ms": {"holds": 50.0}}, "largest stop 50 ms (holds)"),
    ],
)
def test_each_claim_of_a_large_date_is_held_to_its_limit(
    changes: dict[str, object], claim: str
) -> None:
    (broken,) = [words for words, holds in a_hall(**changes).verdicts() if not holds]
    assert broken.startswith(claim)


def test_a_queue_is_told_alone_and_as_a_part_of_a_journal() -> None:
    """Given a queue that was measured, when it is told alone or behind a journal, then its figures
    are the same lines, and its claims stand with the others'."""
    alone = told("waiting.txt", it=queue())
    assert alone == text(
        """
        1,000,000 waiting; a machine
        takeover 2.00 s (1.40 s of it computing), another instance's view 2.00 s; 189 bytes a user
        joins 9,000/s, leaves 5,000/s, status 9.0 us, 10,000 admitted in 0.50 s
        pause of a planned move: median 60 ms, longest 60 ms of 2; computing 50 and 50 ms
        largest stops of the loop: takeover 12 ms

        pass  largest stop 12 ms (takeover), below 50 ms
        pass  takeover 2.00 s, below 3 s
        pass  longest pause of a move 60 ms, below 250
        pass  189 bytes a user, below 400
        """
    )
    figures, claims = alone.split("\n\n")
    whole = told("scale.txt", it=finding(queue=queue()))
    assert f"{figures}\n\npass  cold entity" in whole
    assert whole.endswith(claims)


def test_a_journal_without_a_queue_is_told_without_one() -> None:
    assert told("scale.txt", it=finding(problems=["audit"])) == text(
        """
        100,000 users, 1,000,000 events (5,000 bookings among them); a machine
        stop 1.00 s; restart 1.50 s, after kill -9 2.50 s (1.00 s of it computing)
        cold entity: p50 1.00 ms, p95 2.00 ms, p99 9.90 ms, max 12.00 ms (5,000 one by one); 3,000/s over 64 connections
        memory 150 MB when ready, 299 MB after 100,000 users were asked for
        longest stop of the event loop, restart: 90 ms (60 ms of it or another its own work)
        longest stop of the event loop, bookings: 70 ms (50 ms of it or another its own work)
        longest stop of the event loop, all asked for: 70 ms (50 ms of it or another its own work)
        audit 10.0 s (100,000 events/s)

        pass  cold entity p99 9.90 ms, below 10 ms
        pass  memory 299 MB, below 300 MB
        pass  restart to ready 2.50 s, below 3 s
        pass  no stop of the loop over 50 ms while it serves
        FAIL  balances and audit
        WRONG: audit
        """  # noqa: E501
    )


def test_listeners_are_told_phase_by_phase() -> None:
    phase = sockets.Phase("all read", 2_000, 70, SOME, 3, 1.2345, SOME, 0.456)
    numbers = {"booking_socket_a": 12.0, "booking_socket_b": 1.5}
    found = sockets.Finding("a machine", 19_500, 9.71, 80.1, 500.2, 600.3, [phase], {}, numbers)
    assert told("sockets.txt", it=found) == text(
        """
        19,500 listening clients, connected in 9.7 s; a machine
        memory 80 MB before, 500 MB with them, 600 MB at the end: 21.5 and 26.7 kB a client
        all read: 2,000 read, 70 changes; lateness p50 1 ms, p95 2 ms, p99 10 ms, max 12 ms; 1.23 frames/s each; status p50 1.0 ms, p99 9.9 ms; server 46% of a core; 3 not told
        booking_socket_a 12
        booking_socket_b 1.5

        pass  push lateness p99 10 ms, below 1000 ms
        pass  memory 26.7 kB a client, below 30 kB
        FAIL  everybody who reads was told of every change
        pass  nobody was closed
        """  # noqa: E501
    )


def test_costs_of_many_instances_stand_below_each_other() -> None:
    costs = [spread.Cost(n, 400 * n, 12.34 * n, 5.678, 3.21, 1.5 * n, 88.8 * n) for n in (1, 16)]
    claims = [("a booking on 16 costs no more", False)]
    assert told("spread.txt", costs=costs, rate=40.0, machine="a machine", verdicts=claims) == text(
        """
        spread: 40 whole bookings a second, spread evenly; a machine

        instances  bookings  idle ms/s  services ms  PostgreSQL ms  links kB  memory MB
                1       400       12.3         5.68           3.21       1.5         89
               16     6,400      197.4         5.68           3.21      24.0       1421
        FAIL  a booking on 16 costs no more
        """
    )


def test_the_ratio_of_a_hop_is_that_of_the_medians(capsys: pytest.CaptureFixture[str]) -> None:
    local = [hop.Slice(1_000, us, 50.0, 2.0) for us in (100.0, 101.0, 99.0)]
    remote = [hop.Slice(800, us, 51.0, 2.0) for us in (130.0, 131.0, 129.0)]
    assert hop._show(local, remote) == pytest.approx(1.3)
    assert (
        capsys.readouterr().out
        == text(
            """
        hop: POST /user/charge at one of two instances, for its own users and the other's

                    requests/s  both services us  PostgreSQL us
        local              500             100.0           50.0
        remote             400             130.0           51.0

        ratio 1.30 of the CPU (slices 1.30 to 1.30)
        """
        ).replace("            requests/s", "            requests/s")
        + "\n"
    )


def test_a_workload_in_several_steps_has_a_line_for_each() -> None:
    side = SideReport(
        units=100,
        units_per_s=50.0,
        requests_per_s=100.0,
        latency=SOME,
        slices_per_s=[],
        steps={"ask": StepReport(SOME, {503: 2, 200: 98}), "pay": StepReport(SOME, {201: 100})},
        failures={},
        send_lag=Latencies(1, 0.1, 0.2, 0.3, 0.4),
        server_cpu_us=12.3,
        database_cpu_us=4.5,
        generator_cpu_us=7.8,
    )
    made = report([])
    made = type(made)(
        *("flow", "whole bookings", "booking", 64, False, 12.0, "a machine"),
        *(side, None, 0.0, [], ["a seat is gone"]),
    )
    assert told("workload.txt", it=made) == text(
        """
        flow: whole bookings
        open loop, 12/s, 64 connections, no keys; a machine

                           bookings/s  requests/s   p50 ms   p95 ms   p99 ms   max ms  failed
        service                    50         100     1.00     2.00     9.90    12.00       0
          ask                                         1.00     2.00     9.90    12.00
          pay                                         1.00     2.00     9.90    12.00
        CPU a request, service: server 12.3 us, PostgreSQL 4.5 us, generator 7.8 us
        sent late by the generator, service: p50 0.10 ms, p99 0.30 ms (part of the latencies)
        statuses, service: ask 200: 98 503: 2; pay 201: 100
        WRONG: a seat is gone
        """
    )


def test_promises_stand_in_columns() -> None:
    rows = [Row("a call", "p99 < 25 ms", "4 ms", True), Row("all of it", "0 s", "1 s", False)]
    assert told("slo.txt", it=Verdict(rows, ["one note", "another"])) == text(
        """
        kept    a call     p99 < 25 ms  4 ms
        BROKEN  all of it  0 s          1 s

        one note
        another
        """
    )


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("problems", "status"), [([], 0), (["one"], 1)])
def test_a_claim_that_does_not_hold_is_the_exit_status(
    problems: list[str], status: int, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conclude(a_hall(problems=problems), "hall.txt", as_json=as_json) == status
    printed = capsys.readouterr().out
    if as_json:
        assert json.loads(printed)["problems"] == problems
    else:
        assert printed.startswith("a date of 100,000 seats")
