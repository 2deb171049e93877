"""The membership store's in-memory twin."""

from actors.clock import Clock
from actors.membership.contract import Member


class MemoryMembershipStore:
    """What all instances share: the announcements, each with the time it is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.announced: dict[str, tuple[Member, float]] = {}

    def forget(self) -> None:
        """Lose everything, as a store does that comes back empty."""
        self.announced.clear()


class MemoryMembership:
    """One instance's view of a :class:`MemoryMembershipStore`."""

    def __init__(self, members: MemoryMembershipStore) -> None:
        self._members = members

    async def announce(self, member: Member, ttl_s: float) -> None:
        """As the contract says."""
        ends = self._members.clock.monotonic() + ttl_s
        self._members.announced[member.instance] = (member, ends)

    async def leave(self, member: Member) -> None:
        """As the contract says."""
        found = self._members.announced.get(member.instance)
        if found is not None and found[0].incarnation == member.incarnation:
            del self._members.announced[member.instance]

    async def members(self) -> list[Member]:
        """As the contract says."""
        now = self._members.clock.monotonic()
        announced = self._members.announced
        for instance in [name for name, (_, ends) in announced.items() if ends <= now]:
            del announced[instance]
        return [announced[instance][0] for instance in sorted(announced)]

    async def close(self) -> None:
        """Close nothing."""
