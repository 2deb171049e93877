"""Every check of the project, or a part of them. Run it through ``scripts/test``.

scripts/test                      every check, then every test
scripts/test format|lint|types|imports
                                  that check alone
scripts/test unit|integration|... [PYTEST ARGUMENT...]
                                  the tests of that folder of tests/
scripts/test PYTEST ARGUMENT...   the tests, with these arguments for pytest
scripts/test -m slow              the long forms of some tests, which are left out otherwise
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("booking", "actors", "http", "clients", "tests", "scripts", "bench")
"""Folders that ruff looks at, if they exist."""
BROWSER = "browser"
"""The folder of tests that need a Chromium."""


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    os.chdir(ROOT)
    caches = writable_caches()
    static = static_checks(caches)
    first = arguments[0] if arguments else ""
    if first in static:
        return run(static[first])
    if first in ("", BROWSER):
        # Without one, those tests say so themselves: skipped, or failed in continuous integration.
        run([str(ROOT / "scripts" / "chromium")])
    if first and (ROOT / "tests" / first).is_dir():
        arguments[0] = f"tests/{first}"
    if arguments:
        return run([*pytest_command(caches), *arguments])
    return everything(static, pytest_command(caches))


def everything(static: dict[str, list[str]], tests: list[str]) -> int:
    """All checks, also after one has failed, so that one run tells everything there is to mend."""
    failed = []
    for name, command in static.items():
        started = time.monotonic()
        print(f"== {name}: {' '.join(command)}", flush=True)
        status = run(command)
        print(f"== {name}: {'FAILED' if status else 'ok'} in {time.monotonic() - started:.1f} s")
        if status:
            failed.append(name)
    print(f"== tests: {' '.join(tests)}", flush=True)
    status = run(tests)
    if failed:
        print(f"== FAILED: {', '.join(failed)}", flush=True)
    return status or int(bool(failed))


def static_checks(caches: Path) -> dict[str, list[str]]:
    code = [folder for folder in CODE if (ROOT / folder).is_dir()]
    ruff = ["ruff", "--quiet"]
    cache = f"--cache-dir={caches}"
    return {
        "format": [*ruff, "format", "--check", f"{cache}/.ruff_cache", *code],
        "lint": [*ruff, "check", f"{cache}/.ruff_cache", *code],
        "types": ["mypy", f"{cache}/.mypy_cache"],
        "imports": ["lint-imports", "--no-cache", "--no-logo"],
    }


def pytest_command(caches: Path) -> list[str]:
    return [sys.executable, "-m", "pytest", "-o", f"cache_dir={caches}/.pytest_cache"]


def writable_caches() -> Path:
    """Where the tools keep what they remember: the checkout, or if that (or what another user left
    there) cannot be written to, a temporary folder, which is slower and always works."""
    names = (".ruff_cache", ".mypy_cache", ".pytest_cache")
    places = [ROOT, *(ROOT / name for name in names if (ROOT / name).exists())]
    if all(os.access(place, os.W_OK) for place in places):
        return ROOT
    return Path(tempfile.mkdtemp(prefix="booking-checks-"))


def run(command: list[str]) -> int:
    """The command's exit status. On Ctrl-C it has been told as well; it gets to end in its way."""
    process = subprocess.Popen(command)  # noqa: S603 - commands of this file, arguments of the user
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
