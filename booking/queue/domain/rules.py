"""Which rules a queue can have: limits of each, and what would contradict itself."""

from __future__ import annotations

from booking.queue.domain.events import Policy

MAX_ACTIVE_MAX = 1_000_000
ADMIT_PER_INTERVAL_MAX = 1_000_000
ADMIT_PER_S_MAX = 20_000
"""What the grid of admissions lets through: 500 in each of 40 moments a second."""
INTERVAL_S_MAX = 3_600
ACTIVE_S_MAX = 86_400
MAX_WAITING_MAX = 10_000_000
"""Five gigabytes of waiting users, at under 500 bytes each."""
OPENS_MS_MAX = 32_503_680_000_000
"""The year 3000, as in the catalogue: a slipped digit is an error, not a date."""
DRAWS_MAX = 8
"""Draws whose people still wait. Each place in the line is looked up in all of them."""


def contradiction(old: Policy, new: Policy, draws: int, now_ms: int) -> str | None:
    """Why ``new`` cannot be put into force after ``old`` in a queue with so many draws whose
    people still wait, in words for the operator; ``None`` if it can."""
    return _out_of_range(new) or _impossible(new) or _opening(old, new, draws, now_ms)


def _out_of_range(policy: Policy) -> str | None:
    limits = (
        ("maxActive", policy.max_active, 0, MAX_ACTIVE_MAX),
        ("admitPerInterval", policy.admit_per_interval, 0, ADMIT_PER_INTERVAL_MAX),
        ("intervalS", policy.interval_ms / 1000, 1, INTERVAL_S_MAX),
        ("activeS", policy.active_ms / 1000, 1, ACTIVE_S_MAX),
        ("maxWaiting", policy.max_waiting, 0, MAX_WAITING_MAX),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            return f"{name} has to be from {low} to {high}"
    return None


def _impossible(policy: Policy) -> str | None:
    if policy.admit_per_interval * 1000 > ADMIT_PER_S_MAX * policy.interval_ms:
        return f"admitPerInterval and intervalS are more than {ADMIT_PER_S_MAX} a second"
    if policy.mode == "queue_all" and policy.admit_per_interval == 0:
        return "queue_all lets people in by the rate alone: set admitPerInterval, or use paused"
    return None


def _opening(old: Policy, new: Policy, draws: int, now_ms: int) -> str | None:
    if new.opens_ms in (0, old.opens_ms):
        return None
    if not now_ms < new.opens_ms < OPENS_MS_MAX:
        return "opensAt has to be in the future"
    if draws >= DRAWS_MAX:
        return f"people of {draws} earlier draws still wait: let them in first"
    return None
