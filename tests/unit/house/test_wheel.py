"""The wheel holds the four packages with their data files, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.house import PACKAGES, ROOT


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def in_the_tree() -> set[str]:
    """Every file of the packages, by the name it has once installed."""
    return {
        path.relative_to((ROOT / package).parent).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_holds_exactly_the_four_packages(wheel_names: set[str]) -> None:
    assert {Path(name).parts[0] for name in wheel_names} == {
        "actors",
        "booking",
        "booking_client",
        "booking_http",
    }
    assert wheel_names == in_the_tree()


def test_the_wheel_holds_the_statements_the_journal_needs(wheel_names: set[str]) -> None:
    """Data files are easily left behind: without them the installed service could not start."""
    tree = in_the_tree()
    assert any(name.endswith(".sql") for name in tree)
    assert {name for name in tree if not name.endswith(".py")} <= wheel_names
