"""``.ci/audit``: a weakness fails it, and only a service that cannot be reached is no failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts import audit
from tests.support.house import ROOT

GOOD = {"name": "good", "version": "1.0", "vulns": []}
WEAK = {
    "name": "weak",
    "version": "2.0",
    "vulns": [{"id": "CVE-1-2", "aliases": ["GHSA-x"], "fix_versions": ["2.1"]}],
}
UNKNOWN = {"name": "unknown", "skip_reason": "could not be found"}
TRACEBACK = "Traceback (most recent call last):\n  ...\n"
REFUSED = f"{TRACEBACK}requests.exceptions.ConnectionError: HTTPSConnectionPool(host='x')"
"""The last line of what pip-audit 2.10 says where no name is known, or nobody listens."""
FORGED = f"{TRACEBACK}requests.exceptions.SSLError: HTTPSConnectionPool(host='x')"
BUSY = f"{TRACEBACK}pip_audit._service.interface.ServiceError"
UNPINNED = "ERROR:pip_audit._cli:requirement x is not pinned: x>=1 (from RequirementLine())"


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_packages_without_a_known_weakness_are_fine() -> None:
    status, lines = audit.verdict("dev.lock", report(GOOD, GOOD), "")
    assert (status, len(lines)) == (0, 1)
    assert "2 packages" in lines[0]


def test_a_weakness_fails_and_is_told_with_what_fixes_it() -> None:
    status, lines = audit.verdict("dev.lock", report(GOOD, WEAK), "")
    assert (status, lines) == (1, ["dev.lock: weak 2.0: CVE-1-2, GHSA-x, fixed in 2.1"])


def test_a_package_that_could_not_be_looked_up_fails() -> None:
    assert audit.verdict("dev.lock", report(GOOD, UNKNOWN), "")[0] == 1
    assert audit.verdict("dev.lock", report(), "")[0] == 1


def test_a_service_out_of_reach_is_one_clear_line_with_a_status_of_its_own() -> None:
    status, lines = audit.verdict("dev.lock", "", REFUSED)
    assert (status, len(lines)) == (audit.UNREACHED, 1)
    assert "NOT AUDITED: the advisory service could not be reached" in lines[0]


@pytest.mark.parametrize("errors", [FORGED, BUSY, UNPINNED, "", TRACEBACK])
def test_any_other_end_without_a_report_is_a_failure(errors: str) -> None:
    status, lines = audit.verdict("dev.lock", "", errors)
    assert status == 1
    assert "could not be reached" not in "".join(lines)


Ends = Callable[[dict[str, tuple[str, str]]], list[str]]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Have the audit of each lock end with this report and these errors; gives those asked for."""

    def end(with_: dict[str, tuple[str, str]]) -> list[str]:
        asked: list[str] = []

        def audited(lock: str, file: Path, arguments: list[str]) -> str:
            asked.append(lock)
            text, errors = with_[lock]
            if text:
                file.write_text(text)
            return errors

        monkeypatch.setattr(audit, "audit", audited)
        return asked

    return end


def test_the_worst_of_all_locks_counts(ends: Ends) -> None:
    ends({"dev.lock": (report(WEAK), ""), "audit.lock": (report(GOOD), "")})
    assert audit.main([]) == 1
    ends({"dev.lock": (report(GOOD), ""), "audit.lock": (report(GOOD), "")})
    assert audit.main([]) == 0


def test_a_service_that_is_not_there_is_asked_once(ends: Ends) -> None:
    asked = ends({"dev.lock": ("", REFUSED)})
    assert audit.main([]) == audit.UNREACHED
    assert asked == ["dev.lock"]


def test_a_weakness_stays_one_when_the_service_goes_away_after_it(ends: Ends) -> None:
    ends({"dev.lock": (report(WEAK), ""), "audit.lock": ("", REFUSED)})
    assert audit.main([]) == 1


def test_continuous_integration_runs_it() -> None:
    assert "./.ci/audit >" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
