"""The heartbeat: announces this instance with its health and load, and hears the others."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from attrs import define, field
from msgspec.structs import replace

from actors.clock import Clock
from actors.cluster.membership_view import STANDBY_WEIGHT, MembershipView
from actors.membership.announcements import Announcements
from actors.membership.contract import Health, Member, MembershipError, MembershipRefusedError
from actors.runtime import Runtime

log = logging.getLogger(__name__)

BEAT_EVERY_S = 0.5
"""Three lost beats are a silence; two calls a second cost Redis nothing."""

PAUSE_MIN_S = 0.1
"""Between two beats, also when one took as long as a beat should."""

REMEMBERED_S = 10.0
"""How long the store keeps an announcement; a death is noticed long before."""

SMOOTHED_S = 30.0
"""Over which the rates of shards are smoothed: balance should follow trends, not gusts."""


class LoadRates:
    """Commands a second of each shard, smoothed exponentially."""

    def __init__(self) -> None:
        self._turns: dict[int, int] = {}
        self._rates: dict[int, float] = {}

    def update(self, turns: Mapping[int, int], passed_s: float) -> Mapping[int, float]:
        """Return the new rates; ``turns`` counts commands since each shard was claimed."""
        weight = min(passed_s / SMOOTHED_S, 1.0)
        rates: dict[int, float] = {}
        for shard, count in turns.items():
            before = self._turns.get(shard, 0)
            now = (count - before if count >= before else count) / passed_s
            rates[shard] = self._rates.get(shard, 0.0) * (1 - weight) + now * weight
        self._turns, self._rates = dict(turns), rates
        return rates


@define(eq=False)
class Heartbeat:
    """``changed`` is called when an instance joined, left or changed."""

    member: Member
    _announcements: Announcements
    _members: MembershipView
    _runtime: Runtime
    _clock: Clock
    _changed: Callable[[], None]
    _rates: LoadRates = field(factory=LoadRates, init=False)
    problem: str | None = field(default=None, init=False)
    """What is wrong with the membership store, in a few words."""
    _beaten_s: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._beaten_s = self._clock.monotonic()

    def advertise(self, url: str) -> None:
        """Set the address where this instance listens. Call it before the first beat."""
        self.member = replace(self.member, url=url)

    async def join(self) -> None:
        """Send the first beat. Raises :class:`MembershipRefusedError`, which only other settings
        change, and :class:`MembershipError` if neither store can be reached."""
        error = await self.beat()
        if isinstance(error, MembershipRefusedError):
            raise error

    async def beat(self) -> MembershipError | None:
        """Announce this instance and read the others; returns what is wrong with the store if the
        standby answered. Raises :class:`MembershipError` if neither did."""
        self.member = replace(self.member, beat=self.member.beat + 1, health=self._health())
        self._members.announce(self.member)
        reading = await self._announcements.beat(self.member, REMEMBERED_S)
        self._report(reading.error)
        now_s = self._clock.monotonic()
        weight = 1.0 if reading.error is None else STANDBY_WEIGHT
        if self._members.observe(
            reading.members, now_s, strangers=reading.strangers, weight=weight
        ):
            self._changed()
        return reading.error

    async def run(self) -> None:
        """Send beats until cancelled."""
        while True:
            began_s = self._clock.monotonic()
            try:
                await self.beat()
            except MembershipError as error:
                self._report(error)
                if self._members.observe_outage():
                    self._changed()
            took_s = self._clock.monotonic() - began_s
            await asyncio.sleep(max(PAUSE_MIN_S, BEAT_EVERY_S - took_s))

    def _report(self, error: MembershipError | None) -> None:
        """Log once that the store is out of reach, and once that it is back."""
        if error is not None and self.problem is None:
            log.warning("membership is out of reach, serving goes on: %s", error)
        elif error is None and self.problem is not None:
            log.info("membership is back")
        self.problem = None if error is None else "membership is out of reach"

    async def drain(self) -> None:
        """Announce that this instance wants to hand all its shards over."""
        self.member = replace(self.member, draining=True)
        try:
            await self.beat()
        except MembershipError as error:
            log.warning("draining could not be announced: %s", error)

    async def leave(self) -> None:
        """Remove this instance's announcement."""
        try:
            await self._announcements.leave(self.member)
        except MembershipError as error:
            log.warning("the announcement could not be removed, it expires soon: %s", error)

    def _health(self) -> Health:
        now_s = self._clock.monotonic()
        passed_s, self._beaten_s = max(now_s - self._beaten_s, 0.001), now_s
        turns = self._runtime.shards.turns()
        rates = self._rates.update({n: count for n, (count, _) in turns.items()}, passed_s)
        age_s = self._runtime.health.commit_age_s
        return Health(
            loop_lag_ms=round(self._runtime.health.lag_s * 1000, 1),
            commit_age_ms=None if age_s is None else round(age_s * 1000),
            journal_answers_s=self._runtime.shards.journal_answers_s,
            loads=tuple(
                (n, round(rates[n], 2), activations) for n, (_, activations) in turns.items()
            ),
        )
