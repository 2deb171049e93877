"""A seed tells the same run each time, to the letter; and a failing one is told in short."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from actors import address as addresses
from tests.simulation import faults
from tests.simulation.__main__ import main, summary
from tests.simulation.plan import Fault, Plan, make_plan
from tests.simulation.shrink import less, shrunk
from tests.simulation.story import Told, run
from tests.simulation.tally import commit_here, kept
from tests.simulation.timeline import Timeline, page
from tests.simulation.truth import Violation
from tests.support.house import ROOT

RUNNABLE = sorted(faults.KINDS.keys() - faults.CALLED_OFF.keys())
KINDS = ["kill", "messages_late", "store_away", "isolated", "redis_away"]


def told_by_another_process(seed: int, hash_seed: str) -> str:
    """As a person would run it, with another order of sets and dictionaries of strings."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    environ = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run(
        [*command, "--kinds", ",".join(KINDS)],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    return told.stdout


@pytest.mark.parametrize("seed", [3, 4])
def test_a_seed_tells_the_same_to_the_letter(seed: int) -> None:
    here = run(make_plan(seed, KINDS))
    again = run(make_plan(seed, KINDS))
    assert here.timeline.text() == again.timeline.text()
    text = f"{here.timeline.text()}\n{summary(here)}\n"
    assert told_by_another_process(seed, "1") == told_by_another_process(seed, "2") == text


def test_a_run_leaves_nothing_behind() -> None:
    run(make_plan(1, KINDS))
    assert addresses.SLOT_COUNT == 256
    assert max(addresses.slot_of(f"d{number}") for number in range(9)) >= 16


def test_an_instance_is_killed_while_another_run_takes_its_name() -> None:
    """Given four that live, one of which is restarted and killed at once: the run goes on without
    a fifth."""
    befall = (
        Fault(0, "join", at_s=0.8, for_s=0.4, on=2),
        Fault(1, "restart", at_s=7.249, for_s=1.8, on=1),
        Fault(2, "kill", at_s=7.644, for_s=5.3, on=1),
    )
    plan = msgspec.structs.replace(make_plan(726, KINDS), instances=3, users=(), faults=befall)
    told = run(plan)
    assert told.violation is None, told.timeline.text()
    assert told.held == Counter(join=1, restart=1, kill=1)


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(701, id="why the queue refused a user"),
        pytest.param(1909, id="an admission that a hold went by"),
        pytest.param(2005, id="a hold whose answer was on its way to the account"),
        pytest.param(4412, id="a hold that its key asks for again"),
        pytest.param(31402, id="what a view had heard of it, with its owner"),
    ],
)
def test_what_is_lost_with_the_store_breaks_nothing_else(seed: int) -> None:
    """Given a standby that lacks it, the run ends with every invariant."""
    told = run(make_plan(seed, RUNNABLE))
    assert told.held["promoted"]
    assert told.violation is None, told.timeline.text()


def failed(plan: Plan, *, guilty: int, user: int) -> Told:
    """It fails when a certain fault befalls a certain user."""
    fails = guilty in {fault.number for fault in plan.faults} and user in plan.users
    broken = Violation("I1", "sold twice") if fails else None
    return Told(plan, broken, Timeline(), held=Counter(), answers=0, rows=0, virtual_s=1.0)


def test_a_failing_run_is_shrunk_to_who_matters() -> None:
    plan = make_plan(5, KINDS, faults_max=6)
    guilty, user = plan.faults[-1].number, plan.users[-1]
    small = shrunk(
        failed(plan, guilty=guilty, user=user), lambda p: failed(p, guilty=guilty, user=user)
    )
    assert [fault.number for fault in small.plan.faults] == [guilty]
    assert small.plan.users == (user,)
    assert small.plan.instances == 2


def test_shrinking_finds_two_that_are_guilty_together() -> None:
    assert less(range(20), lambda some: {3, 17} <= set(some)) == [3, 17]


def test_a_timeline_is_a_page_that_needs_nothing_else() -> None:
    told = run(make_plan(2, KINDS))
    html = page("Seed 2", summary(told), told.timeline)
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "src=" not in html
    assert html.count("<tr class=") == len(told.timeline.moments)
    assert {moment.lane for moment in told.timeline.moments} >= {"user", "service", "journal"}


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.html"
    assert main(["--seed", "1", "--kinds", "kill", "--html", str(file)]) == 0
    assert "every invariant held" in capsys.readouterr().out
    assert file.read_text().startswith("<!doctype html>")


def test_the_command_counts_what_was_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--jobs", "1", "--kinds", "kill"]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    assert told[commit_here()].split()[:4] == ["4", "0", "to", "3"]
    assert int(told["kill"].split()[0]) >= 4


def test_the_command_goes_on_where_it_was_cut_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given two of three runs in the file, and half a line of the third: it runs the third alone,
    and tells of all three; of another commit it runs all."""
    file, ran = tmp_path / "seeds", list[int]()

    def told(plan: Plan) -> Told:
        ran.append(plan.seed)
        broken = Violation("I1", "sold twice") if plan.seed == 8 else None
        return Told(plan, broken, Timeline(), Counter(kill=2), answers=5, rows=7, virtual_s=1.0)

    monkeypatch.setattr("tests.simulation.__main__.run", told)
    monkeypatch.setattr("tests.simulation.__main__.commit_here", lambda: "abc")
    command = ["--first", "7", "--seeds", "3", "--jobs", "1", "--to", str(file)]
    assert main(command) == 1
    file.write_bytes(file.read_bytes()[:-9])
    assert main(command) == 1
    assert ran == [7, 8, 9, 9]
    assert [line.seed for line in kept(file)] == [7, 8, 9]
    out = capsys.readouterr().out
    assert out.count("seed 8: I1: sold twice") == 1  # told when it ran
    assert re.search(r"^abc +3 +7 to 9 +15 +21 +6 +1$", out, re.MULTILINE)
    monkeypatch.setattr("tests.simulation.__main__.commit_here", lambda: "def")
    main(command)
    assert ran[4:] == [7, 8, 9]
    assert re.search(r"^abc .*\n^def ", capsys.readouterr().out, re.MULTILINE)  # it tells of both
