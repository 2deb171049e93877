"""Who may lead: one key that one run of one instance holds at a time, for a while.

An election is a hint, as membership is: it may grant two at once (a store that came back empty, a
holder that was stopped for too long). What keeps the second from doing harm is the term in the
journal's database: see :mod:`actors.election.leadership`. Two implementations pass the same tests:
:class:`actors.election.memory.MemoryElection` and :class:`actors.election.redis.RedisElection`.
"""

from __future__ import annotations

from typing import Protocol

KEY_TTL_S = 6.0
"""How long a grant lasts unless it is renewed: four renewals of 1.5 s. Longer delays the next
leader, shorter takes a pause of the event loop or of the store for a death."""


class ElectionError(Exception):
    """The election's store could not be reached, or did not answer in time: what was asked may have
    been done or not."""


class Election(Protocol):
    """Every method may raise :class:`ElectionError`; none may take longer than the caller's own
    limit allows, and all may be repeated."""

    @property
    def ttl_s(self) -> float:
        """How long a grant lasts unless it is renewed, in seconds of the store's clock."""

    async def campaign(self, incarnation: str) -> bool:
        """Take the key if nobody holds it, or hold it for another ``ttl_s`` if it is ours.

        False: somebody else holds it.
        """

    async def resign(self, incarnation: str) -> None:
        """Give the key back at once. Does nothing if it is not (or no longer) ours."""

    async def leader(self) -> str | None:
        """The incarnation that holds the key now; ``None`` if nobody does."""

    async def close(self) -> None:
        """Close the connections; a grant stays until its time is over."""
