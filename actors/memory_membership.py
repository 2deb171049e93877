"""The membership store's in-memory twin."""

from __future__ import annotations

import asyncio

from actors.clock import Clock
from actors.membership import DEAD_AFTER_S, Member, MembershipError


class MemoryMembers:
    """What all instances share: the announcements, each with the time it is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.announced: dict[str, tuple[Member, float]] = {}
        self.away = False
        """The store's own outage."""

    def forget(self) -> None:
        """Lose everything, as a store does that comes back empty."""
        self.announced.clear()


class MemoryMembership:
    """One instance's view of a :class:`MemoryMembers`."""

    def __init__(self, members: MemoryMembers) -> None:
        self._members = members
        self._away = False
        self._running = asyncio.Event()
        self._running.set()

    def go_away(self) -> None:
        """Every call fails until :meth:`come_back`."""
        self._away = True

    def come_back(self) -> None:
        self._away = False

    def pause(self) -> None:
        """Every call hangs until :meth:`resume`, as with a stopped server or process."""
        self._running.clear()

    def resume(self) -> None:
        self._running.set()

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        await self._running.wait()
        if self._away or self._members.away:
            raise MembershipError("the membership store is out of reach")

    async def announce(self, member: Member, ttl_s: float = DEAD_AFTER_S) -> None:
        await self._reach()
        ends = self._members.clock.monotonic() + ttl_s
        self._members.announced[member.instance] = (member, ends)

    async def leave(self, member: Member) -> None:
        await self._reach()
        found = self._members.announced.get(member.instance)
        if found is not None and found[0].incarnation == member.incarnation:
            del self._members.announced[member.instance]

    async def members(self) -> list[Member]:
        await self._reach()
        now = self._members.clock.monotonic()
        announced = self._members.announced
        for instance in [name for name, (_, ends) in announced.items() if ends <= now]:
            del announced[instance]
        return [announced[instance][0] for instance in sorted(announced)]

    async def close(self) -> None:
        """Nothing to close."""
