"""Each connection is an open file, and what a login allows (often 1,024) is far below what an
instance can serve."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

OPEN_FILES_WANTED = 32_768
"""10,000 connections, 20,000 websockets, and room for everything else."""


def allow_open_files(wanted: int = OPEN_FILES_WANTED) -> int:
    """Raise this process's limit as far as the system allows, up to ``wanted``; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError) as error:  # macOS has a lower limit that it does not tell
        log.warning("open files stay limited to %d: %s", soft, error)
        return soft
    return most
