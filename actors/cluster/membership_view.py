"""The instances of the cluster as this one sees them, and which of them it considers dead.

Silence counts only while a store answers, and an instance that answers on a peer link is never
dead.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from actors.membership.contract import Member
from actors.placement.contract import DesiredState
from actors.placement.inputs import Node

SILENT_MAX_S = 1.6
"""Three heartbeats of half a second, and a margin; longer than ``pause_detector.JUMP_S``."""

STEP_MAX_S = 1.0
"""Most that one observation adds to a silence: a paused instance was not listening."""

STANDBY_WEIGHT = 0.4
"""What a second of silence counts in the standby: all have 4 s to announce themselves there."""

CUT_OFF_AFTER_S = 5.0
"""Without an answer from a database of the journal that has answered others for as long, an
instance is cut off, and its shards go to those who can commit."""

FORGOTTEN_AFTER_S = 60.0
"""Silence after which an instance is removed from the view."""


class _Known:
    """A member, and how long it has been silent."""

    __slots__ = ("cut_off", "member", "silent_s", "unheard_s")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.silent_s = 0.0
        """In the store that is read."""
        self.unheard_s = 0.0
        """In both stores."""
        self.cut_off = False
        """It cannot reach the journal, though this instance can."""

    def hear(self, member: Member) -> None:
        """It sent a heartbeat."""
        if member.incarnation != self.member.incarnation:
            self.cut_off = False
        self.member = member
        self.unheard_s = 0.0


class MembershipView:
    """All known instances. ``connected`` tells whether an instance answers on a peer link."""

    def __init__(self, me: Member, connected: Callable[[str], bool]) -> None:
        self.me = me
        self._connected = connected
        self._known: dict[str, _Known] = {me.instance: _Known(me)}
        self._observed_s: float | None = None
        self.desired: Mapping[str, DesiredState] = {}
        """What operators want of instances, as last read."""
        self.heard_s: float | None = None
        """When a store last answered, on the monotonic clock."""
        self.watched_s = 0.0
        """For how many seconds this run has observed the stores."""
        self._reported = self._state()

    def announce(self, me: Member) -> None:
        """Replace this instance's own entry."""
        self.me = me
        self._known[me.instance].member = me

    # -- observing -----------------------------------------------------------------------------

    def observe(
        self,
        members: Sequence[Member],
        now_s: float,
        *,
        strangers: Sequence[Member] | None = (),
        weight: float = 1.0,
    ) -> bool:
        """Record what a store answered; returns whether anybody joined, left or changed.
        ``strangers`` are the other store's (``None``: no answer): added if unknown, else heard only
        for their health. ``weight`` is what a second of silence counts."""
        passed_s = self._step(now_s)
        step_s = passed_s * weight
        self.watched_s += step_s
        self.heard_s = now_s
        present = {member.instance: member for member in members}
        for name, known in list(self._known.items()):
            member = present.pop(name, None)
            if name == self.me.instance:
                continue
            known.unheard_s += 0.0 if strangers is None else passed_s
            if member is not None and _newer(member, known.member):
                known.hear(member)
                known.silent_s = 0.0
            else:
                known.silent_s += step_s
                if known.silent_s > FORGOTTEN_AFTER_S and not self._connected(name):
                    del self._known[name]
        self._known.update((name, _Known(member)) for name, member in present.items())
        for member in strangers or ():
            seen = self._known.get(member.instance)
            if seen is None or seen.member.since_ms < member.since_ms:
                self._known[member.instance] = _Known(member)
            elif _later(member, seen.member):
                seen.hear(member)
        self._judge()
        return self._changed()

    def _judge(self) -> None:
        """Find out who is cut off from the journal. Who is cut off for others to see, as they are
        for it to see, may not lead; and who leads moves nobody whom it cannot do better for."""
        mine = self.me.health.journal_answers_s
        for name, known in self._known.items():
            answers_s = known.member.health.journal_answers_s
            if name == self.me.instance:
                others = (self._known[other].member for other in self.others())
                witnesses = [other.health.journal_answers_s for other in others]
                known.cut_off = any(_cut_off(answers_s, seen_s) for seen_s in witnesses)
            elif _cut_off(answers_s, mine) or _cut_off((-known.unheard_s,), mine):
                known.cut_off = True
            elif known.cut_off and all(each_s >= CUT_OFF_AFTER_S for each_s in answers_s):
                known.cut_off = False

    def observe_outage(self) -> bool:
        """Record that no store answered, so that no silence counts; returns as :meth:`observe`."""
        self._observed_s = None
        return self._changed()

    def _changed(self) -> bool:
        """Compare with the last call; a peer link that was lost or restored counts too."""
        before, self._reported = self._reported, self._state()
        return self._reported != before

    def _state(self) -> Collection[tuple[str, str, str]]:
        return [(node.instance, node.incarnation, node.state) for node in self.nodes()]

    def _step(self, now_s: float) -> float:
        last_s, self._observed_s = self._observed_s, now_s
        return 0.0 if last_s is None else min(now_s - last_s, STEP_MAX_S)

    # -- asking --------------------------------------------------------------------------------

    def members(self) -> list[Member]:
        """All instances by name, this one included, dead ones too."""
        return [known.member for _, known in sorted(self._known.items())]

    def others(self) -> list[str]:
        """The names of all other instances that are alive."""
        mine = self.me.instance
        return [name for name in sorted(self._known) if name != mine and self.alive(name)]

    def member(self, instance: str) -> Member | None:
        """The instance's last announcement; ``None`` if it is unknown."""
        known = self._known.get(instance)
        return None if known is None else known.member

    def silent_s(self, instance: str) -> float:
        """For how many seconds the instance has sent no heartbeat."""
        known = self._known.get(instance)
        return 0.0 if known is None or instance == self.me.instance else known.silent_s

    def alive(self, instance: str) -> bool:
        """Whether the instance is known and not considered dead."""
        if instance == self.me.instance:
            return True
        known = self._known.get(instance)
        return known is not None and (known.silent_s < SILENT_MAX_S or self._connected(instance))

    def cut_off(self, instance: str) -> bool:
        """Whether the instance cannot reach the journal though others can."""
        known = self._known.get(instance)
        return known is not None and known.cut_off

    def serves(self, instance: str) -> bool:
        """Whether the instance is alive, not evicted, and not cut off from the journal."""
        evicted = self.desired.get(instance, DesiredState()).evicted
        return self.alive(instance) and not (evicted or self.cut_off(instance))

    def url_of(self, instance: str) -> str | None:
        """Where the instance listens; ``None`` if it is not alive."""
        known = self._known.get(instance)
        return None if known is None or not self.alive(instance) else known.member.url

    def nodes(self) -> list[Node]:
        """All instances as the planner takes them."""
        return [self._node(known.member) for _, known in sorted(self._known.items())]

    def _node(self, member: Member) -> Node:
        desired = self.desired.get(member.instance, DesiredState())
        return Node(
            instance=member.instance,
            incarnation=member.incarnation,
            draining=member.draining or desired.draining,
            alive=self.alive(member.instance),
            evicted=desired.evicted,
            cut_off=self.cut_off(member.instance),
        )


def _cut_off(answers_s: Sequence[float], witness_s: Sequence[float]) -> bool:
    """Whether a database of the journal does not answer somebody though it answers the witness."""
    return any(
        own_s <= -CUT_OFF_AFTER_S and seen_s >= CUT_OFF_AFTER_S
        for own_s, seen_s in zip(answers_s, witness_s, strict=False)
    )


def _later(seen: Member, known: Member) -> bool:
    return seen.incarnation == known.incarnation and seen.beat > known.beat


def _newer(seen: Member, known: Member) -> bool:
    return (seen.incarnation, seen.beat) != (known.incarnation, known.beat)
