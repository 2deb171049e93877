"""Secrets that `booking up` makes once and keeps in its data directory, readable by us alone."""

import os
import secrets
from pathlib import Path

TOKEN_SECRET_FILE = "token-secret"  # noqa: S105 - a file name
ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 - a file name

_SECRET_BYTES = 32


def kept_secret(path: Path) -> str:
    """The secret in ``path``, made now if there is none: tokens outlive a new start."""
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        pass
    secret = secrets.token_hex(_SECRET_BYTES)
    half = path.with_name(f"{path.name}.new")
    half.unlink(missing_ok=True)
    fd = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "w", encoding="ascii") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(fd)
    half.replace(path)
    return secret
