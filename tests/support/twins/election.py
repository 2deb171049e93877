"""The election's in-memory twin: the same contract without a server."""

from actors.clock import Clock
from actors.election.contract import KEY_TTL_S


class MemoryElectionStore:
    """What all instances share: the key, and when it ends."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._holder: str | None = None
        self._ends_s = 0.0

    @property
    def holder(self) -> str | None:
        """Who holds the key now."""
        return self._holder if self.clock.monotonic() < self._ends_s else None

    def hold(self, incarnation: str, ttl_s: float) -> None:
        """Give the key to this one, whoever had it."""
        self._holder = incarnation
        self._ends_s = self.clock.monotonic() + ttl_s

    def forget(self) -> None:
        """Lose the key, as a store does that comes back empty."""
        self._holder = None


class MemoryElection:
    """One instance's connection to a :class:`MemoryElectionStore`."""

    def __init__(self, store: MemoryElectionStore, ttl_s: float = KEY_TTL_S) -> None:
        self._store = store
        self.ttl_s = ttl_s

    async def campaign(self, incarnation: str) -> bool:
        """As the contract says."""
        free = self._store.holder in (None, incarnation)
        if free:
            self._store.hold(incarnation, self.ttl_s)
        return free

    async def resign(self, incarnation: str) -> None:
        """As the contract says."""
        if self._store.holder == incarnation:
            self._store.forget()

    async def leader(self) -> str | None:
        """As the contract says."""
        return self._store.holder

    async def close(self) -> None:
        """Close nothing."""
