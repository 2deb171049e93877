"""Entity tags (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations


def matches(if_none_match: str, etag: str) -> bool:
    """Whether the client has the representation named by ``etag``, a strong one of ours: without
    commas inside, so that a list may be split at them. The comparison is the weak one."""
    if if_none_match == etag:
        return True
    candidates = (candidate.strip() for candidate in if_none_match.split(","))
    return any(candidate == "*" or candidate.removeprefix("W/") == etag for candidate in candidates)
