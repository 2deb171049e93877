"""Who is alive: instances announce themselves, everybody may look.

Membership is a hint. It decides who *should* try to own a shard, never who does: that is the
epoch in the journal. :class:`actors.membership.redis.RedisMembership`,
:class:`actors.membership.postgres.PostgresMembership` and the tests' in-memory twin pass the same
tests.
"""

from typing import Protocol

import msgspec


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a process was doing at its last heartbeat."""

    loop_lag_ms: float = 0.0
    commit_age_ms: int | None = None
    """Since its last commit; ``None`` before the first."""
    journal_answers_s: tuple[float, ...] = ()
    """Of each database of the journal: for how many seconds it has answered this instance;
    negative: for how many it has not. Releases before 0.2 do not say."""
    loads: tuple[tuple[int, float, int], ...] = ()
    """Of each shard it serves: number, commands a second, entities in memory."""


class Member(msgspec.Struct, frozen=True):
    """One running process."""

    instance: str
    """Its name, kept over restarts."""
    incarnation: str
    """This run of it; never used twice."""
    url: str
    since_ms: int
    beat: int = 0
    """Grows with every heartbeat, so that a silent member shows before it is forgotten."""
    draining: bool = False
    """It is about to stop: its shards should be elsewhere."""
    health: Health = Health()
    cluster: str = ""
    """The name of the cluster it belongs to; empty in the releases before there were any."""


class MembershipError(Exception):
    """The membership store could not be reached."""


class MembershipRefusedError(MembershipError):
    """The membership store is there and refuses us: a wrong password, or no such database."""


class Membership(Protocol):
    """Every method may raise :class:`MembershipError`."""

    async def announce(self, member: Member, ttl_s: float) -> None:
        """Say that this member lives; forgotten after ``ttl_s`` unless said again."""

    async def leave(self, member: Member) -> None:
        """Be forgotten at once. Does nothing if a newer incarnation took the name over."""

    async def members(self) -> list[Member]:
        """All who announced themselves and were not forgotten, by name."""

    async def close(self) -> None:
        """Close the connections; what was announced stays until its time is over."""
