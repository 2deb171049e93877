"""The examples of the how-tos apply to the code as it is, pass their tests and touch few files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import count_patch
from tests.support.house import ROOT, own_files

ALSO = {
    "add-a-call": ["tests/unit/edge/test_reference.py", "tests/unit/bench/test_slo.py"],
    "change-a-rule": ["tests/unit/house/test_documented.py"],
}
"""Tests that ask for the lines in the documents."""


@pytest.mark.parametrize("name", count_patch.FILES_MAX)
def test_an_example_touches_few_source_files(name: str) -> None:
    source = count_patch.source_files_in(count_patch.PATCHES / f"{name}.patch")
    assert 0 < len(source) <= count_patch.FILES_MAX[name], source


@pytest.mark.skipif(shutil.which("git") is None, reason="patches are applied by git")
@pytest.mark.parametrize("name", count_patch.FILES_MAX)
def test_an_example_works_on_the_code_as_it_is(name: str, tmp_path: Path) -> None:
    patch = count_patch.PATCHES / f"{name}.patch"
    for file in own_files():
        copied = tmp_path / file.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copied)
    run(tmp_path, "git", "apply", str(patch))
    tests = [file for file in count_patch.files_in(patch) if Path(file).name.startswith("test_")]
    assert tests, "an example has a test of its own"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    run(tmp_path, sys.executable, "-m", "pytest", *options, *tests, *ALSO[name])


def run(folder: Path, *command: str) -> None:
    """In a folder that is the only place to import the project from."""
    paths = os.pathsep.join(str(folder / path) for path in (".", "http", "clients/python"))
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-4_000:] + ended.stderr[-2_000:]


def test_the_how_to_names_the_files_of_its_example() -> None:
    for name in count_patch.FILES_MAX:
        page = (ROOT / "docs" / "how-to" / f"{name}.md").read_text(encoding="utf-8")
        source = count_patch.source_files_in(count_patch.PATCHES / f"{name}.patch")
        assert [file for file in source if f"`{file}`" not in page] == [], name
