"""Membership while instances of the release before run beside this one's.

Their names in Redis and their greetings do not tell their cluster. One that has claimed a shard in
this journal is ours. As long as there is such a one, an instance of this release announces itself
under both names, so that each release sees the other. The next release goes without this module.
"""

from collections.abc import Awaitable, Callable

import msgspec
from attrs import define, field

from actors.membership.contract import Member, Membership, MembershipError
from actors.membership.foreign import ForeignInstances

ASKED_AGAIN_AFTER = 10
"""Readings, which are heartbeats, until the journal is asked again about one that had no shard."""


@define(eq=False)
class DualMembership:
    """The membership of ``store``, and those of ours in ``previous``, which has the names of the
    release before. ``claimed`` tells whether a run has ever claimed a shard of this journal."""

    _store: Membership
    _previous: Membership
    _claimed: Callable[[str], Awaitable[bool]]
    _foreign: ForeignInstances
    _ours: set[tuple[str, str]] = field(factory=set, init=False)
    """Name and address of those that were found to be ours: a later run of them is, too."""
    _asked: dict[str, int] = field(factory=dict, init=False)
    """Runs that had no shard, and for how many readings more they are not asked about."""
    _both: bool = field(default=False, init=False)

    async def announce(self, member: Member, ttl_s: float) -> None:
        """As the contract says; under both names while both releases run."""
        await self._store.announce(member, ttl_s)
        if self._both:
            await self._previous.announce(member, ttl_s)

    async def leave(self, member: Member) -> None:
        """As the contract says."""
        await self._store.leave(member)
        await self._previous.leave(member)

    async def members(self) -> list[Member]:
        """As the contract says, of both releases."""
        members = await self._store.members()
        ours = [member for member in await self._read_previous() if await self._is_ours(member)]
        self._both = bool(ours)
        return sorted([*members, *ours], key=lambda member: member.instance)

    async def _read_previous(self) -> list[Member]:
        """Those under the old names that do not belong to a cluster by what they say."""
        try:
            return [member for member in await self._previous.members() if not member.cluster]
        except MembershipError as error:
            if isinstance(error.__cause__, msgspec.DecodeError):
                return []  # the names are everybody's: no other program's key may stop this one
            raise

    async def _is_ours(self, member: Member) -> bool:
        known = (member.instance, member.url)
        if known in self._ours:
            return True
        wait = self._asked.get(member.incarnation, 0)
        if wait == 0 and await self._has_claimed(member):
            self._ours.add(known)
            return True
        self._asked[member.incarnation] = (wait or ASKED_AGAIN_AFTER) - 1
        return False

    async def _has_claimed(self, member: Member) -> bool:
        try:
            claimed = await self._claimed(member.incarnation)
        except MembershipError:
            return False  # the journal is away: asked again later
        if not claimed:
            self._foreign.met(member.instance, "", "in Redis")
        return claimed

    async def close(self) -> None:
        """As the contract says."""
        await self._store.close()
        await self._previous.close()
