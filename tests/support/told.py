"""Figures that a test tells and people want to see of tests that pass, too.

They are shown at the end of the run, whichever process the test ran in.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

Tell = Callable[[str], None]
_TOLD = "told"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Shows a line with the name of the test."""

    def say(line: str) -> None:
        request.node.user_properties.append((_TOLD, line))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Pytest calls it before its closing line."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = {
        report.nodeid: [line for name, line in report.user_properties if name == _TOLD]
        for report in reports
        if report.when == "call"
    }
    if any(told.values()):
        terminalreporter.section("told by the tests")
    for nodeid, lines in sorted(told.items()):
        if lines:
            terminalreporter.line(nodeid)
        for line in lines:
            terminalreporter.line(f"  {line}")
