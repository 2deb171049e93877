"""``scripts/find-python``: which interpreter is taken, and what is said when there is none.

The interpreters here are small shell scripts that answer the way real ones were seen to.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.house import ROOT

GOOD = "exit 0"
OLD = "echo 'too old' >&2; exit 1"
WITHOUT_VENV = "echo 'no venv' >&2; exit 1"
SHIM = "echo 'pyenv: python3.13: command not found' >&2; exit 127"
"""A version manager's command that stands for no installed Python."""


def find(folder: Path, interpreters: dict[str, str], **environment: str) -> tuple[int, str, str]:
    for name, body in interpreters.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find-python")],
        env={"PATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_the_newest_known_version_wins(tmp_path: Path) -> None:
    found = find(tmp_path, {"python3": GOOD, "python3.11": GOOD, "python3.12": GOOD})
    assert found == (0, "python3.12", "")


def test_a_command_that_stands_for_nothing_is_passed_over(tmp_path: Path) -> None:
    assert find(tmp_path, {"python3.13": SHIM, "python3.11": GOOD}) == (0, "python3.11", "")


def test_one_without_venv_is_passed_over_for_one_with_it(tmp_path: Path) -> None:
    found = find(tmp_path, {"python3.13": WITHOUT_VENV, "python3": GOOD})
    assert found == (0, "python3", "")


def test_the_named_one_is_taken_even_if_a_newer_one_is_there(tmp_path: Path) -> None:
    found = find(tmp_path, {"mine": GOOD, "python3.13": GOOD}, PYTHON=str(tmp_path / "mine"))
    assert found == (0, str(tmp_path / "mine"), "")


@pytest.mark.parametrize(
    ("interpreters", "said"),
    [
        ({}, "no Python found"),
        ({"python3": OLD}, "3.11 or newer"),
        ({"python3": WITHOUT_VENV}, "apt install python3-venv"),
        ({"python3.12": WITHOUT_VENV, "python3": OLD}, "apt install python3-venv"),
    ],
    ids=["none at all", "too old", "no venv", "one without venv, one too old"],
)
def test_what_is_missing_is_said_in_one_line(
    tmp_path: Path, interpreters: dict[str, str], said: str
) -> None:
    status, found, complaint = find(tmp_path, interpreters)
    assert (status, found) == (2, "")
    assert said in complaint
    assert len(complaint.splitlines()) == 1


def test_a_named_one_that_does_not_run_is_called_by_its_name(tmp_path: Path) -> None:
    status, found, complaint = find(tmp_path, {"python3": GOOD}, PYTHON="python9")
    assert (status, found) == (2, "")
    assert "python9, which does not run" in complaint
