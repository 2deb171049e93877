"""``scripts/environment.py``: when the virtual environment is good enough, and where it lives."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scripts import environment


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON", raising=False)
    monkeypatch.delenv("BOOKING_VENV", raising=False)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    for name in ("requirements/run.lock", "requirements/dev.lock", "pyproject.toml"):
        (root / name).write_text(f"# {name}\n")
    monkeypatch.setattr(environment, "ROOT", root)
    return root


def made(venv: Path, kind: str) -> Path:
    """An environment as a finished set-up leaves it, its interpreter being ours."""
    (venv / "bin").mkdir(parents=True, exist_ok=True)
    (venv / "bin" / "python").unlink(missing_ok=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    stamp = environment.wanted_stamp(kind) | {"python": environment.running_version()}
    environment.write_stamp(venv, stamp)
    return venv


def test_a_finished_environment_is_fresh(checkout: Path) -> None:
    assert environment.is_fresh(made(checkout / ".venv", "run"), "run")


def test_the_environment_for_tests_also_runs_the_service(checkout: Path) -> None:
    """The environment of the service does not run the tests."""
    assert environment.is_fresh(made(checkout / "a", "dev"), "run")
    assert not environment.is_fresh(made(checkout / "b", "run"), "dev")


def test_an_interrupted_set_up_is_not_fresh(checkout: Path) -> None:
    venv = made(checkout / ".venv", "run")
    (venv / "booking-stamp.json").write_text('{"kind": "ru')
    assert not environment.is_fresh(venv, "run")


@pytest.mark.parametrize("changed", ["requirements/run.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_makes_it_stale(checkout: Path, changed: str) -> None:
    venv = made(checkout / ".venv", "run")
    (checkout / changed).write_text("# changed\n")
    assert not environment.is_fresh(venv, "run")


def test_a_moved_checkout_makes_it_stale(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(checkout / ".venv", "run")
    moved = checkout.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(environment, "ROOT", moved)
    assert not environment.is_fresh(moved / ".venv", "run")


def test_an_interpreter_that_is_gone_makes_it_stale(checkout: Path) -> None:
    venv = made(checkout / ".venv", "run")
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(checkout / "uninstalled")
    assert not environment.is_fresh(venv, "run")


def test_another_wished_for_python_makes_it_stale(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = made(checkout / ".venv", "run")
    monkeypatch.setenv("PYTHON", "python3")
    assert environment.is_fresh(venv, "run")
    monkeypatch.setattr(environment, "running_version", lambda: "3.99.0")
    assert not environment.is_fresh(venv, "run")


def test_it_lives_in_the_checkout_or_where_the_caller_says(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment.choose_place("run") == checkout / ".venv"
    monkeypatch.setenv("BOOKING_VENV", str(tmp_path / "mine"))
    assert environment.choose_place("run") == tmp_path / "mine"


def test_a_checkout_that_cannot_be_written_to_sends_it_to_the_users_cache(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != checkout and may(path, mode))
    assert environment.choose_place("run").parent == tmp_path / "cache" / "booking"
    made(checkout / ".venv", "run")
    monkeypatch.setattr(os, "access", lambda path, mode: path != checkout / ".venv")
    assert environment.choose_place("run") == checkout / ".venv", "ready, so nothing is written"
    assert environment.choose_place("dev").parent == tmp_path / "cache" / "booking"


def test_two_set_ups_at_once_take_turns(tmp_path: Path) -> None:
    inside: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with environment.only_one(tmp_path / "venv"):
            inside.append("second")

    thread = threading.Thread(target=second)
    with environment.only_one(tmp_path / "venv"):
        thread.start()
        assert waiting.wait(10)
        thread.join(0.05)
        assert thread.is_alive()
        inside.append("first")
    thread.join(10)
    assert inside == ["first", "second"]


def test_what_would_lead_python_and_pip_astray_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_CERT", "/kept")
    monkeypatch.setenv("BOOKING_VENV", "/mine")
    clean = environment.clean_environment()
    assert "PYTHONPATH" not in clean
    assert "PIP_TARGET" not in clean
    assert "BOOKING_VENV" not in clean, "the service refuses settings that it does not know"
    assert clean["PIP_CERT"] == "/kept"


def test_a_failed_installation_is_one_line_with_the_command() -> None:
    program = "import sys; sys.exit(3)"
    with pytest.raises(environment.SetupError, match=r"status 3.*import sys"):
        environment.run(sys.executable, "-c", program)


def test_the_command_takes_the_place_of_the_set_up(tmp_path: Path) -> None:
    """So that Ctrl-C and SIGTERM reach the service and not a parent that waits for it."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "tell"
    command.write_text('#!/bin/sh\necho "$$ $1 ${PYTHONPATH-none}"\n')
    command.chmod(0o755)
    program = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from scripts import environment\n"
        "environment.ensure = lambda kind: pathlib.Path(sys.argv[2])\n"
        "environment.main(['run', 'tell', 'an argument'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(environment.ROOT), str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "/elsewhere"},
        text=True,
    )
    said, _ = process.communicate(timeout=30)
    assert said.split() == [str(process.pid), "an", "argument", "none"]
