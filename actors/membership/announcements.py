"""Announces an instance in the membership store, and in a standby while that store is unreachable.

The standby is the journal's database. An instance goes on there for a while after the store is
back, and while it finds somebody there whom the store does not list. The standby is read instead of
the store while that does not answer; otherwise it makes unknown instances known. So an instance
that alone has lost the store is found silent, unless it answers on a link.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from actors.clock import Clock
from actors.membership.contract import Member, Membership, MembershipError

STORE_TIMEOUT_S = 1.0
"""For a beat in the store: longer than a pause of its process, short enough to notice a hang."""

PROBE_TIMEOUT_S = 0.4
"""The same while the store is known to be away, so that beats in the standby keep their pace."""

STANDBY_TIMEOUT_S = 0.4
"""For a beat in the standby, which must not delay those in the store."""

BEHIND_MIN = 3
"""Beats by which the store is behind the standby when it has lost sight of an instance."""

LINGER_S = 10.0
"""How long an instance goes on in the standby: as long as an announcement is kept."""


class MembershipReading(NamedTuple):
    """What one beat has read."""

    members: Sequence[Member]
    """The live instances by the store, or by the standby if there is an ``error``."""
    strangers: Sequence[Member] | None
    """Of whom only the standby lists this run, or a later beat; ``None``: no answer."""
    error: MembershipError | None
    """Why the store did not answer."""


class Announcements:
    """Announces one instance over its connections to the two stores."""

    def __init__(self, store: Membership, standby: Membership, clock: Clock) -> None:
        self._store = store
        self._standby = standby
        self._clock = clock
        self._away = False
        self._lingers_until_s: float | None = None
        """It has announced itself in the standby, and does so until then."""

    async def beat(self, member: Member, ttl_s: float) -> MembershipReading:
        """Announce the member and read all. Raises :class:`MembershipError` without any store."""
        lingers = self._lingers
        timeout_s = PROBE_TIMEOUT_S if self._away else STORE_TIMEOUT_S
        found, on_standby = await asyncio.gather(
            _beat(self._store, member, ttl_s, timeout_s),
            self._beat_standby(member, ttl_s, announce=lingers),
        )
        self._away = isinstance(found, MembershipError)
        if not isinstance(found, MembershipError):
            strangers = _strangers(on_standby, found)
            if strangers:
                self._lingers_until_s = self._clock.monotonic() + LINGER_S
            return MembershipReading(found, strangers, None)
        self._lingers_until_s = self._clock.monotonic() + LINGER_S
        if not lingers:
            on_standby = await self._beat_standby(member, ttl_s, announce=True)
        if isinstance(on_standby, MembershipError):
            raise found
        return MembershipReading(on_standby, (), found)

    @property
    def _lingers(self) -> bool:
        until_s = self._lingers_until_s
        return until_s is not None and self._clock.monotonic() < until_s

    async def _beat_standby(
        self, member: Member, ttl_s: float, *, announce: bool
    ) -> Sequence[Member] | MembershipError:
        return await _beat(self._standby, member if announce else None, ttl_s, STANDBY_TIMEOUT_S)

    async def leave(self, member: Member) -> None:
        """Remove the member from both stores. Raises :class:`MembershipError`."""
        stores = [self._store] if self._lingers_until_s is None else [self._store, self._standby]
        left = await asyncio.gather(
            *(store.leave(member) for store in stores), return_exceptions=True
        )
        for result in left:
            if isinstance(result, BaseException):
                raise result


async def _beat(
    store: Membership, member: Member | None, ttl_s: float, timeout_s: float
) -> Sequence[Member] | MembershipError:
    """Announce the member, if there is one, and read all; returns the error if that fails."""
    try:
        async with asyncio.timeout(timeout_s):
            if member is not None:
                await store.announce(member, ttl_s)
            return await store.members()
    except MembershipError as error:
        return error
    except TimeoutError:
        return MembershipError("no answer in time")


def _strangers(
    on_standby: Sequence[Member] | MembershipError, found: Sequence[Member]
) -> Sequence[Member] | None:
    if isinstance(on_standby, MembershipError):
        return None
    known = {member.instance: member for member in found}
    return [
        member
        for member in on_standby
        if (seen := known.get(member.instance)) is None or _left_behind(seen, member)
    ]


def _left_behind(seen: Member, member: Member) -> bool:
    """Whether the store has only old beats of a run that goes on in the standby."""
    return seen.incarnation == member.incarnation and seen.beat + BEHIND_MIN < member.beat
