"""The lock files: every package pinned and hashed, no index named, what is run tested as it is."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support.house import ROOT

LOCKS = ("run.lock", "dev.lock", "audit.lock")
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<marker> ; [^\\]+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def requirements(lock: str) -> list[str]:
    """The lock's logical lines: continued lines joined, comments left out."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(lock: str) -> dict[str, str]:
    found = [PIN.match(line) for line in requirements(lock)]
    return {pin["name"].lower(): pin["version"] for pin in found if pin is not None}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_one_pinned_package_with_hashes(lock: str) -> None:
    for line in requirements(lock):
        pinned, *hashes = re.split(r"\s+(?=--hash)", line.strip())
        assert PIN.fullmatch(pinned.strip()), line[:80]
        assert hashes, f"{pinned} has no hash"
        assert all(HASH.fullmatch(value.strip()) for value in hashes), pinned


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_is_named(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert re.search(r"https?:|file:|@|--index|--extra-index|--find-links|--trusted", text) is None


def test_the_development_lock_holds_the_running_one_at_the_same_versions() -> None:
    running, development = pins("run.lock"), pins("dev.lock")
    assert {name: development.get(name) for name in running} == running


def test_everything_the_project_asks_for_is_locked() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups, project = config["dependency-groups"], config["project"]
    extras = project["optional-dependencies"]
    run = [*project["dependencies"], *extras["demo"], *extras["relay"], *groups["build"]]
    assert names(run) <= pins("run.lock").keys()
    assert names([*run, *groups["dev"], *groups["compare"]]) <= pins("dev.lock").keys()
    assert names(groups["audit"]) <= pins("audit.lock").keys()


def names(wanted: list[str]) -> set[str]:
    return {re.split(r"[\s\[><=!~;]", requirement)[0].lower() for requirement in wanted}
