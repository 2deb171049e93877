"""What a run prints, and what the command line refuses."""

from __future__ import annotations

import msgspec
import pytest

from bench import run, scale, waiting
from bench.record import Latencies, Recorder, Side
from bench.report import Report, side_report, slice_ratios, told
from bench.watchdog import Stop


def side(name: str, count: int, seconds: float, status: int = 200) -> Side:
    found = Side(name)
    for _ in range(2):
        recorder = Recorder(0.0, 10.0)
        for _ in range(count):
            recorder.request("ask", status, 1.0, 1.004)
            recorder.unit(1.0, 1.004)
        found.add(recorder, seconds)
    return found


def report(problems: list[str]) -> Report:
    service, bare = side("service", 100, 2.0), side("bare route", 400, 2.0)
    service.failures["ask:503"] = 7
    return Report(
        workload="status",
        title="polls",
        unit="request",
        connections=64,
        keys=True,
        rate=0.0,
        machine="a machine",
        service=side_report(service),
        bare=side_report(bare),
        ratio=0.25,
        slice_ratios=slice_ratios(service, bare),
        problems=problems,
    )


def test_the_table_has_rates_latencies_ratio_and_failures() -> None:
    text = told("workload.txt", it=report(["balance is off"]))
    assert "ratio 0.25 of the bare route (slices 0.25 to 0.25" in text
    (line,) = [line for line in text.splitlines() if line.startswith("service ")]
    assert line.split() == ["service", "50", "50", "4.00", "4.00", "4.00", "4.00", "7"]
    assert "failures, service: {'ask:503': 7}" in text
    assert "WRONG: balance is off" in text


def test_a_report_is_json_too() -> None:
    document = msgspec.json.decode(msgspec.json.encode(report([])))
    assert document["service"]["steps"]["ask"]["statuses"] == {"200": 200}
    assert document["slice_ratios"] == [0.25, 0.25]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        [],
        ["status", "--seconds", "601"],
        ["status", "--seconds", "0"],
        ["status", "--slices", "0"],
        ["status", "--connections", "10001"],
        ["status", "--url", "http://192.168.1.1:8080"],
    ],
)
def test_what_cannot_be_run_ends_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--users", "0"], ["--cold", "200000"], ["--events", "1000"], ["--users", "2000000"]],
)
def test_a_size_that_makes_no_sense_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        scale.main(arguments)
    assert end.value.code == 2


FINE = Stop(70.0, 50.0)


def finding(**changes: object) -> scale.Finding:
    good = scale.Finding(
        machine="a machine",
        users=100_000,
        asked=100_000,
        events=1_000_000,
        bookings=5_000,
        stop_s=1.0,
        restart_s=1.5,
        restart_after_kill_s=2.5,
        restart_cpu_s=1.0,
        cold=Latencies(5_000, 1.0, 2.0, 9.9, 12.0),
        others_per_s=3_000.0,
        memory_ready_mb=150.0,
        memory_mb=299.0,
        stops={"restart": Stop(90.0, 60.0)} | dict.fromkeys(("bookings", "all asked for"), FINE),
        audit_s=10.0,
        problems=[],
    )
    return msgspec.structs.replace(good, **changes)


def queue(**changes: object) -> waiting.Finding:
    good = waiting.Finding(
        machine="a machine",
        waiting=1_000_000,
        user_bytes=189.0,
        takeover_s=2.0,
        takeover_cpu_s=1.4,
        joins_per_s=9_000.0,
        status_us=9.0,
        admission_s=0.5,
        leaves_per_s=5_000.0,
        pauses_ms=[40.0, 60.0],
        pauses_cpu_ms=[30.0, 50.0],
        replica_s=2.0,
        stops_ms={"takeover": 12.0},
    )
    return msgspec.structs.replace(good, **changes)


def test_every_claim_of_size_is_held_to_its_limit() -> None:
    assert all(holds for _, holds in finding().verdicts())
    assert "FAIL" not in told("scale.txt", it=finding())
    for changes in (
        {"cold": Latencies(5_000, 1.0, 2.0, 10.0, 12.0)},
        {"memory_mb": 300.0},
        {"restart_s": 3.0},
        {"restart_after_kill_s": 3.0},
        {"stops": {"bookings": FINE, "all asked for": Stop(70.0, 51.0)}},
        {"problems": ["audit"]},
        {"queue": queue(stops_ms={"takeover": 51.0})},
    ):
        verdicts = finding(**changes).verdicts()
        assert [holds for _, holds in verdicts].count(False) == 1
        assert "FAIL" in told("scale.txt", it=finding(**changes))


def test_the_large_size_has_a_queue_of_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its part of the table is what `bench waiting` says, which runs in a process of its own."""
    ran: list[list[str]] = []

    def run_to_end(name: str, command: list[str], *_: object, **options: object) -> str:
        ran.append(command[1:])
        assert options["well"] == (0, 1), "a claim that does not hold is no failure to measure"
        return msgspec.json.encode(queue()).decode()

    monkeypatch.setattr(scale, "run_to_end", run_to_end)
    monkeypatch.setattr(scale, "measure", lambda options: finding(users=options.users))
    assert scale.main(["--large", "--json"]) == 0
    assert ran == [["-m", "bench", "waiting", "--waiting", "1000000", "--json"]]
    text = told("scale.txt", it=finding(queue=queue()))
    assert "1,000,000 waiting; a machine" in text
    assert "pass  takeover 2.00 s, below 3 s" in text
