"""Who may lead: one key that one run of one instance holds at a time, for a while.

An election is a hint that may grant two at once; the term in the journal's database keeps the
second from doing harm (:mod:`actors.election.leadership`). Both implementations pass the same
tests.
"""

from typing import Protocol

KEY_TTL_S = 6.0
"""How long a grant lasts: four renewals of 1.5 s."""


class ElectionError(Exception):
    """The store was not reached, or did not answer in time: what was asked may have been done."""


class Election(Protocol):
    """Every method may raise :class:`ElectionError`, ends in time, and may be repeated."""

    @property
    def ttl_s(self) -> float:
        """How long a grant lasts unless it is renewed, in seconds of the store's clock."""

    async def campaign(self, incarnation: str) -> bool:
        """Take the key, or hold it for another ``ttl_s``; false: somebody else holds it."""

    async def resign(self, incarnation: str) -> None:
        """Give the key back at once. Does nothing if it is not (or no longer) ours."""

    async def leader(self) -> str | None:
        """The incarnation that holds the key now; ``None`` if nobody does."""

    async def close(self) -> None:
        """Close the connections; a grant stays until its time is over."""
