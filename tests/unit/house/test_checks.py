"""``scripts/checks.py``: what ``./scripts/test`` runs for which arguments, and how it ends."""

from __future__ import annotations

import os
import stat
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
    monkeypatch.chdir(ROOT)
    return recorded


def tools(commands: list[list[str]]) -> list[str]:
    return ["pytest" if "pytest" in command else Path(command[0]).name for command in commands]


def test_without_arguments_every_check_runs_and_the_tests_come_last(
    commands: list[list[str]],
) -> None:
    assert checks.main([]) == 0
    assert tools(commands) == ["chromium", "ruff", "ruff", "mypy", "lint-imports", "pytest"]


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
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def mypy_fails(command: list[str]) -> int:
        ran.append(command[0])
        return int(command[0] == "mypy")

    monkeypatch.setattr(checks, "run", mypy_fails)
    monkeypatch.chdir(ROOT)
    assert checks.main([]) == 1
    assert len(ran) == 6
    assert capsys.readouterr().out.splitlines()[-1] == "== FAILED: types"


def test_failed_tests_are_a_failure_with_their_own_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "run", lambda command: 5 if "pytest" in command else 0)
    monkeypatch.chdir(ROOT)
    assert checks.main([]) == 5


def test_a_command_runs_and_its_status_comes_back() -> None:
    assert checks.run(["/bin/sh", "-c", "exit 7"]) == 7


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


@pytest.mark.parametrize("name", ["up", "crowd", "test", "lock", "find-python", "chromium"])
def test_the_scripts_can_be_run_by_their_names(name: str) -> None:
    script = ROOT / "scripts" / name
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
