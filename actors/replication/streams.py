"""Streams of updates from this instance to every other: the shards it serves, and their changes.

Each sends one part at a time. One that broke, or fell too far behind, starts again with the last
seq of every entity, from which the receiver sees what it missed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import msgspec
from attrs import define, field

from actors.clock import Clock
from actors.errors import EntityCrashedError, UnavailableError
from actors.membership.contract import Member
from actors.tasks import Tasks

log = logging.getLogger(__name__)

BEAT_EVERY_S = 0.4
"""Between two parts without news: five within the time after which replicas are stale."""

PART_TIMEOUT_S = 2.0
"""As old as replicas may be; a later part is of no use."""

PART_CHANGES_MAX = 500
PART_BYTES_MAX = 160 * 1024
"""Seqs and changes of one part of a frame; a longer change is read from the journal."""

PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Changes waiting for one slow instance: seconds of full load; then it reads the journal."""

SEQS_MAX = 1_000
"""Entities named in one part: some 50 bytes each, so a third of it."""

SEQ_BYTES = 16
"""Size of a seq and its framing, without the address."""

RETRY_S = 0.1
"""Pause after a part that did not arrive."""


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


encode_change = msgspec.msgpack.Encoder().encode


def convert_change(raw: Any) -> EntityChange:
    """Turn one element of a decoded :attr:`ReplicationUpdate.changes` into a change."""
    return msgspec.convert(raw, EntityChange)


Send = Callable[[str, ReplicationUpdate, float], Awaitable[object]]
"""Sends a part within so many seconds; raises as :meth:`actors.transport.Transport.ask`."""


@define(eq=False)
class _Stream:
    """What waits for one other instance."""

    changes: list[bytes] = field(factory=list, init=False)
    seqs: dict[str, int] = field(factory=dict, init=False)
    """Last seqs to be sent, by entity."""
    pending_bytes: int = field(default=0, init=False)
    broken: bool = field(default=True, init=False)
    """Starts again, with everything."""
    failed: bool = field(default=False, init=False)
    """The last part did not arrive."""
    urgent: bool = field(default=True, init=False)
    """The shards that are served here have changed."""
    beaten_s: float = field(default=0.0, init=False)
    """When the shards were last sent."""
    wakeup: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.wakeup.set()

    @property
    def idle(self) -> bool:
        return not (self.changes or self.seqs or self.urgent or self.broken)

    def put(self, change: bytes) -> None:
        if self.broken:
            return  # Everything is sent again anyway.
        self.changes.append(change)
        self.pending_bytes += len(change)
        if self.pending_bytes > PENDING_BYTES_MAX:
            self.drop()
        self.wakeup.set()

    def put_seq(self, address: str, seq: int) -> None:
        if not self.broken:
            self.seqs[address] = seq
            self.wakeup.set()

    def drop(self) -> None:
        self.broken = True
        self.changes.clear()
        self.seqs.clear()
        self.pending_bytes = 0

    def take_seqs(self) -> list[tuple[str, int]]:
        taken = list(islice(self.seqs.items(), SEQS_MAX))
        for address, _ in taken:
            del self.seqs[address]
        return taken

    def take_changes(self, bytes_max: int) -> list[bytes]:
        size = count = 0
        for change in self.changes[:PART_CHANGES_MAX]:
            if size + len(change) > bytes_max:
                break
            size += len(change)
            count += 1
        taken, self.changes = self.changes[:count], self.changes[count:]
        self.pending_bytes -= size
        return taken


@define(eq=False)
class UpdateStreams:
    """All streams of one instance. ``owned`` gives the shards it serves, or ``None`` while it is
    not sure of them; ``latest`` gives the last seq of every entity in them, ``ends`` that of every
    shard. A stream lasts as long as its receiver is ``known``."""

    _member: Member
    _send: Send
    _clock: Clock
    _tasks: Tasks
    _owned: Callable[[], Sequence[tuple[int, int]] | None] = field(kw_only=True)
    _latest: Callable[[], Iterable[tuple[str, int]]] = field(kw_only=True)
    _ends: Callable[[], Sequence[tuple[int, int, int]]] = field(kw_only=True)
    _known: Callable[[str], bool] = field(kw_only=True)
    _streams: dict[str, _Stream] = field(factory=dict, init=False)

    @property
    def receivers(self) -> int:
        """How many other instances updates are sent to."""
        return len(self._streams)

    def open(self, instances: Iterable[str]) -> None:
        """Open streams to those of these instances that have none."""
        for name in instances:
            if name not in self._streams:
                self._streams[name] = _Stream()
                self._tasks.spawn(self._run(name, self._streams[name]), f"stream-{name}")

    def publish(self, address: str, seq: int, change: bytes) -> None:
        """Send an encoded change of an entity, up to this seq, to every instance."""
        if len(change) > PART_BYTES_MAX:
            self.publish_seq(address, seq)
            return
        for stream in self._streams.values():
            stream.put(change)

    def publish_seq(self, address: str, seq: int) -> None:
        """Send an entity's last seq; who misses events reads the journal."""
        for stream in self._streams.values():
            stream.put_seq(address, seq)

    def publish_ownership(self) -> None:
        """Send the shards that are served here to every instance now."""
        for stream in self._streams.values():
            stream.urgent = True
            stream.wakeup.set()

    async def _run(self, name: str, stream: _Stream) -> None:
        try:
            while self._known(name):
                if stream.idle:
                    stream.wakeup.clear()
                    await self._wait(stream)
                await self._send_part(name, stream)
        finally:
            del self._streams[name]

    async def _wait(self, stream: _Stream) -> None:
        """Until there is something to send, or the next beat is due."""
        wait_s = stream.beaten_s + BEAT_EVERY_S - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                await stream.wakeup.wait()
        except TimeoutError:
            stream.urgent = True

    async def _send_part(self, name: str, stream: _Stream) -> None:
        try:
            await self._send(name, self._part(stream), PART_TIMEOUT_S)
            stream.failed = False
        except (UnavailableError, EntityCrashedError) as error:
            if not stream.failed:
                log.info("%s does not hear us: %s", name, error)
            stream.failed = True
            stream.drop()
            await asyncio.sleep(RETRY_S)

    def _part(self, stream: _Stream) -> ReplicationUpdate:
        if stream.broken:
            stream.broken = False
            stream.urgent = True
            stream.seqs = dict(self._latest())
        now_s = self._clock.monotonic()
        owned = None
        if stream.urgent or now_s - stream.beaten_s >= BEAT_EVERY_S:
            stream.urgent, stream.beaten_s = False, now_s
            owned = self._owned()
        seqs = stream.take_seqs()
        left = PART_BYTES_MAX - sum(len(address) + SEQ_BYTES for address, _ in seqs)
        changes: list[Any] = [msgspec.Raw(change) for change in stream.take_changes(max(left, 0))]
        member = self._member
        ends = self._ends() if owned else ()
        return ReplicationUpdate(member.instance, member.incarnation, owned, seqs, changes, ends)
