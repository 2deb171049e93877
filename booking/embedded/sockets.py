"""Where the servers' unix sockets live: beside the data if the path is short enough."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from booking.embedded.account import Account

SOCKET_PATH_MAX_BYTES = 103 if sys.platform == "darwin" else 107
"""The kernel's limit: ``sun_path`` is 104 bytes on macOS and 108 on Linux, with a final zero."""

LONGEST_NAME_BYTES = 23
"""What PostgreSQL may add to its socket directory: a slash, ``.s.PGSQL.NNNNN`` and its lock."""


def fits(directory: Path) -> bool:
    """Whether sockets in this directory stay under the kernel's limit."""
    return len(bytes(directory)) + LONGEST_NAME_BYTES <= SOCKET_PATH_MAX_BYTES


class SocketDirectory:
    """A directory with mode 0700, owned by the servers' account. That mode is the access control:
    who cannot enter cannot connect."""

    def __init__(self, path: Path, *, temporary: bool) -> None:
        self.path = path
        self.temporary = temporary
        """In the temporary folder with a name of its own, to be removed afterwards."""

    @classmethod
    def prepare(cls, data_dir: Path, account: Account) -> SocketDirectory:
        beside = data_dir / "run"
        if fits(beside):
            # Under the locks nobody uses it, so sockets in it are left over from a crash.
            if beside.exists():
                shutil.rmtree(beside)
            beside.mkdir(mode=0o700)
            account.give(beside)
            return cls(beside, temporary=False)
        parent = Path(tempfile.gettempdir())
        if not fits(parent / "booking-12345678"):
            parent = Path("/tmp")  # noqa: S108 - mkdtemp makes an unguessable 0700 directory in it
        path = Path(tempfile.mkdtemp(prefix="booking-", dir=parent))
        account.give(path)
        return cls(path, temporary=True)

    def discard(self) -> None:
        """Remove it if it is a temporary one; for a start that failed before it was used."""
        if self.temporary:
            shutil.rmtree(self.path)
