"""A activation: one entity in memory, with its mailbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from actors.address import Address
from actors.behaviour import Behaviour
from actors.core.envelope import Envelope, Probe

if TYPE_CHECKING:
    from actors.core.shard import Shard

ABSENT: Final = Probe("ABSENT")
"""In place of a state that is not in memory."""


class Mailbox:
    """First in, first out. The links are in the envelopes, so that an idle entity, of which there
    are tens of thousands, costs nothing for it."""

    __slots__ = ("_last", "head", "size")

    def __init__(self) -> None:
        self.head: Envelope | None = None
        self._last: Envelope | None = None
        self.size = 0

    def put(self, envelope: Envelope) -> None:
        """Last in. Bounds are for whoever puts to keep."""
        if self._last is None:
            self.head = envelope
        else:
            self._last.next = envelope
        self._last = envelope
        self.size += 1

    def take(self) -> Envelope:
        """First out. There has to be one."""
        envelope = self.head
        assert envelope is not None, "took from an empty mailbox"
        self.head = envelope.next
        envelope.next = None
        if self.head is None:
            self._last = None
        self.size -= 1
        return envelope

    def __iter__(self) -> Iterator[Envelope]:
        envelope = self.head
        while envelope is not None:
            following = envelope.next
            yield envelope
            envelope = following


class Activation(Mailbox):
    """One entity of a shard. Only the shard's writer changes ``state``."""

    __slots__ = (
        "address",
        "behaviour",
        "committed",
        "crashed",
        "event_bytes",
        "gone",
        "has_companions",
        "loaded",
        "loading",
        "pins",
        "queued",
        "shard",
        "snapshot_bytes",
        "state",
        "touched",
        "uncommitted",
        "waits",
        "watchers",
    )

    def __init__(self, address: Address, behaviour: Behaviour, shard: Shard) -> None:
        super().__init__()
        self.address = address
        self.behaviour = behaviour
        self.has_companions = type(behaviour).companions is not Behaviour.companions
        self.shard = shard
        self.state: Any = ABSENT
        """After every decision, committed or not. Meaningless unless ``loaded``."""
        self.committed: Any = ABSENT
        """After the last decision that the journal accepted: all that may leave the shard."""
        self.loaded = False
        self.loading = False
        self.queued = False
        """In the shard's queue of runnable activations."""
        self.waits = False
        """The next message waits for a companion to be loaded."""
        self.touched = True
        """Used since the last look of passivation."""
        self.gone = False
        """No longer in memory; whoever still refers to it has to look again."""
        self.crashed = False
        """To be loaded again as soon as nothing of it is uncommitted."""
        self.uncommitted = 0
        """Decisions submitted and not yet committed."""
        self.pins = 0
        """Running sagas, which keep the entity in memory."""
        self.event_bytes = 0
        """Size of the events since the last snapshot."""
        self.snapshot_bytes = 0
        self.watchers: list[Activation] | None = None
        """Cells whose next message needs this one as a companion."""

    @property
    def needed(self) -> bool:
        """Something waits for this entity to be loaded."""
        return self.size > 0 or self.pins > 0 or bool(self.watchers)

    @property
    def idle(self) -> bool:
        """Nothing is lost by forgetting it."""
        return not (self.needed or self.loading or self.queued or self.uncommitted)
