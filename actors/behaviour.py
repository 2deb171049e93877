"""What an application tells the runtime about one kind of entity: pure functions and codecs.

They are called from one coroutine for each slot. None may await, read a clock, draw a random number
or keep anything between calls. A rejection is a reply without events. An exception is a broken
invariant: the entity is dropped from memory and loaded again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from actors.address import Address
from actors.journal.contract import Row, SnapshotRow


class CommandKey(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Makes a command safe to repeat. ``id`` is 16 bytes that name the try, ``fingerprint`` 16
    bytes that name its content: the same id with another fingerprint is refused."""

    id: bytes
    fingerprint: bytes


class TimerFired(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The command that the runtime sends an entity when its timer is due."""


TIMER_FIRED = TimerFired()


class Ask(msgspec.Struct, frozen=True, gc=False):
    """A command for another entity: a saga's next step, or what goes out beside a decision."""

    to: Address
    command: Any
    key: CommandKey | None = None
    """Only beside a decision."""
    expects: type = object
    """Beside a decision: the kind of reply with which the two have come to the same."""


class Turn(msgspec.Struct):
    """One message to decide, with everything that the decision may depend on."""

    address: Address
    state: Any
    companions: Mapping[Address, Any]
    """States of the other entities of this slot that :meth:`Behaviour.companions` asked for."""
    command: Any
    now_ms: int
    """Milliseconds since the epoch, never falling within one slot."""
    key: CommandKey | None = None


class Decision(msgspec.Struct, gc=False):
    """The outcome of one turn. The reply leaves after the events are in the journal."""

    reply: Any = None
    events: Sequence[tuple[Address, Any]] = ()
    """Each with the entity it belongs to: the one addressed, or one of its companions."""
    states: Mapping[Address, Any] | None = None
    """States after the events, of entities for which deciding has worked them out already: exactly
    what :meth:`Behaviour.evolve` gives. The others are evolved."""
    awaits: str | None = None
    """Hold the reply back until a later decision of this entity settles the saga of this name."""
    settles: str | None = None
    """The saga whose waiting caller gets this reply."""
    final: bool = True
    """False: the reply is not stored under the command's key; a repeat is decided anew."""
    settles_key: CommandKey | None = None
    """Store the reply as the outcome of this key (the key of the command that began the saga)."""
    beside: Ask | None = None
    """Asked at once, while the events are on their way into the journal, so that two commits take
    the time of one. The reply leaves when both are there, and says whether the other entity replied
    as expected (:attr:`actors.transport.Answer.beside`). The command may come true although this
    decision does not, if the owner is lost just then: it has to be one that can be found out and
    does no harm."""
    certain: bool = False
    """What settles this saga would settle it the same however often, whatever is lost: it follows
    from what the journal has of this entity, and from what others have decided for good. So those
    who wait for the saga are answered at once, and the events follow, unless something of the
    entity that came before is still on its way."""


class Tell(msgspec.Struct, frozen=True, gc=False):
    """A saga's last step: this command for the saga's own entity, which settles it."""

    command: Any


class Behaviour(ABC):
    """One kind of entity. Companions, timers, sagas and pages are optional."""

    kind: str

    # -- the entity ----------------------------------------------------------------------------

    @abstractmethod
    def initial(self, address: Address) -> Any:
        """The state of an entity that has no events yet; not ``None``, as no state may be."""

    @abstractmethod
    def decide(self, turn: Turn) -> Decision:
        """Decide a command: the reply and the events. Raise only for a broken invariant."""

    @abstractmethod
    def evolve(self, state: Any, event: Any) -> Any:
        """The state after one event. Must accept every event ever journalled."""

    def companions(
        self, address: Address, state: Any, command: Any, now_ms: int
    ) -> Sequence[Address]:
        """Other entities of the same slot that :meth:`decide` has to see for this command at this
        time."""
        return ()

    def infer(self, address: Address, state_of: Callable[[Address], Any | None]) -> Any | None:
        """The state of an entity that is not in memory, if it follows from entities of the same
        slot that are (``state_of``, ``None`` for one that is not); it saves a look into the
        journal. ``None``: look. Only for states without a timer and without a saga."""
        return None

    # -- time ----------------------------------------------------------------------------------

    def next_timer_ms(self, state: Any) -> int | None:
        """When to send :class:`TimerFired`, in milliseconds since the epoch; ``None`` for never.
        The timer survives every crash."""
        return None

    # -- sagas ---------------------------------------------------------------------------------

    def unfinished(self, state: Any) -> Collection[str]:
        """Names of the sagas this state says are begun and not settled."""
        return ()

    def follow_ups(self, state: Any) -> Collection[str]:
        """Names of sagas that nobody waits for and that end without a word in the journal. Each is
        run once its name appears until it is done; after a crash it may be run again."""
        return ()

    def step(self, state: Any, saga: str, answers: Sequence[Any]) -> Ask | Tell | None:
        """The saga's next step, given the replies so far; ``None`` if a follow-up is done. After a
        crash steps are repeated from the first, so their commands must be idempotent."""
        raise AssertionError(f"{self.kind} has no sagas")

    def saga_key(self, state: Any, saga: str) -> CommandKey | None:
        """The key of the command that began the saga, so that a repeat finds it in flight."""
        return None

    # -- large states --------------------------------------------------------------------------

    def groundwork(self, basis: Any) -> Iterator[None] | None:
        """Work that taking in an event, or going on from a state that was just read, leads to, and
        that would stop the event loop if it were done at once: done piece by piece before. Only to
        be quick may anything depend on it. ``None`` if there is none, or it has been done."""
        return None

    def pages(self, state: Any) -> Mapping[int, Any]:
        """The pages of a state that may be large, by number from 0: immutable parts that encode to
        some tens of kilobytes, each the same object as long as nothing in it changed. A snapshot is
        :meth:`encode_state` of the rest and the pages that have changed since the last one."""
        return {}

    def encode_page(self, page: Any) -> bytes:
        """One page, as it is stored in a snapshot; not empty."""
        raise AssertionError(f"{self.kind} has no pages")

    def with_page(self, state: Any, number: int, data: bytes) -> Any:
        """The state with one page more, while a snapshot is read. ``None`` as there."""
        raise AssertionError(f"{self.kind} has no pages")

    def pieces(self, state: Any) -> Iterable[Any]:
        """The parts that a large state is dropped in: freeing all at once would stop the loop."""
        return self.pages(state).values()

    # -- codecs --------------------------------------------------------------------------------

    @abstractmethod
    def encode_event(self, event: Any) -> tuple[str, int, bytes]:
        """Event type, its version, and its payload as JSON."""

    @abstractmethod
    def decode_event(self, event_type: str, version: int, payload: bytes) -> Any:
        """The event, brought up to the newest version."""

    @abstractmethod
    def encode_state(self, state: Any) -> bytes:
        """A snapshot of the state, without its pages."""

    @abstractmethod
    def decode_state(self, data: bytes) -> Any | None:
        """The state in a snapshot; ``None`` if it is of an older shape."""

    @abstractmethod
    def encode_reply(self, reply: Any) -> bytes:
        """A reply as it is stored for its :class:`CommandKey`, and sent between instances."""

    @abstractmethod
    def decode_reply(self, data: bytes) -> Any:
        """The reply of :meth:`encode_reply`."""

    @abstractmethod
    def encode_command(self, command: Any) -> bytes:
        """A command as it is sent between instances."""

    @abstractmethod
    def decode_command(self, data: bytes) -> Any:
        """The command of :meth:`encode_command`."""


class Folded:
    """An entity as the journal has it."""

    def __init__(
        self, behaviour: Behaviour, state: Any, snapshot: SnapshotRow | None = None
    ) -> None:
        self.behaviour = behaviour
        self.state = state
        self.from_seq = 0 if snapshot is None else snapshot.seq
        """What it was read from is the state of this seq, and events."""
        self.seq = self.from_seq
        """The seq of its last event; 0 for an entity without any."""
        self.event_bytes = 0
        """Size of the events since the snapshot."""
        self.snapshot_bytes = 0 if snapshot is None or snapshot.pages else len(snapshot.state)
        self.pages = behaviour.pages(state)
        """As the snapshot has them."""

    def decode(self, row: Row) -> Any:
        """An event of the entity. Raises whatever a behaviour raises."""
        return self.behaviour.decode_event(row.type, row.version, row.payload)

    def add(self, row: Row, event: Any) -> None:
        """Take in the next event. Raises whatever a behaviour raises."""
        self.state = self.behaviour.evolve(self.state, event)
        self.seq = row.seq
        self.event_bytes += len(row.payload)

    @property
    def timer_ms(self) -> int | None:
        """When the entity's timer is due."""
        return self.behaviour.next_timer_ms(self.state)

    @property
    def unfinished(self) -> Collection[str]:
        """Sagas that are begun and not settled."""
        return self.behaviour.unfinished(self.state)

    @property
    def keys(self) -> Sequence[CommandKey | None]:
        """The keys of these sagas."""
        return [self.behaviour.saga_key(self.state, saga) for saga in self.unfinished]
