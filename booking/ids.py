"""Ids that clients see, and the keys that make their requests safe to repeat."""

from __future__ import annotations

import os
from hashlib import blake2b

from actors.behaviour import CommandKey
from booking.api import Attempt


def command_key(user: str, route: str, attempt: Attempt) -> CommandKey:
    """The command key of an Idempotency-Key: scoped to user and route, so that nobody can reach
    another's answers and one key may be used for two different calls."""
    scoped = "\n".join((user, route, attempt.key)).encode()
    return CommandKey(blake2b(scoped, digest_size=16).digest(), attempt.fingerprint)


def new_id(kind: str, key: CommandKey | None = None) -> str:
    """An opaque id such as ``rsv_5f0c...``: 128 random bits, or those of the command key, so that
    a repeated command names the same thing."""
    return f"{kind}_{(key.id if key else os.urandom(16)).hex()}"
