"""Every check of the project, or a part of them. Run it through ``scripts/test``.

scripts/test                      every check, then every test, in several processes
scripts/test format|lint|types|imports
                                  that check alone
scripts/test unit|integration|... [PYTEST ARGUMENT...]
                                  the tests of that folder of tests/
scripts/test PYTEST ARGUMENT...   the tests, with these arguments for pytest
scripts/test -m slow              the long forms of some tests, which are left out otherwise
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = ("booking", "actors", "http", "clients", "tests", "scripts", "bench", "examples")
"""Folders that ruff looks at, if they exist."""
BROWSER = "browser"
"""The folder of tests that need a Chromium."""
LANES = 3
"""Processes that share all tests out (see tests/support/lanes.py). Two of them mostly wait, for a
browser and for what is done to a cluster, so that two cores are enough for three."""
HANGING_S = 400
"""Seconds after which a test of a whole run hangs, whatever its own limit: the longest of those is
300. The limit's exception may never arrive, as it is raised in whatever runs at that moment, and an
event loop logs what a callback raises and goes on."""
NAMED_SERVERS = ("BOOKING_TEST_DATABASE_URL", "BOOKING_TEST_REDIS_URL")
"""Variables that name servers to use in place of private ones, and two processes would meet in."""
INTERRUPTED = 130
"""The status of a program that Ctrl-C ended, as shells have it."""


def main(arguments: list[str]) -> int:
    """Run what the arguments name; returns the exit status."""
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
    tests = pytest_command(caches)
    with bytecode_kept():
        if arguments:
            return run([*tests, *arguments])
        return everything(static, [*tests, *never_hanging(), *lanes()])


def everything(static: dict[str, list[str]], tests: list[str]) -> int:
    """All checks, also after one has failed, so that one run tells everything there is to mend."""
    failed = side_by_side(static)
    print(f"== tests: {' '.join(tests)}", flush=True)
    status = run(tests)
    if failed:
        print(f"== FAILED: {', '.join(failed)}", flush=True)
    return status or int(bool(failed))


def side_by_side(commands: dict[str, list[str]]) -> list[str]:
    """Run them at the same time and show them in their order. The names of those that failed."""
    failed = []
    with ThreadPoolExecutor(len(commands)) as threads:
        running = {name: threads.submit(capture, command) for name, command in commands.items()}
        for name, command in commands.items():
            status, said, took_s = running[name].result()
            print(f"== {name}: {' '.join(command)}\n{said}", end="")
            print(f"== {name}: {'FAILED' if status else 'ok'} in {took_s:.1f} s", flush=True)
            if status:
                failed.append(name)
    return failed


def lanes() -> list[str]:
    """What makes pytest use several processes."""
    if any(os.environ.get(name) for name in NAMED_SERVERS):
        return []
    return ["-n", str(LANES)]


def never_hanging() -> list[str]:
    """What makes pytest show where a hanging test is and end, instead of starting it once more."""
    hanging = ["-o", f"faulthandler_timeout={HANGING_S}", "-o", "faulthandler_exit_on_timeout=true"]
    return [*hanging, "--max-worker-restart=0"]


@contextmanager
def bytecode_kept() -> Iterator[None]:
    """Where the caller's environment forbids to write bytecode, keep it for as long as this runs:
    tests start hundreds of processes, and each would compile whatever it imports."""
    forbidden = os.environ.pop("PYTHONDONTWRITEBYTECODE", "")
    if not forbidden:
        yield
        return
    with tempfile.TemporaryDirectory(
        prefix="booking-bytecode-", ignore_cleanup_errors=True
    ) as kept:
        os.environ["PYTHONPYCACHEPREFIX"] = kept
        try:
            yield
        finally:
            del os.environ["PYTHONPYCACHEPREFIX"]
            os.environ["PYTHONDONTWRITEBYTECODE"] = forbidden


def static_checks(caches: Path) -> dict[str, list[str]]:
    """The commands of the checks that run no test, by name."""
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
    """How pytest is started, before any argument."""
    return [sys.executable, "-m", "pytest", "-o", f"cache_dir={caches}/.pytest_cache"]


def writable_caches() -> Path:
    """Where the tools keep what they remember: the checkout, or a temporary folder."""
    names = (".ruff_cache", ".mypy_cache", ".pytest_cache")
    places = [ROOT, *(ROOT / name for name in names if (ROOT / name).exists())]
    if all(os.access(place, os.W_OK) for place in places):
        return ROOT
    return Path(tempfile.mkdtemp(prefix="booking-checks-"))


def run(command: list[str]) -> int:
    """The command's exit status; on Ctrl-C it gets to end first."""
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        done = subprocess.run(command, check=False)  # noqa: S603 - our commands, their arguments
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
    return done.returncode


def capture(command: list[str]) -> tuple[int, str, float]:
    """The command's exit status, everything it said, and how long it took in seconds."""
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - commands of this file
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout, time.monotonic() - started


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
