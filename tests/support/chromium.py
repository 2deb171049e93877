"""The Chromium that browser tests drive: the system's own, found on PATH."""

from __future__ import annotations

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OVERRIDE = "BOOKING_TEST_CHROMIUM"
HOW_TO_GET_ONE = (
    "no Chromium on PATH: install one (Debian: apt-get install chromium; elsewhere Chromium or "
    f"Chrome), or name its program in {OVERRIDE}"
)

ARGUMENTS = (
    "--no-sandbox",  # its sandbox needs privileges that containers do not give
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
"""Nothing but loopback is spoken to, and nothing of the machine is assumed."""


def find() -> str | None:
    """The program's path, or ``None``."""
    named = os.environ.get(OVERRIDE)
    if named:
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)
