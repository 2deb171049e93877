"""How an instance says that it lives, and hears who else does: in the membership's store, and in
the journal's database for as long as that store is out of reach.

The second place is for an outage of the first. Whoever cannot reach the first announces itself in
the second, and goes on doing so for a while after the first is back, because others may find it
back a moment later. So does whoever finds somebody there that the first has not heard of, for that
one hears nothing else. What the second says counts for two things only: it is heard instead of the
first while the first does not answer, and otherwise it makes known who is not known yet, such as an
instance that was started without the first. So an instance that alone has lost the first is found
silent as before, unless it answers on a link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from actors.clock import Clock
from actors.membership.contract import Member, Membership, MembershipError

FIRST_TIMEOUT_S = 1.0
"""For a beat in the first store, which takes a millisecond: longer than a pause of its process, and
short enough that a store which hangs is found out within a few beats."""

PROBE_TIMEOUT_S = 0.4
"""For the same while the first store is known to be away, so that the beats in the second keep
their pace (``heartbeat.BEAT_EVERY_S``)."""

SECOND_TIMEOUT_S = 0.4
"""For a beat in the second store, which is not to delay those in the first."""

LINGER_S = 10.0
"""How long an instance goes on in the second store after the first is back: some probes of the
others, and as long as an announcement is kept."""


class Heard(NamedTuple):
    """What came of one beat."""

    members: Sequence[Member]
    """Who lives, as the first store says, or the second if there is ``trouble``."""
    strangers: Sequence[Member]
    """Whom only the second store knows, if there is no trouble."""
    trouble: MembershipError | None
    """Why the first store does not say."""


class Announcements:
    """One instance's. ``first`` and ``second`` are its connections to the two stores."""

    def __init__(self, first: Membership, second: Membership, clock: Clock) -> None:
        self._first = first
        self._second = second
        self._clock = clock
        self._away = False
        self._lingers_until_s: float | None = None
        """It has announced itself in the second store, and does so until then."""

    async def beat(self, member: Member, ttl_s: float) -> Heard:
        """Announce the member, and hear of all. Raises :class:`MembershipError` when neither store
        can be reached."""
        twice = self._lingers
        timeout_s = PROBE_TIMEOUT_S if self._away else FIRST_TIMEOUT_S
        first, second = await asyncio.gather(
            _speak(self._first, member, ttl_s, timeout_s),
            self._speak_second(member, ttl_s, announce=twice),
        )
        self._away = isinstance(first, MembershipError)
        if not isinstance(first, MembershipError):
            strangers = _strangers(second, first)
            if strangers:
                self._lingers_until_s = self._clock.monotonic() + LINGER_S
            return Heard(first, strangers, None)
        self._lingers_until_s = self._clock.monotonic() + LINGER_S
        if not twice:
            second = await self._speak_second(member, ttl_s, announce=True)
        if isinstance(second, MembershipError):
            raise first
        return Heard(second, (), first)

    @property
    def _lingers(self) -> bool:
        until_s = self._lingers_until_s
        return until_s is not None and self._clock.monotonic() < until_s

    async def _speak_second(
        self, member: Member, ttl_s: float, *, announce: bool
    ) -> Sequence[Member] | MembershipError:
        said = member if announce else None
        return await _speak(self._second, said, ttl_s, SECOND_TIMEOUT_S)

    async def leave(self, member: Member) -> None:
        """Be forgotten wherever the member was announced. Raises :class:`MembershipError` after it
        has tried both."""
        stores = [self._first] if self._lingers_until_s is None else [self._first, self._second]
        left = await asyncio.gather(
            *(store.leave(member) for store in stores), return_exceptions=True
        )
        for result in left:
            if isinstance(result, BaseException):
                raise result


async def _speak(
    store: Membership, member: Member | None, ttl_s: float, timeout_s: float
) -> Sequence[Member] | MembershipError:
    """Announce the member, if there is one, and look around; or why that cannot be done."""
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
    second: Sequence[Member] | MembershipError, first: Sequence[Member]
) -> Sequence[Member]:
    if isinstance(second, MembershipError):
        return ()
    known = {member.instance for member in first}
    return [member for member in second if member.instance not in known]
