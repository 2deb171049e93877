"""Makes the virtual environment if it is missing or stale, then runs a command inside it.

Usage: environment.py run|dev COMMAND [ARGUMENT...]

Uses the standard library only and runs on the Python that the environment is made from. The
environment is ``.venv`` in the checkout, or a directory in the user's cache if the checkout cannot
be written to; ``BOOKING_VENV`` names another. A stamp in it says what it was made from, so that a
second start installs nothing and needs no network.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"run": "run.lock", "dev": "dev.lock"}
SATISFIED_BY = {"run": ("run", "dev"), "dev": ("dev",)}
"""dev.lock holds the whole of run.lock at the same versions, so either environment can run."""
VERSION_PROBE = "import sys, pip; print('%d.%d.%d' % sys.version_info[:3])"


class SetupError(Exception):
    """Set-up cannot go on. The message is one line for the person at the terminal."""


def main(arguments: list[str]) -> None:
    """Make the environment if need be and become the command."""
    kind, command, *rest = arguments
    try:
        venv = ensure(kind)
    except SetupError as error:
        sys.exit(f"booking: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    binaries = venv / "bin"
    environment = clean_environment() | {
        "VIRTUAL_ENV": str(venv),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    sys.stdout.flush()
    # In place of this process, so that signals reach the command itself.
    os.execve(binaries / command, [command, *rest], environment)  # noqa: S606 - that is the purpose


def ensure(kind: str) -> Path:
    """The environment, made or brought up to date if need be."""
    venv = choose_place(kind)
    if is_fresh(venv, kind):
        return venv
    with only_one(venv):
        if not is_fresh(venv, kind):
            build(venv, kind)
    return venv


# -- where --------------------------------------------------------------------------------------


def choose_place(kind: str) -> Path:
    """``BOOKING_VENV``, else ``.venv`` if it is ready or can be made so, else a cache directory."""
    if named := os.environ.get("BOOKING_VENV"):
        return Path(named).absolute()
    local = ROOT / ".venv"
    writable = os.access(local if local.exists() else ROOT, os.W_OK)
    if writable or is_fresh(local, kind):
        return local
    return cache_directory() / f"venv-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


def cache_directory() -> Path:
    """A directory of this user's own; in the temporary folder for a user without a home."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for place in (Path(home) / "booking", Path(tempfile.gettempdir()) / f"booking-{os.getuid()}"):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if place.stat().st_uid == os.getuid() and os.access(place, os.W_OK):
            return place
    raise SetupError("found no directory to write to; set BOOKING_VENV to one that may be made")


# -- is it fresh --------------------------------------------------------------------------------


def wanted_stamp(kind: str) -> dict[str, str]:
    """What an environment is made from. It knows its checkout by path, so a moved one is stale."""
    lock = (ROOT / "requirements" / LOCKS[kind]).read_bytes()
    project = (ROOT / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(lock + b"\0" + project).hexdigest()
    return {"kind": kind, "sources": digest, "root": str(ROOT)}


def read_stamp(venv: Path) -> dict[str, str]:
    """What the environment was made from, or nothing if it says nothing."""
    try:
        stamp = json.loads((venv / "booking-stamp.json").read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_fresh(venv: Path, kind: str) -> bool:
    """Whether the environment is what would be made now."""
    stamp = read_stamp(venv)
    python = stamp.pop("python", "")
    if not any(stamp == wanted_stamp(enough) for enough in SATISFIED_BY[kind]):
        return False
    if "PYTHON" in os.environ and python != running_version():
        return False
    return venv_version(venv) == python


def venv_version(venv: Path) -> str | None:
    """The version of the environment's own Python, or ``None`` if it does not run or has no pip."""
    try:
        probe = subprocess.run(  # noqa: S603 - our own interpreter
            [venv / "bin" / "python", "-I", "-c", VERSION_PROBE],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return probe.stdout.strip() if probe.returncode == 0 else None


def running_version() -> str:
    """The version of the Python that runs this."""
    return "{}.{}.{}".format(*sys.version_info[:3])


# -- making it ----------------------------------------------------------------------------------


@contextlib.contextmanager
def only_one(venv: Path) -> Iterator[None]:
    """Let one process at a time make the environment. The lock is on the directory itself (``venv
    --clear`` empties it and leaves it in place), and the kernel frees it if its holder dies."""
    venv.mkdir(parents=True, exist_ok=True)
    directory = os.open(venv, os.O_RDONLY)
    try:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is setting up; waiting for it")
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def build(venv: Path, kind: str) -> None:
    """Make or update the environment, and stamp it."""
    stamp = wanted_stamp(kind)
    moved = stamp["root"] != read_stamp(venv).get("root", stamp["root"])
    (venv / "booking-stamp.json").unlink(missing_ok=True)
    version = venv_version(venv)
    if version is None or moved or ("PYTHON" in os.environ and version != running_version()):
        say(f"making {venv} with Python {running_version()}")
        run(sys.executable, "-m", "venv", "--clear", str(venv))
        version = running_version()
    say(f"installing the locked packages of requirements/{LOCKS[kind]} (once; under a minute)")
    pip = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet"]
    pip += ["--disable-pip-version-check", "--no-input", "--no-user"]
    pip += ["--root-user-action", "ignore"]
    lock = str(ROOT / "requirements" / LOCKS[kind])
    run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock)
    run(*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT))
    write_stamp(venv, stamp | {"python": version})


def run(*command: str) -> None:
    """Run a command of the set-up; :class:`SetupError` if it fails."""
    result = subprocess.run(  # noqa: S603 - commands of this file only
        command, stdout=sys.stderr, env=clean_environment(), check=False
    )
    if result.returncode:
        raise SetupError(f"set-up failed (status {result.returncode}): {' '.join(command)}")


def clean_environment() -> dict[str, str]:
    """The caller's, without what makes Python or pip look elsewhere, and without ours."""
    misleading = {"PYTHONHOME", "PYTHONPATH", "PIP_REQUIRE_VIRTUALENV", "PIP_REQUIRE_HASHES"}
    misleading |= {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "BOOKING_VENV"}
    return {name: value for name, value in os.environ.items() if name not in misleading}


def write_stamp(venv: Path, stamp: dict[str, str]) -> None:
    """Last of all, and whole or not at all."""
    temporary = venv / "booking-stamp.json.new"
    temporary.write_text(json.dumps(stamp, indent=1) + "\n")
    temporary.replace(venv / "booking-stamp.json")


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"booking: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
