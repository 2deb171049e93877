"""Streams of updates from this instance to every other: the shards it serves, and their changes.

Changes are gathered for a moment and sent to all together, but at once to whoever is being
answered. Parts are not answered, only refused. A stream that broke starts again with the last seq
of every entity, from which the receiver sees what it missed.
"""

import logging
from asyncio import Event
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
from attrs import define, field

from actors.clock import Clock
from actors.errors import UnavailableError
from actors.membership.contract import Member
from actors.tasks import Tasks, comes

log = logging.getLogger(__name__)

BEAT_EVERY_S = 0.5
"""At most between two statements of what is served: four within the time after which replicas are
stale."""

TICK_S = 0.001
"""A shorter wait may end before the clock has moved."""

GATHER_S = 0.08
"""At least between two parts for those who asked nothing: a frame costs more than ten changes. A
decision still shows everywhere within a tenth of a second."""

PART_CHANGES_MAX = 500
PART_BYTES_MAX = 160 * 1024
"""Seqs and changes of one part of a frame; a longer change is read from the journal."""

SEQS_MAX = 1_000
"""Entities named in one part: some 50 bytes each, so a third of it."""

RETRY_S = 0.1
"""Pause after a part that did not leave or was refused."""


class ReplicationUpdate(msgspec.Struct, frozen=True, tag=4, array_like=True):
    """One part of an owner's stream. Parts arrive in order."""

    instance: str
    incarnation: str
    owned: Sequence[tuple[int, int]] | None
    """All shards that the sender serves, with their epochs; ``None`` if this part omits them."""
    latest: Sequence[tuple[str, int]]
    """Entities of the views, and the seq of their last event."""
    changes: Sequence[Any]
    """Each an encoded :class:`EntityChange`."""
    ends: Sequence[tuple[int, int, int]] = ()
    """With ``owned``: shards, the epoch under which the sender serves them, and the last seq that
    it committed under it."""
    place: int = 0
    """In the stream: one of the numbers below."""


ANSWERED, FIRST, LATER = range(3)
"""A part that waits for an answer, as the release before sends it; the first part of a stream; one
that follows, of which nothing is known to somebody who has not heard the first."""


class EntityChange(msgspec.Struct, frozen=True, array_like=True):
    """Events of one entity that were committed together."""

    address: str
    before_seq: int
    """Seq of the entity's event before these; 0 if there is none."""
    rows: Sequence[tuple[int, str, int, bytes]]
    """Seq, type, version and payload, as journalled."""
    epoch: int = 0
    """Under which they were committed; 0 if the sender does not say."""

    @property
    def last_seq(self) -> int:
        """Seq of the last of these events."""
        return self.rows[-1][0]


encode = msgspec.msgpack.Encoder().encode
"""Encodes a change, or a part."""


def convert_change(raw: Any) -> EntityChange:
    """Turn one element of a decoded :attr:`ReplicationUpdate.changes` into a change."""
    return msgspec.convert(raw, EntityChange)


Tell = Callable[[str, bytes, Callable[[], None]], None]
"""Sends an encoded part. Raises :class:`~actors.errors.UnavailableError` if it does not leave, and
calls back if it may not have arrived."""


@define(eq=False)
class _Stream:
    """How far another instance was told."""

    sent: int = field(default=0, init=False)
    """Of the changes that are gathered."""
    broken: bool = field(default=True, init=False)
    """Starts again, with everything."""
    failed: bool = field(default=True, init=False)
    """No part has left since the last one that did not."""


@define(eq=False)
class UpdateStreams:
    """All streams of one instance. ``owned`` gives the shards it serves, or ``None`` while it is
    not sure of them; ``latest`` gives the last seq of every entity in them, ``ends`` that of every
    shard. A stream lasts as long as its receiver is ``known``."""

    _member: Member
    _tell: Tell
    _clock: Clock
    _tasks: Tasks
    _owned: Callable[[], Sequence[tuple[int, int]] | None] = field(kw_only=True)
    _latest: Callable[[], Iterable[tuple[str, int]]] = field(kw_only=True)
    _ends: Callable[[], Sequence[tuple[int, int, int]]] = field(kw_only=True)
    _known: Callable[[str], bool] = field(kw_only=True)
    _streams: dict[str, _Stream] = field(factory=dict, init=False)
    _changes: list[bytes] = field(factory=list, init=False)
    _seqs: dict[str, int] = field(factory=dict, init=False)
    """Last seqs to be sent to all, by entity."""
    _bytes: int = field(default=0, init=False)
    _urgent: bool = field(default=False, init=False)
    """The shards that are served here have changed."""
    _broken: bool = field(default=False, init=False)
    """Any stream is."""
    _sent_s: float = field(default=0.0, init=False)
    _beaten_s: float = field(default=0.0, init=False)
    """When the shards were last sent."""
    _wakeup: Event = field(factory=Event, init=False)
    _running: bool = field(default=False, init=False)

    @property
    def receivers(self) -> int:
        """How many other instances updates are sent to."""
        return len(self._streams)

    def open(self, instances: Iterable[str]) -> None:
        """Open streams to those of these instances that have none."""
        for name in instances:
            if name not in self._streams:
                self._streams[name] = _Stream()
                self.publish_ownership()
        if not self._running and self._streams:
            self._running = True
            self._tasks.spawn(self._run(), "streams")

    def publish(self, address: str, seq: int, change: bytes) -> None:
        """Send an encoded change of an entity, up to this seq, to every instance."""
        if len(change) > PART_BYTES_MAX:
            self.publish_seq(address, seq)
            return
        self._changes.append(change)
        self._bytes += len(change)
        if len(self._changes) == 1 or self._full:
            self._wakeup.set()

    @property
    def _full(self) -> bool:
        return self._bytes >= PART_BYTES_MAX or len(self._changes) >= PART_CHANGES_MAX

    def publish_seq(self, address: str, seq: int) -> None:
        """Send an entity's last seq; who misses events reads the journal."""
        self._seqs[address] = seq
        self._wakeup.set()

    def publish_ownership(self) -> None:
        """Send the shards that are served here to every instance now."""
        self._urgent = True
        self._wakeup.set()

    def hurry(self, name: str) -> None:
        """Send this instance the changes that it was not sent yet: it is being answered, and who
        asked there reads there."""
        stream = self._streams.get(name)
        if stream is not None and not stream.broken and stream.sent < len(self._changes):
            self._send(name, stream, self._parts(LATER, stream.sent))

    async def _run(self) -> None:
        while True:
            wait_s = self._due_s() - self._clock.monotonic()
            if wait_s > 0:
                await comes(self._wakeup, max(wait_s, TICK_S))
                self._wakeup.clear()
            else:
                self._send_all()

    def _due_s(self) -> float:
        due_s = self._beaten_s + BEAT_EVERY_S
        if self._changes or self._seqs:
            due_s = min(due_s, self._sent_s + GATHER_S)
        if self._broken:
            due_s = min(due_s, self._sent_s + RETRY_S)
        return 0.0 if self._urgent or self._full else due_s

    def _send_all(self) -> None:
        """Send what was gathered, the same to all who were sent as much before, and the shards
        unless they were sent a moment ago."""
        now_s = self._clock.monotonic()
        beats = self._urgent or now_s - self._beaten_s >= BEAT_EVERY_S / 2
        owned = self._owned() if beats or self._broken else None
        self._urgent, self._broken, self._sent_s = False, False, now_s
        self._beaten_s = now_s if beats else self._beaten_s
        seqs = list(self._seqs.items())
        ready: dict[int, list[bytes]] = {}
        for name, stream in list(self._streams.items()):
            if not self._known(name):
                del self._streams[name]
            elif stream.broken:
                stream.broken = False
                latest = list(self._latest())
                self._send(name, stream, self._parts(FIRST, len(self._changes), latest, owned))
            elif beats or seqs or stream.sent < len(self._changes):
                if stream.sent not in ready:
                    now_owned = owned if beats else None
                    ready[stream.sent] = list(self._parts(LATER, stream.sent, seqs, now_owned))
                self._send(name, stream, ready[stream.sent])
        self._changes, self._bytes = [], 0
        self._seqs.clear()
        for stream in self._streams.values():
            stream.sent = 0

    def _send(self, name: str, stream: _Stream, parts: Iterable[bytes]) -> None:
        stream.sent = len(self._changes)
        try:
            for part in parts:
                self._tell(name, part, partial(self._lose, stream))
            stream.failed = False
        except UnavailableError as error:
            if not stream.failed:
                log.info("%s does not hear us: %s", name, error)
            stream.failed = True
            self._lose(stream)

    def _lose(self, stream: _Stream) -> None:
        """A part may not have arrived."""
        stream.broken = self._broken = True
        self._wakeup.set()

    def _parts(
        self,
        place: int,
        sent: int,
        seqs: Sequence[tuple[str, int]] = (),
        owned: Sequence[tuple[int, int]] | None = None,
    ) -> Iterator[bytes]:
        """At least one part: the shards, these seqs, and the gathered changes that were not sent.
        Changes have parts of their own, after the seqs."""
        who = (self._member.instance, self._member.incarnation)
        left, ends = self._changes[sent:], self._ends() if owned else ()
        while True:
            some, seqs = seqs[:SEQS_MAX], seqs[SEQS_MAX:]
            changes = [] if some else _fitting(left)
            left = left[len(changes) :]
            yield encode(ReplicationUpdate(*who, owned, some, changes, ends, place))
            if not (left or seqs):
                return
            owned, ends, place = None, (), LATER


def _fitting(changes: Sequence[bytes]) -> list[Any]:
    """As many of these changes as fit into a part."""
    left, count = PART_BYTES_MAX, 0
    while count < min(len(changes), PART_CHANGES_MAX) and len(changes[count]) <= left:
        left -= len(changes[count])
        count += 1
    return [msgspec.Raw(change) for change in changes[:count]]
