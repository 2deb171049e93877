"""Looks for known weaknesses of every pinned package. Run it through ``.ci/audit``.

.ci/audit [PIP-AUDIT ARGUMENT...]
    exit status 0: none is known; 1: there are some, or a package could not be looked up;
    3: the advisory service could not be reached, so nothing is known
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("dev.lock", "audit.lock")
"""The first has all of ``run.lock``, at the same versions."""
UNREACHED = 3
ANSWER_MAX_S = 5
"""For one answer of the service, which gives it in a tenth of that: a dead line is known soon."""
ALL_MAX_S = 300
"""For all packages of a lock: about a hundred questions, one after the other."""
NO_CONNECTION = re.compile(
    r"requests\.exceptions\.(ConnectionError|ProxyError|ConnectTimeout|ReadTimeout): "
    r"|ERROR:pip_audit\._cli:Could not connect to "
)
"""How pip-audit ends when nobody is there. A certificate that is wrong, or an answer that makes no
sense, is something else: somebody was there."""


def main(arguments: list[str]) -> int:
    """Audit every lock; returns the worst exit status."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    worst = 0
    for lock in LOCKS:
        with tempfile.TemporaryDirectory() as work:
            report = Path(work) / "report.json"
            errors = audit(lock, report, arguments)
            text = report.read_text(encoding="utf-8") if report.exists() else ""
        status, lines = verdict(lock, text, errors)
        print(*lines, sep="\n", flush=True)
        if status == UNREACHED:
            return worst or status
        worst = max(worst, status)
    return worst


def audit(lock: str, report: Path, arguments: list[str]) -> str:
    """Has pip-audit write its report, if it comes to one; returns what it says besides."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--strict", "--require-hashes"]
    command += ["--requirement", str(ROOT / "requirements" / lock), "--progress-spinner", "off"]
    # Of the services this one is asked for advisories alone. The other is the package index, and a
    # mirror of that which has no advisories looks like packages that nobody knows.
    command += ["--vulnerability-service", "osv", "--timeout", str(ANSWER_MAX_S)]
    command += ["--format", "json", "--output", str(report), *arguments]
    try:
        ended = subprocess.run(  # noqa: S603 - our own words, and those of who calls
            command, capture_output=True, text=True, timeout=ALL_MAX_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"pip-audit took longer than {ALL_MAX_S} s"
    return ended.stderr


def verdict(lock: str, report: str, errors: str) -> tuple[int, list[str]]:
    """Exit status and lines for people. Anything that is not plainly good is a failure."""
    if not report:
        if NO_CONNECTION.search(errors):
            return UNREACHED, [
                f"NOT AUDITED: the advisory service could not be reached ({lock}); nothing is "
                "known of weaknesses"
            ]
        return 1, [errors.strip() or "pip-audit ended without a report", f"{lock}: no audit"]
    packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    weak = [f"{lock}: {line}" for package in packages for line in weaknesses(package)]
    if weak:
        return 1, weak
    if not packages:
        return 1, [f"{lock}: no package was looked up"]
    return 0, [f"{lock}: no weakness is known of any of {len(packages)} packages"]


def weaknesses(package: dict[str, Any]) -> list[str]:
    """A line for each."""
    name = f"{package['name']} {package.get('version', '')}".strip()
    if "skip_reason" in package:
        return [f"{name}: {package['skip_reason']}"]
    return [
        f"{name}: {', '.join([found['id'], *found['aliases']])}, "
        f"fixed in {', '.join(found['fix_versions']) or 'no release'}"
        for found in package["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
