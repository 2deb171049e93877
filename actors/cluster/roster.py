"""Who is there: the instances as one of them sees them, and whom it takes for dead.

A heartbeat that does not come may mean that the instance is dead, that it cannot reach the
membership's store, or that this store forgot everything. So silence counts only while a store
answers, and nobody is dead who still answers on a link. An instance that was killed is found out as
soon as its silence is longer than a few heartbeats; one that is stopped, when its link is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from actors.membership.contract import Member
from actors.placement.inputs import Node
from actors.placement.stores.operations import Wish

SILENT_MAX_S = 1.6
"""Three heartbeats of half a second, and a bit. Longer than the pause after which an instance asks
the journal whose its shards are (``pause_detector.JUMP_S``)."""

STEP_MAX_S = 1.0
"""Most that one look adds to a silence: while this instance stood still, it was not listening."""

SECOND_HAND_WEIGHT = 0.4
"""What a second of silence counts while the store is out of reach and the journal's database is
asked instead: everybody has to find out by himself that he is to beat there, so somebody is taken
for dead only after 4 s, or eight beats."""

FORGOTTEN_AFTER_S = 60.0
"""Silence after which an instance is not even listed any more."""


class Known:
    """A member, and how long it has said nothing."""

    __slots__ = ("member", "silent_s")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.silent_s = 0.0


class Roster:
    """One instance's picture of all. ``linked`` says whether an instance answers on a link."""

    def __init__(self, me: Member, linked: Callable[[str], bool]) -> None:
        self.me = me
        self._linked = linked
        self._known: dict[str, Known] = {me.instance: Known(me)}
        self._seen_s: float | None = None
        self.wishes: Mapping[str, Wish] = {}
        """What operators want of instances, as last read."""
        self.heard_s: float | None = None
        """When the store last answered."""
        self.watched_s = 0.0
        """For how long this run has been looking on, as far as the store answered."""
        self._told = self.state()
        """As it was when somebody last asked for news."""

    def know(self, me: Member) -> None:
        """This instance's own announcement has changed."""
        self.me = me
        self._known[me.instance] = Known(me)

    # -- keeping -------------------------------------------------------------------------------

    def saw(
        self,
        members: Sequence[Member],
        now_s: float,
        *,
        strangers: Sequence[Member] = (),
        weight: float = 1.0,
    ) -> bool:
        """A store answered; true if somebody came, went, or changed. ``strangers`` are heard of in
        another way: to be remembered if they are not known, and no sign of life of who is.
        ``weight`` is what a second counts in this store."""
        step_s = self._step(now_s) * weight
        self.watched_s += step_s
        self.heard_s = now_s
        present = {member.instance: member for member in members}
        for name, known in list(self._known.items()):
            member = present.pop(name, None)
            if name == self.me.instance:
                continue
            if member is not None and _newer(member, known.member):
                known.member, known.silent_s = member, 0.0
            else:
                known.silent_s += step_s
                if known.silent_s > FORGOTTEN_AFTER_S and not self._linked(name):
                    del self._known[name]
        self._known.update((name, Known(member)) for name, member in present.items())
        for member in strangers:
            seen = self._known.get(member.instance)
            if seen is None or seen.member.since_ms < member.since_ms:
                self._known[member.instance] = Known(member)
        return self._news()

    def missed(self) -> bool:
        """No store answered: nobody's silence counts; true as for :meth:`saw`."""
        self._seen_s = None
        return self._news()

    def _news(self) -> bool:
        """Whether anything is other than when this was last asked; a link that was lost or found
        since then counts too."""
        before, self._told = self._told, self.state()
        return self._told != before

    def _step(self, now_s: float) -> float:
        last_s, self._seen_s = self._seen_s, now_s
        return 0.0 if last_s is None else min(now_s - last_s, STEP_MAX_S)

    # -- asking --------------------------------------------------------------------------------

    def members(self) -> list[Member]:
        """Everybody that is remembered, by name, this instance included."""
        return [known.member for _, known in sorted(self._known.items())]

    def others(self) -> list[str]:
        """The names of all others that are not taken for dead."""
        mine = self.me.instance
        return [name for name in sorted(self._known) if name != mine and self.alive(name)]

    def silent_s(self, instance: str) -> float:
        known = self._known.get(instance)
        return 0.0 if known is None or instance == self.me.instance else known.silent_s

    def alive(self, instance: str) -> bool:
        """Whether it is taken for alive."""
        if instance == self.me.instance:
            return True
        known = self._known.get(instance)
        return known is not None and (known.silent_s < SILENT_MAX_S or self._linked(instance))

    def serves(self, instance: str) -> bool:
        """Whether it answers for its shards: alive, and not given up by an operator."""
        wish = self.wishes.get(instance)
        return self.alive(instance) and not (wish is not None and wish.evicted)

    def url_of(self, instance: str) -> str | None:
        """Where it listens; ``None`` for one that is not there."""
        known = self._known.get(instance)
        return None if known is None or not self.alive(instance) else known.member.url

    def member(self, instance: str) -> Member | None:
        known = self._known.get(instance)
        return None if known is None else known.member

    def nodes(self) -> list[Node]:
        """As the planner wants them."""
        return [self._node(known.member) for _, known in sorted(self._known.items())]

    def _node(self, member: Member) -> Node:
        wish = self.wishes.get(member.instance, Wish())
        return Node(
            instance=member.instance,
            incarnation=member.incarnation,
            draining=member.draining or wish.draining,
            alive=self.alive(member.instance),
            evicted=wish.evicted,
            silent_ms=round(self.silent_s(member.instance) * 1000),
        )

    def state(self) -> Collection[tuple[str, str, str]]:
        """What matters of everybody."""
        return [(node.instance, node.incarnation, node.state) for node in self.nodes()]


def _newer(seen: Member, known: Member) -> bool:
    """Whether this heartbeat is another one than the last."""
    return (seen.incarnation, seen.beat) != (known.incarnation, known.beat)
