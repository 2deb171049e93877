"""``tests/support/lanes.py`` and ``told.py``: a run of several processes, on tests made for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import ROOT
from tests.support.lanes import APART, TOGETHER, lane_of

TEST = """
import os, pytest
@pytest.mark.parametrize("number", [1, 2, 3])
def test_it(number, tell):
    tell(f"in process {os.getpid()}")
    assert NUMBERS
"""


@pytest.mark.parametrize(
    ("nodeid", "lane"),
    [
        ("tests/cluster/test_killed.py::test_it[1]", "tests/cluster"),
        ("tests/chaos/test_chaos.py::test_it[60]", "tests/cluster"),
        ("tests/browser/console/test_console.py::test_it", "tests/browser"),
        ("tests/unit/cluster/test_views.py::test_it", "tests/unit/cluster/test_views.py"),
        ("tests/clusters.py::test_it", "tests/clusters.py"),
        (f"{APART[0]}::test_it[1]", f"{APART[0]}::test_it[1]"),
    ],
)
def test_files_stay_together_and_some_folders_too(nodeid: str, lane: str) -> None:
    assert lane_of(nodeid) == lane


def test_the_folders_that_stay_together_exist() -> None:
    assert all((ROOT / folder).exists() for folder in TOGETHER)
    assert all((ROOT / file).is_file() for file in APART)


def test_several_processes_keep_folders_together(tmp_path: Path) -> None:
    """What tests tell is shown at the end of the run."""
    for name in ("cluster/test_a", "cluster/test_b", "unit/test_c", "unit/test_d"):
        file = tmp_path / "tests" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEST.replace("NUMBERS", "number < 3" if name == "unit/test_d" else "True"))
    plugins = [
        f"-p{name}" for name in ("xdist.plugin", "tests.support.lanes", "tests.support.told")
    ]
    options = ("--import-mode=importlib", "-n", "2", "-p", "no:cacheprovider", "--rootdir", ".")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *options, "tests"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^=+ 1 failed, 11 passed in .* =+$", done.stdout, re.MULTILINE)
    told = re.findall(r"^(tests\S+)\.py::\S+\n  in process (\d+)$", done.stdout, re.MULTILINE)
    processes = {name: {pid for of, pid in told if of == name} for name, _ in told}
    assert len(told) == 12
    assert processes["tests/cluster/test_a"] == processes["tests/cluster/test_b"]
    assert all(len(pids) == 1 for pids in processes.values())
    assert len({pid for _, pid in told}) == 2
