"""Who is alive: instances announce themselves, everybody may look.

Membership is a hint. It decides who *should* try to own a shard, never who does: that is the
epoch in the journal. Two implementations pass the same tests:
:class:`actors.memory_membership.MemoryMembership` and
:class:`actors.redis_membership.RedisMembership`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

HEARTBEAT_EVERY_S = 1.0
DEAD_AFTER_S = 5.0
"""Five missed heartbeats. A longer wait delays takeover, a shorter one mistakes a pause of the
event loop or of Redis for a death."""


class Member(msgspec.Struct, frozen=True):
    """One running process."""

    instance: str
    """Its name, kept over restarts."""
    incarnation: str
    """This run of it; never used twice."""
    url: str
    since_ms: int


class MembershipError(Exception):
    """The membership store could not be reached."""


class Membership(Protocol):
    """Every method may raise :class:`MembershipError`."""

    async def announce(self, member: Member, ttl_s: float = DEAD_AFTER_S) -> None:
        """Say that this member lives; forgotten after ``ttl_s`` unless said again."""

    async def leave(self, member: Member) -> None:
        """Be forgotten at once. Does nothing if a newer incarnation took the name over."""

    async def members(self) -> list[Member]:
        """All who announced themselves and were not forgotten, by name."""

    async def close(self) -> None: ...
