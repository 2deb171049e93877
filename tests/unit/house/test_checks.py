"""``scripts/checks.py``: what ``./scripts/test`` runs for which arguments, and how it ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import checks
from tests.support.house import ROOT


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run; everything succeeds."""
    recorded: list[list[str]] = []

    def record(command: list[str]) -> int:
        recorded.append(command)
        return 0

    monkeypatch.setattr(checks, "run", record)
    monkeypatch.setattr(checks, "capture", lambda command: (record(command), "", 0.0))
    monkeypatch.chdir(ROOT)
    for name in checks.NAMED_SERVERS:
        monkeypatch.delenv(name, raising=False)
    return recorded


def tools(commands: list[list[str]]) -> list[str]:
    return ["pytest" if "pytest" in command else Path(command[0]).name for command in commands]


def test_without_arguments_every_check_runs_and_the_tests_come_last(
    commands: list[list[str]],
) -> None:
    assert checks.main([]) == 0
    first, *static, last = tools(commands)
    assert (first, last) == ("chromium", "pytest")
    assert sorted(static) == ["lint-imports", "mypy", "ruff", "ruff"]


def test_tests_share_processes_unless_servers_are_named(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes would meet in named servers."""
    checks.main([])
    assert commands[-1][-2:] == ["-n", str(checks.LANES)]
    monkeypatch.setenv("BOOKING_TEST_REDIS_URL", "redis://127.0.0.1:6379/5")
    checks.main([])
    assert "-n" not in commands[-1]


def test_the_browser_tests_are_preceded_by_a_browser(commands: list[list[str]]) -> None:
    checks.main(["browser", "-x"])
    assert tools(commands) == ["chromium", "pytest"]
    assert commands[1][-2:] == ["tests/browser", "-x"]


@pytest.mark.parametrize(
    ("part", "tool"),
    [("format", "ruff"), ("lint", "ruff"), ("types", "mypy"), ("imports", "lint-imports")],
)
def test_the_name_of_a_check_runs_it_alone(commands: list[list[str]], part: str, tool: str) -> None:
    checks.main([part])
    assert tools(commands) == [tool]


def test_the_name_of_a_folder_runs_its_tests_with_the_rest_for_pytest(
    commands: list[list[str]],
) -> None:
    checks.main(["unit", "-k", "seat"])
    assert tools(commands) == ["pytest"]
    assert commands[0][-3:] == ["tests/unit", "-k", "seat"]


def test_anything_else_is_for_pytest(commands: list[list[str]]) -> None:
    checks.main(["--lf", "-x"])
    assert tools(commands) == ["pytest"]
    assert commands[0][-2:] == ["--lf", "-x"]


def test_a_failed_check_does_not_hide_the_others_and_is_not_forgotten(
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    well = checks.capture

    def mypy_fails(command: list[str]) -> tuple[int, str, float]:
        _, said, took_s = well(command)
        return (1, "no such type\n", took_s) if command[0] == "mypy" else (0, said, took_s)

    monkeypatch.setattr(checks, "capture", mypy_fails)
    assert checks.main([]) == 1
    assert len(commands) == 6
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("no such type") + 1 == lines.index("== types: FAILED in 0.0 s")
    assert lines[-1] == "== FAILED: types"


def test_checks_run_side_by_side_and_are_shown_in_their_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The first one ends only when the last one has begun."""
    sign = tmp_path / "begun"
    os.mkfifo(sign)
    commands = {
        "first": ["/bin/sh", "-c", f"cat {sign}; exit 3"],
        "second": ["/bin/sh", "-c", f"echo the sign >{sign}; echo no fault >&2"],
    }
    assert checks.side_by_side(commands) == ["first"]
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("==")]
    assert said == ["the sign", "no fault"]


def test_failed_tests_are_a_failure_with_their_own_status(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "run", lambda command: 5 if "pytest" in command else 0)
    assert checks.main([]) == 5
    assert len(commands) == 4, "the checks that are no tests"


def test_a_command_runs_and_its_status_comes_back() -> None:
    assert checks.run(["/bin/sh", "-c", "exit 7"]) == 7


def test_processes_of_tests_keep_what_they_compile_whatever_is_set(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They do so outside of the checkout, and nothing of it is left afterwards."""
    (tmp_path / "imported.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    kept: list[Path] = []

    def run(_: list[str]) -> int:
        there = Path(os.environ["PYTHONPYCACHEPREFIX"])
        done = subprocess.run([sys.executable, "-c", "import imported"], check=False)
        kept.extend(there.rglob("imported.*.pyc"))
        return done.returncode

    monkeypatch.setattr(checks, "run", run)
    assert checks.main(["unit"]) == 0
    [found] = kept
    assert not found.is_relative_to(ROOT)
    assert not found.exists()
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "PYTHONPYCACHEPREFIX" not in os.environ


def test_ctrl_c_waits_and_ends_with_the_status_of_shells(tmp_path: Path) -> None:
    """As at a terminal, everybody in the foreground is told."""
    mark = tmp_path / "ended-in-its-way"
    inner = f"trap 'echo >{mark}; exit 0' INT; echo ready; while :; do sleep 0.05; done"
    program = (
        "import sys; from scripts import checks\n"
        "try: checks.run(['/bin/sh', '-c', sys.argv[1]])\n"
        "except KeyboardInterrupt: sys.exit(checks.INTERRUPTED)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, inner],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == checks.INTERRUPTED == 130
    assert mark.exists()


def test_what_another_user_left_behind_sends_the_caches_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    foreign = tmp_path / ".mypy_cache"
    foreign.mkdir()
    assert checks.writable_caches() == tmp_path
    monkeypatch.setattr(os, "access", lambda path, mode: path != foreign)
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path / prefix))
    assert checks.writable_caches() == tmp_path / "booking-checks-"


@pytest.mark.parametrize(
    "name", ["up", "crowd", "test", "lock", "measure", "find-python", "chromium"]
)
def test_the_scripts_can_be_run_by_their_names(name: str) -> None:
    script = ROOT / "scripts" / name
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")


def test_a_test_that_hangs_is_shown_and_ends_the_run_though_it_catches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a test that goes on after its limit's exception, as a callback of an event loop does.
    Then the run ends, names the test, shows where it hangs, and does not start it again."""
    monkeypatch.setattr(checks, "HANGING_S", 2)
    (tmp_path / "test_hanging.py").write_text(
        "import time\n"
        "def test_hangs():\n"
        "    while True:\n"
        "        try: time.sleep(60)\n"
        "        except BaseException: pass\n"
    )
    # Only the plugins concerned: the others take seconds to load, in two processes.
    plugins = ["-p", "xdist.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *plugins, "-c", "/dev/null"]
    done = subprocess.run(
        [*command, *checks.never_hanging(), "-n", "1", "--timeout=1", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )
    assert done.returncode != 0
    assert "crashed while running" in done.stdout
    assert "::test_hangs" in done.stdout
    assert 'test_hanging.py", line 4 in test_hangs' in done.stderr
