"""All consumers of an instance, and what operators see and do of them and of those elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import msgspec
from attrs import define, field

from actors.address import SLOT_COUNT
from actors.consumers.contract import Offset, Offsets
from actors.consumers.reader import EventReader
from actors.consumers.runner import ConsumerRunner
from actors.journal.contract import JournalError
from actors.subscription import Change, Subscription
from actors.tasks import Tasks


class UnknownConsumerError(LookupError):
    """There is no consumer of this name here."""


class StoppedShard(msgspec.Struct, frozen=True, rename="camel"):
    """A shard in which a consumer stopped by itself."""

    shard: int
    seq: int
    """The last event that is done."""
    poison_seq: int
    """The event that it cannot take; 0 if the journal is to blame."""
    trouble: str


class SkippedEvent(msgspec.Struct, frozen=True):
    """An event that an operator left out."""

    shard: int
    seq: int
    trouble: str
    reason: str
    who: str


class ConsumerView(msgspec.Struct, frozen=True):
    """How a consumer is doing, in all shards."""

    name: str
    state: Literal["running", "paused", "stopped", "away"]
    """``stopped``: in some shards, by itself. ``away``: its database cannot be asked."""
    behind: int
    """Events in the journal that are not done."""
    stopped: list[StoppedShard]
    skipped: list[SkippedEvent]


@define(eq=False)
class Consumers(Subscription):
    """Every method that asks a database may raise
    :class:`~actors.journal.contract.JournalError`, and each with a name
    :class:`UnknownConsumerError`. ``announce`` tells the other instances to :meth:`refresh`."""

    kinds_loaded = ()

    runners: Sequence[ConsumerRunner]
    _reader: EventReader
    """Used by the consumers alone, on connections that nobody waits for who sells; its journal is
    closed with them."""
    elsewhere: Mapping[str, Offsets] = field(kw_only=True, factory=dict)
    """Of consumers that other processes run, by name."""
    _announce: Callable[[], None] = field(kw_only=True, default=lambda: None)

    @property
    def _all(self) -> list[tuple[str, Offsets]]:
        here = [(runner.consumer.name, runner.offsets) for runner in self.runners]
        return [*here, *self.elsewhere.items()]

    def start(self, tasks: Tasks) -> None:
        """Run each consumer as a task of its own."""
        for runner in self.runners:
            tasks.spawn(runner.run(), f"consumer-{runner.consumer.name}")

    async def close(self) -> None:
        """Close all connections, when the tasks are gone."""
        for _, offsets in self._all:
            await offsets.close()
        await self._reader.journal.close()

    # -- what wakes them -----------------------------------------------------------------------

    def committed(self, change: Change) -> None:
        """There is something to read."""
        self._reader.keep(change)
        self.wake()

    def wake(self) -> None:
        """Have each look whether it has something to do."""
        for runner in self.runners:
            runner.wake.set()

    def past_lost(self, shard: int) -> None:
        """What was done may not be there any more."""
        self._reader.forget(shard)
        for runner in self.runners:
            runner.refresh((shard,))

    def refresh(self) -> None:
        """An operator changed offsets."""
        for runner in self.runners:
            runner.refresh()

    # -- what operators see and do ---------------------------------------------------------------

    async def views(self) -> list[ConsumerView]:
        """All consumers."""
        if not self._all:
            return []
        ends = await self._reader.journal.ends(range(SLOT_COUNT))
        return [await _view(name, offsets, ends) for name, offsets in self._all]

    async def lowest(self) -> dict[int, int]:
        """Of each shard the last event that all consumers are done with."""
        lowest: dict[int, int] = {}
        for _, one in self._all:
            offsets = {offset.shard: offset.seq for offset in await one.all()}
            for shard in range(SLOT_COUNT):
                seq = offsets.get(shard, 0)
                lowest[shard] = min(lowest.get(shard, seq), seq)
        return lowest

    async def pause(self, name: str) -> None:
        """Stop after the batch under way, in all shards."""
        await self._of(name).pause(True)
        self._changed()

    async def resume(self, name: str) -> None:
        """Go on in all shards; those that stopped by themselves try again what they stopped at."""
        await self._of(name).pause(False)
        self._changed()

    async def skip(self, name: str, shard: int, reason: str, who: str) -> SkippedEvent | None:
        """Leave out the event that a shard stopped at; ``None`` if it did not stop at one."""
        offset = await self._of(name).skip(shard, reason, who)
        self._changed()
        if offset is None:
            return None
        return _skips(offset)[-1]

    async def rewind(self, name: str, seq: int, shards: Collection[int]) -> Sequence[int]:
        """Take everything after this seq again in these shards; returns those that were past
        it."""
        moved = await self._of(name).rewind(seq, shards)
        self._changed()
        return [offset.shard for offset in moved]

    def _of(self, name: str) -> Offsets:
        for known, offsets in self._all:
            if known == name:
                return offsets
        raise UnknownConsumerError(name)

    def _changed(self) -> None:
        self.refresh()
        self._announce()


async def _view(name: str, where: Offsets, ends: dict[int, int]) -> ConsumerView:
    try:
        offsets = await where.all()
    except JournalError:
        return ConsumerView(name, "away", 0, [], [])
    stopped = [
        StoppedShard(one.shard, one.seq, one.poison_seq, one.trouble)
        for one in offsets
        if one.trouble
    ]
    paused = any(offset.paused for offset in offsets)
    done = {offset.shard: offset.seq for offset in offsets}
    return ConsumerView(
        name,
        "paused" if paused else "stopped" if stopped else "running",
        sum(max(0, end - done.get(shard, 0)) for shard, end in ends.items()),
        stopped,
        [skip for offset in offsets for skip in _skips(offset)],
    )


def _skips(offset: Offset) -> list[SkippedEvent]:
    return [
        SkippedEvent(offset.shard, skip.seq, skip.trouble, skip.reason, skip.who)
        for skip in offset.skipped
    ]
