"""What an owner tells all others: which shards it serves, and what became true in them.

One stream for each other instance, in order, one part at a time: the next part gathers what came
up while the last one was on its way, as group commit does. A stream that broke, or could not keep
up, begins anew with the seq of everything, from which the other side sees what it missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import msgspec

from actors.clock import Clock
from actors.cluster.links import Links
from actors.cluster.messages import DESK, Update
from actors.errors import EntityCrashedError, UnavailableError
from actors.tasks import Tasks

log = logging.getLogger(__name__)

BEAT_EVERY_S = 0.4
"""Between two words of an owner that has nothing new: five of them within the two seconds after
which its views count as old."""

PART_TIMEOUT_S = 2.0
"""As old as views may be; a part that takes longer is of no use."""

PART_CHANGES_MAX = 500
PART_BYTES_MAX = 160 * 1024
"""Of one part, marks and changes: a frame holds 256 KiB, and the shards of a beat want room
beside. A longer change is not told: whoever wants it reads it from the journal."""

PENDING_BYTES_MAX = 8 * 1024 * 1024
"""Changes that wait for one slow instance: seconds of full load. Beyond it they are dropped, and it
reads what it missed from the journal."""

MARKS_MAX = 1_000
"""Entities named in one part: some 50 bytes each, so a third of it."""

MARK_BYTES = 16
"""Beside the address: a seq and the words around it."""

RETRY_S = 0.1
"""After a part that did not arrive."""


class Stream:
    """What waits for one other instance."""

    __slots__ = (
        "beaten_s",
        "broken",
        "changes",
        "lost",
        "marks",
        "pending_bytes",
        "urgent",
        "wakeup",
    )

    def __init__(self) -> None:
        self.changes: list[bytes] = []
        self.marks: dict[str, int] = {}
        """Seqs to be told; at most as many as there are entities in views."""
        self.pending_bytes = 0
        self.broken = True
        """To begin anew, with everything."""
        self.lost = False
        """The last part did not arrive."""
        self.urgent = True
        """There is news of ownership."""
        self.beaten_s = 0.0
        """When the shards were last told."""
        self.wakeup = asyncio.Event()
        self.wakeup.set()

    def put(self, change: bytes) -> None:
        if self.broken:
            return  # Everything is told anew anyway.
        self.changes.append(change)
        self.pending_bytes += len(change)
        if self.pending_bytes > PENDING_BYTES_MAX:
            self.drop()
        self.wakeup.set()

    def mark(self, address: str, seq: int) -> None:
        if not self.broken:
            self.marks[address] = seq
            self.wakeup.set()

    def drop(self) -> None:
        self.broken = True
        self.changes.clear()
        self.marks.clear()
        self.pending_bytes = 0

    def take_marks(self) -> list[tuple[str, int]]:
        """Those of the next part."""
        taken = list(islice(self.marks.items(), MARKS_MAX))
        for address, _ in taken:
            del self.marks[address]
        return taken

    def take(self, bytes_max: int) -> list[bytes]:
        """The changes of the next part."""
        size = count = 0
        for change in self.changes[:PART_CHANGES_MAX]:
            if size + len(change) > bytes_max:
                break
            size += len(change)
            count += 1
        taken, self.changes = self.changes[:count], self.changes[count:]
        self.pending_bytes -= size
        return taken


class Streams:
    """All streams of one instance. ``owned`` gives the shards it serves, or ``None`` while it is
    not sure; ``marks`` the last seq of everything it tells of."""

    def __init__(
        self,
        instance: str,
        incarnation: str,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        *,
        owned: Callable[[], Sequence[tuple[int, int]] | None],
        marks: Callable[[], list[tuple[str, int]]],
        there: Callable[[str], bool],
    ) -> None:
        self._instance = instance
        self._incarnation = incarnation
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._owned = owned
        self._marks = marks
        self._there = there
        self._streams: dict[str, Stream] = {}

    def meet(self, instances: Sequence[str]) -> None:
        """Tell these too, from now on, for as long as they are there."""
        for name in instances:
            if name not in self._streams:
                self._streams[name] = Stream()
                self._tasks.spawn(self._run(name, self._streams[name]), f"stream-{name}")

    @property
    def listeners(self) -> int:
        return len(self._streams)

    def put(self, address: str, seq: int, change: bytes) -> None:
        """Tell everybody of an encoded change of this entity, up to this seq."""
        if len(change) > PART_BYTES_MAX:
            self.mark(address, seq)
            return
        for stream in self._streams.values():
            stream.put(change)

    def mark(self, address: str, seq: int) -> None:
        """Tell everybody what the last event of an entity is, so that whoever has missed it reads
        it: its last owner may have died before it could tell."""
        for stream in self._streams.values():
            stream.mark(address, seq)

    def announce(self) -> None:
        """Tell everybody at once which shards are served here now."""
        for stream in self._streams.values():
            stream.urgent = True
            stream.wakeup.set()

    async def _run(self, name: str, stream: Stream) -> None:
        try:
            while self._there(name):
                if not (stream.changes or stream.marks or stream.urgent or stream.broken):
                    stream.wakeup.clear()
                    await self._rest(stream)
                await self._send(name, stream)
        finally:
            del self._streams[name]

    async def _rest(self, stream: Stream) -> None:
        """Until there is something to tell, or the next beat is due."""
        wait_s = stream.beaten_s + BEAT_EVERY_S - self._clock.monotonic()
        try:
            async with asyncio.timeout(max(wait_s, 0.0)):
                await stream.wakeup.wait()
        except TimeoutError:
            stream.urgent = True

    async def _send(self, name: str, stream: Stream) -> None:
        try:
            await self._links.ask(
                name,
                DESK,
                self._part(stream),
                key=None,
                deadline=self._clock.monotonic() + PART_TIMEOUT_S,
            )
            stream.lost = False
        except (UnavailableError, EntityCrashedError) as error:
            if not stream.lost:
                log.info("%s does not hear us: %s", name, error)
            stream.lost = True
            stream.drop()
            await asyncio.sleep(RETRY_S)

    def _part(self, stream: Stream) -> Update:
        if stream.broken:
            stream.broken = False
            stream.urgent = True
            stream.marks = dict(self._marks())
        now_s = self._clock.monotonic()
        owned = None
        if stream.urgent or now_s - stream.beaten_s >= BEAT_EVERY_S:
            stream.urgent, stream.beaten_s = False, now_s
            owned = self._owned()
        marks = stream.take_marks()
        room = PART_BYTES_MAX - sum(len(address) + MARK_BYTES for address, _ in marks)
        changes: list[Any] = [msgspec.Raw(change) for change in stream.take(max(room, 0))]
        return Update(self._instance, self._incarnation, owned, marks, changes)
