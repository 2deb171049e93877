"""What is said of the price of more instances."""

from __future__ import annotations

import pytest

from bench import spread
from bench.spread import Cost


def cost(instances: int, services_ms: float) -> Cost:
    return Cost(
        instances=instances,
        bookings=400,
        idle_ms_per_s=12.5,
        services_ms=services_ms,
        postgres_ms=1.25,
        peer_kb=5.0,
        memory_mb=80.0 * instances,
    )


@pytest.mark.parametrize(("most_ms", "status", "word"), [(3.2, 0, "pass"), (3.4, 1, "FAIL")])
def test_a_booking_on_many_may_cost_1_6_times_one_on_one(
    most_ms: float,
    status: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    costs = {1: cost(1, 2.0), 16: cost(16, most_ms)}
    monkeypatch.setattr(spread, "_cost", lambda count, options: costs[count])
    assert spread.main(["--instances", "1,16"]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == ["16", "400", "12.5", f"{most_ms:.2f}", "1.25", "5.0", "1280"]
    assert lines[-1].startswith(word)


@pytest.mark.parametrize("instances", ["0", "1,64", ""])
def test_a_number_of_instances_is_within_limits(instances: str) -> None:
    with pytest.raises(SystemExit):
        spread.main(["--instances", instances])
