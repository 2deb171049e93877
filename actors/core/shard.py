"""What a shard holds in memory, for as long as this instance owns it under one epoch.

These are the data; :mod:`actors.core.entities`, :mod:`actors.core.writer` and
:mod:`actors.core.sagas` work on them. A shard that is lost or in doubt is closed and forgotten as a
whole; what still refers to it only looks whether it is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Behaviour, CommandKey, Decision, Folded
from actors.clock import SKEW_MAX_MS
from actors.core.context import ShardContext
from actors.core.envelope import Caller, Envelope, Mailbox, Probe, Trace
from actors.core.keys import KeyBook
from actors.core.supervision import Backoff
from actors.errors import OutcomeUnknownError
from actors.journal.contract import Lease, OutcomeRow, PageRow, Row, SnapshotRow, TimerEntry
from actors.subscription import Change
from actors.transport import Answer

log = logging.getLogger(__name__)

LEAD_MAX_MS = SKEW_MAX_MS // 2
"""By how much a shard's time may lead this instance's clock, which may lead the database's."""

ABSENT: Final = Probe("ABSENT")
"""Stands for a state that is not in memory."""

NOTHING_OWED: Final[frozenset[str]] = frozenset()
"""The one empty set: an own one for each entity would be the largest part of most."""


@dataclass(slots=True, eq=False)
class SnapshotPages:
    """What is known of the snapshots of one entity with pages."""

    pages: Mapping[int, Any] = field(default_factory=dict)
    """Those of the last snapshot."""
    heads: deque[tuple[float, int]] = field(default_factory=deque)
    """When some of the last snapshots were written, and their seqs."""
    writing: bool = False
    """A snapshot is under way."""


@dataclass(slots=True, eq=False)
class Activation(Mailbox):
    """One entity in memory, with its mailbox. Only the shard's writer changes ``state``."""

    address: Address
    behaviour: Behaviour
    shard: Shard
    has_companions: bool = field(init=False)
    """Whether the behaviour ever asks for companions."""
    paging: SnapshotPages | None = field(init=False)
    """Only for a behaviour with pages."""
    state: Any = ABSENT
    """After every decision, committed or not. Meaningless unless ``loaded``."""
    committed: Any = ABSENT
    """After the last decision that the journal accepted: all that may leave the shard."""
    loaded: bool = False
    loading: bool = False
    queued: bool = False
    """In the shard's queue of runnable activations."""
    waits: bool = False
    """The next message waits for a companion to be loaded."""
    touched: bool = True
    """Used since passivation last looked."""
    dropped: bool = False
    """Forgotten, while its shard is served on."""
    crashed: bool = False
    """To be loaded again as soon as nothing of it is uncommitted."""
    uncommitted: int = 0
    """Decisions submitted and not yet committed."""
    owed: frozenset[str] = NOTHING_OWED
    """Follow-ups of decisions, committed or not, that are not done. Their entity stays marked."""
    seq: int = 0
    """Of its last event known to be in the journal."""
    pins: int = 0
    """Running sagas, and messages that wait for it as a companion: they keep it in memory."""
    event_bytes: int = 0
    """Size of the events since the last snapshot."""
    snapshot_bytes: int = 0
    """Size of the last snapshot."""
    awaited: bool = False
    """A command for it comes soon: it is worth loading."""
    watchers: list[Activation] | None = None
    """Activations whose next message needs this one as a companion."""
    held: Sequence[Activation] = ()
    """Companions of the next message, kept in memory while others of them are loaded."""

    def __post_init__(self) -> None:
        self.has_companions = type(self.behaviour).companions is not Behaviour.companions
        self.paging = None if type(self.behaviour).pages is Behaviour.pages else SnapshotPages()

    def hold(self, companions: Sequence[Activation]) -> None:
        """Keep these in memory for the next message, and no others."""
        for companion in self.held:
            companion.pins -= 1
        for companion in companions:
            companion.pins += 1
        self.held = companions

    @property
    def gone(self) -> bool:
        """No longer in memory; whoever still refers to it has to look again."""
        return self.dropped or self.shard.closed

    @property
    def needed(self) -> bool:
        """Whether something waits for this entity to be loaded."""
        return self.size > 0 or self.pins > 0 or self.awaited or bool(self.watchers)

    @property
    def idle(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        return not (self.needed or self.loading or self.queued or self.uncommitted)


class PendingChange(Change):
    """What a decision makes of one entity, with what only its shard needs."""

    __slots__ = (
        "activation",
        "follow_ups",
        "size",
        "snapshot",
        "snapshot_due",
        "timer_ms",
        "unfinished",
    )

    def __init__(self, activation: Activation, state: Any) -> None:
        self.address = activation.address
        self.state = state
        self.epoch = activation.shard.epoch
        self.seq = 0
        self.events = []
        self.rows = []
        self.activation = activation
        self.size = 0
        """Bytes of the events' payloads."""
        self.snapshot: bytes | None = None
        self.snapshot_due = False
        """Of a state with pages, which is not written with the decision."""
        self.unfinished: Collection[str] = ()
        """Sagas that are begun and not settled in the new state."""
        self.follow_ups: Sequence[str] = ()
        """Those that this decision brought about."""
        self.timer_ms: int | None = None
        """When the entity's timer is due from now on."""


@dataclass(slots=True, eq=False)
class Commit:
    """One decision on its way. ``answers`` leave when the journal has accepted the rows."""

    shard: Shard
    rows: list[Row] = field(default_factory=list)
    outcomes: Sequence[OutcomeRow] = ()
    snapshots: Sequence[SnapshotRow] = ()
    pages: Sequence[PageRow] = ()
    timers: Sequence[TimerEntry] = ()
    changes: Sequence[PendingChange] = ()
    answers: Sequence[tuple[Caller, Answer]] = ()
    stored: Sequence[tuple[CommandKey, Any]] = ()
    """Keys whose outcome is in ``outcomes``, with the reply."""
    readers: list[tuple[Caller, Answer]] | None = None
    """Answers of later decisions without rows: they tell of a state that this commit makes true."""
    trace: Trace | None = None
    """The trace of the message that was decided."""
    weight: int = 0
    """Rows of all tables, counted by the lane."""

    def release(self) -> None:
        """Answer everybody who waits for the commit, which the journal has."""
        if self.trace is not None:
            self.trace.committed(None)
        for envelope, answer in self.answers:
            envelope.answer(answer)
        for envelope, answer in self.readers or ():
            envelope.answer(answer)

    def refuse(self, refusal: Callable[[], Exception]) -> None:
        """Refuse everybody who waits for the commit, which the journal may not have."""
        if self.trace is not None:
            self.trace.committed(refusal())
        for envelope, _ in self.answers:
            envelope.refuse(refusal())
        for envelope, _ in self.readers or ():
            envelope.refuse(refusal())


@dataclass(slots=True, eq=False)
class Saga:
    """One running saga: the replies so far, and what it waits for."""

    activation: Activation
    name: str
    backoff: Backoff
    trace: Trace | None
    """The trace of the message that began it; a saga that is resumed after a crash has none."""
    follows: bool
    """It is a follow-up."""
    answers: list[Any] = field(default_factory=list)
    handle: asyncio.TimerHandle | None = None


@dataclass(slots=True, eq=False)
class Timer:
    """When one entity wants :data:`~actors.behaviour.TIMER_FIRED`; the heap may hold it earlier."""

    shard: Shard
    address: Address
    armed_ms: int | None = None
    """``None`` for a timer that was disarmed."""
    queued_ms: int | None = None
    """The time under which it is in the heap."""


@dataclass(slots=True, eq=False)
class Reading:
    """An entity that could not be read from the journal, and will be read again."""

    backoff: Backoff
    planned: bool = False
    """The next try has its time."""


class JournalView(Protocol):
    """What a shard sees of the journal."""

    away: bool
    """It is out of reach: callers are refused."""
    halted: bool
    """Nothing may be decided now: it is away, or may have given the shard to another owner."""

    def load(self, activation: Activation) -> None:
        """Have the activation filled."""

    def look_up(self, activation: Activation, envelope: Envelope) -> None:
        """Have the journal asked whether it knows the outcome of the envelope's key."""

    async def drop_pages(self, address: Address, seq: int) -> None:
        """Have what no snapshot from this seq on needs deleted, if the journal is there."""


class Shard:
    """The memory of one shard; everything happens on the event loop's thread. ``submit`` puts a
    commit into the shard's lane. ``changed`` have events behind their snapshot since housekeeping
    looked, ``resting`` since before. ``wakeup`` is set while the writer sleeps."""

    def __init__(
        self,
        lease: Lease,
        context: ShardContext,
        journal: JournalView,
        submit: Callable[[Commit], None],
        began_ms: int = 0,
    ) -> None:
        self.number, self.epoch, self.began = lease.shard, lease.epoch, lease.past
        """``began`` is what the journal had when the shard was claimed."""
        self.journal = journal
        self.seq = lease.last_seq
        """The seq of the last event decided."""
        self.committed_seq = lease.last_seq
        """The seq of the last event known to be in the journal."""
        self.closed = False
        self.last_seqs: list[tuple[Address, int]] = []
        """When it was closed: of each entity in memory the seq of its last committed event."""
        self.lost = False
        """Another instance claimed it, and tells what became of it."""
        self.frozen = False
        """On the move: nobody new is let in, and what is there is decided."""
        self.turns = self.mail = 0
        """Messages decided, the load that balancing looks at; messages in all mailboxes."""
        self.activations: dict[Address, Activation] = {}
        self.keys = KeyBook(context.limits.outcomes_max)
        self.parked: dict[tuple[Address, str], list[Envelope]] = {}
        """Callers who wait for a saga of this name."""
        self.sagas: dict[tuple[Address, str], Saga] = {}
        self.timers: dict[Address, Timer] = {}
        self.firing: set[Address] = set()
        """Entities with a fired timer in their mailbox."""
        self.unreadable: dict[Address, Reading] = {}
        """Entities that could not be read the last time."""
        self.warm: dict[Address, Folded] = {}
        """Entities that were read before the shard was claimed; only what came since is missing."""
        self.armed: dict[Address, None] = {}
        """Entities with a timer entry, in the journal or on the way there."""
        self.disarmed: dict[Address, None] = {}
        """Those of them that have neither a timer nor a saga any more."""
        self.changed: dict[Address, Activation] = {}
        self.resting: dict[Address, Activation] = {}
        self._context = context
        self._submit = submit
        self._tail: Commit | None = None
        """The last commit submitted, until the journal has it."""
        self._now_ms = max(began_ms, lease.last_ms)
        self.runnable: deque[Activation] = deque()
        """Loaded activations with mail; each is in it at most once."""
        self.wakeup: asyncio.Future[None] | None = None

    def snapshot_after(self, activation: Activation) -> int:
        """Bytes of events after which the entity gets its next snapshot."""
        limits = self._context.limits
        size = max(limits.snapshot_bytes_min, activation.snapshot_bytes)
        return min(size, limits.tail_bytes_max)

    @property
    def place(self) -> dict[str, int]:
        """For log lines."""
        return {"shard": self.number, "epoch": self.epoch}

    def now_ms(self) -> int:
        """The time of what is decided now, by the database's clock. It never falls, unless it was
        far ahead: then it was a wrong one."""
        now_ms = self._context.clock.now_ms()
        lead_ms = self._now_ms - now_ms
        if lead_ms > LEAD_MAX_MS:
            log.error("shard %d was %d ms ahead of the database", self.number, lead_ms)
        if not 0 <= lead_ms <= LEAD_MAX_MS:
            self._now_ms = now_ms
        return self._now_ms

    # -- mail ----------------------------------------------------------------------------------

    def put(self, activation: Activation, envelope: Envelope) -> None:
        """Put a message into a mailbox."""
        activation.put(envelope)
        self.mail += 1
        if envelope.external:
            self._context.counters.waiting += 1

    def take(self, activation: Activation) -> Envelope:
        """Take the next message out of a mailbox."""
        envelope = activation.take()
        if activation.held:
            activation.hold(())
        self.mail -= 1
        if envelope.external:
            self._context.counters.waiting -= 1
        if envelope.command is TIMER_FIRED:
            self.firing.discard(activation.address)
        return envelope

    def queue(self, activation: Activation) -> None:
        """Have the writer serve this activation, unless its next message waits for a companion."""
        if not (activation.queued or activation.waits):
            activation.queued = True
            self.runnable.append(activation)
            if self.wakeup is not None:
                self.wake_writer()

    def wake_writer(self) -> None:
        """Have the writer look again."""
        if self.wakeup is not None:
            self.wakeup.set_result(None)
            self.wakeup = None

    def resume(self, watcher: Activation) -> None:
        """Serve an activation again: the companion it waited for is there, or will not come."""
        watcher.waits = False
        if watcher.size and watcher.loaded:
            self.queue(watcher)

    def answers_of(
        self, activation: Activation, envelope: Envelope, decision: Decision
    ) -> list[tuple[Caller, Answer]]:
        """Who gets the reply: the caller, or those who waited for the saga that is settled."""
        answer = Answer(decision.reply)
        waiting: list[tuple[Caller, Answer]] = []
        if decision.awaits is None:
            waiting.append((envelope, answer))
        else:
            self._park(activation.address, decision.awaits, envelope)
        if decision.settles is not None:
            parked = self.parked.pop((activation.address, decision.settles), ())
            waiting += [(waiter, answer) for waiter in parked]
        return waiting

    def _park(self, address: Address, saga: str, envelope: Envelope) -> None:
        """Keep a caller until the saga is settled, or its deadline passes."""
        waiting = self.parked.setdefault((address, saga), [])
        waiting[:] = [waiter for waiter in waiting if waiter.key is not None or not waiter.over]
        waiting.append(envelope)

    # -- the journal ---------------------------------------------------------------------------

    def submit(self, commit: Commit) -> None:
        """Send a commit on its way."""
        assert not commit.rows or commit.rows[0].seq == self.seq + 1, "drafted on another seq"
        self.seq += len(commit.rows)
        for timer in commit.timers:
            if timer.armed:
                self.armed[timer.address] = None
        self._tail = commit
        self._submit(commit)

    def reply(self, answers: list[tuple[Caller, Answer]]) -> None:
        """Answer a decision that writes nothing, as soon as what it saw is true."""
        if self._tail is not None:
            if self._tail.readers is None:
                self._tail.readers = answers
            else:
                self._tail.readers += answers
            return
        for envelope, answer in answers:
            envelope.answer(answer)

    def accepted(self, commit: Commit) -> None:
        """Note that the journal has the commit. A gap in the seqs is a broken invariant."""
        self.ended(commit)
        if commit.rows:
            gap = commit.rows[0].seq - self.committed_seq - 1
            assert gap == 0, f"shard {self.number}: accepted {gap} rows ahead of its turn"
            self.committed_seq = commit.rows[-1].seq

    def ended(self, commit: Commit) -> None:
        """Note that the commit is no longer on its way, whatever became of it."""
        if self._tail is commit:
            self._tail = None

    @property
    def settled(self) -> bool:
        """Whether nothing of this shard is on its way to the journal."""
        return self._tail is None

    @property
    def quiet(self) -> bool:
        """Whether nobody waits for anything of this shard."""
        if self.mail or self._tail is not None:
            return False
        return all(waiter.over for waiting in self.parked.values() for waiter in waiting)

    # -- the end -------------------------------------------------------------------------------

    def refuse_mail(self, refusal: Callable[[], Exception]) -> None:
        """Refuse everybody who waits to be decided; timers and sagas stay."""
        for activation in self.activations.values() if self.mail else ():
            for envelope in activation:
                if envelope.external and not envelope.over:
                    self.keys.release(envelope)
                    envelope.refuse(refusal())

    def close(self, refusal: Callable[[], Exception]) -> list[Activation]:
        """Answer everybody and forget everything. Undecided messages are refused with ``refusal``;
        what is in a lane is the lane's to answer. Returns what was in memory."""
        self.closed = True
        left = list(self.activations.values())
        for activation in left if self.mail else ():
            while activation.size:
                self.take(activation).refuse(refusal())
        for waiting in self.parked.values():
            for waiter in waiting:
                waiter.refuse(OutcomeUnknownError("the shard was left while the saga ran"))
        self.last_seqs = [(a.address, a.seq) for a in left if a.seq]
        self.activations.clear()
        self.parked.clear()
        self.timers.clear()
        self.changed.clear()
        self.resting.clear()
        self.wake_writer()
        return left
