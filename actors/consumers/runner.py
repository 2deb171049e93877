"""Runs one consumer on an instance: for the shards that the instance owns, as long as it does.

::

    committed -> wake -> read the journal -> take: move offsets, call the function, commit -> again
                                              |
                                              +- it raises: each shard on its own, each event on its
                                                 own, until the one that is to blame is known

Two owners of one shard, one of them stale, are told apart by the offset: the step of a batch begins
where the last one ended, under the lock of its row, or it is not taken.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

from attrs import define, field
from msgspec.structs import replace

from actors.clock import Clock
from actors.connections.postgres import TROUBLE, is_ours
from actors.consumers.contract import Consumer, Event, Offset, Offsets, Step
from actors.consumers.reader import EventReader
from actors.core.supervision import Backoff, where
from actors.journal.contract import JournalError, Row
from actors.tasks import comes

log = logging.getLogger(__name__)

GATHER_S = 0.1
"""From a commit to the call: every call costs two cores some milliseconds, however few events it
has, so what is committed meanwhile is taken with it."""
PAUSE_S = 0.01
"""Between two calls while there is more: the loop is the sale's."""
LOOK_EVERY_S = 1.0
"""Between two looks, in memory, whether shards came or went unheard."""
REFRESH_S = 30.0
"""Between two looks into the offsets of one that has nothing to do: an operator may have changed
them, and the news of it got lost."""
DECODED_TOGETHER = 50
"""Events between two turns of the loop: some half a millisecond."""
TRIES = 3
"""Of one event alone, before it is held to be poison."""
RETRY_S, RETRY_MAX_S = 0.2, 10.0
TROUBLE_WORDS_MAX = 500

Served = Callable[[], Mapping[int, tuple[int, int]]]
"""The shards that this instance serves: the epoch, and the last seq that is committed."""


class HungError(Exception):
    """A consumer's function did not return within its limit."""


@define(eq=False)
class _Place:
    """One shard that is followed here."""

    tenure: int
    """The epoch under which this instance serves it."""
    offset: Offset
    alone_seq: int = 0
    """Up to here its events are taken without those of other shards: they may be to blame."""
    single_seq: int = 0
    """Up to here they are taken one by one: one of them is to blame."""
    failures: int = 0
    """Of the next event alone."""
    not_before_s: float = 0.0

    @property
    def alone(self) -> bool:
        """Whether it is taken without other shards."""
        return self.offset.seq < max(self.alone_seq, self.single_seq)

    @property
    def taken_max(self) -> int:
        """Events of the next call."""
        if self.offset.seq < self.single_seq:
            return 1
        return self.alone_seq - self.offset.seq if self.alone else sys.maxsize


@define(eq=False)
class ConsumerRunner:
    """Runs one consumer on one instance."""

    consumer: Consumer
    offsets: Offsets
    _reader: EventReader
    _served: Served
    _clock: Clock
    _draw: Callable[[], float]
    wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    events: int = field(default=0, init=False)
    """Done here so far."""
    failures: int = field(default=0, init=False)
    """Calls that raised, and times that something was out of reach."""
    _places: dict[int, _Place] = field(factory=dict, init=False)
    """In the order in which they are served next."""
    _behind_since_s: float | None = field(default=None, init=False)
    _refreshes: int = field(default=0, init=False)
    _refreshed_s: float = field(init=False)
    _backoff: Backoff = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._backoff = Backoff(RETRY_S, RETRY_MAX_S, self._draw)
        self._refreshed_s = self._clock.monotonic()

    async def run(self) -> None:
        """Until cancelled, whatever the function does."""
        while True:
            try:
                pause_s = await self._turn()
                self._backoff.reset()
            except Exception as error:  # noqa: BLE001 - whatever it is, the instance goes on
                self.failures += 1
                pause_s = self._backoff.next_s()
                log.warning(
                    "consumer %s waits %.1f s: %s",
                    self.consumer.name,
                    pause_s,
                    error if isinstance(error, JournalError) else where(error),
                )
                self._places.clear()  # A step that was under way may have been taken or not.
                await asyncio.sleep(pause_s)
                continue
            if pause_s is None:
                await comes(self.wake, LOOK_EVERY_S)
            await asyncio.sleep(GATHER_S if pause_s is None else pause_s)

    def refresh(self, shards: Collection[int] | None = None) -> None:
        """Look at the offsets of all shards, or of these, again: somebody else may have moved
        them, or the journal may have lost what is behind them."""
        for shard in list(self._places) if shards is None else shards:
            self._places.pop(shard, None)
        self._refreshes += 1
        self.wake.set()

    @property
    def stopped(self) -> int:
        """Shards here in which it stopped by itself, until an operator says so."""
        return sum(bool(place.offset.trouble) for place in self._places.values())

    @property
    def behind(self) -> int:
        """Events that are committed here and not done."""
        served = self._served()
        return sum(
            served[shard][1] - place.offset.seq
            for shard, place in self._places.items()
            if shard in served
        )

    @property
    def behind_s(self) -> float:
        """For how long there has been something to do; halted shards do not count."""
        since_s = self._behind_since_s
        return 0.0 if since_s is None else self._clock.monotonic() - since_s

    # -- one turn ------------------------------------------------------------------------------

    async def _turn(self) -> float | None:
        """Open what is new, and take some of what there is; when to go on, ``None`` if there was
        nothing."""
        self.wake.clear()
        now_s = self._clock.monotonic()
        served = self._served()
        await self._open(served)
        waits = {
            shard: place
            for shard, place in self._places.items()
            if not place.offset.halted and served.get(shard, (0, 0))[1] > place.offset.seq
        }
        if not waits:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s
        ready = _together({n: p for n, p in waits.items() if p.not_before_s <= now_s})
        if not ready:
            if not waits and now_s - self._refreshed_s > REFRESH_S:
                self._refreshed_s = now_s
                self.refresh()
            return None
        for shard in ready:
            self._places[shard] = self._places.pop(shard)  # The others come first next time.
        there = [served[shard][1] - place.offset.seq for shard, place in ready.items()]
        each = min(place.taken_max for place in ready.values())
        each = min(each, _share(there, self.consumer.batch_max))
        rows = await self._reader.read({n: p.offset.seq for n, p in ready.items()}, each)
        found = {n: list(some) for n, some in groupby(rows, lambda row: row.shard)}
        await self._take(ready, found)
        more = len(ready) < len(waits) or any(len(some) == each for some in found.values())
        return PAUSE_S if more else GATHER_S

    async def _open(self, served: Mapping[int, tuple[int, int]]) -> None:
        """Forget shards that went or came back, and see where those that are new have to go on."""
        for shard, place in list(self._places.items()):
            if served.get(shard, (0, 0))[0] != place.tenure:
                del self._places[shard]
        from_end = self.consumer.start == "end"
        new = {n: end if from_end else 0 for n, (_, end) in served.items() if n not in self._places}
        if not new:
            return
        refreshes = self._refreshes
        opened = await self.offsets.open(new)
        known = {one.shard: one.seq - 1 for one in opened if one.epoch}
        last = {row.shard: (row.seq, row.epoch) for row in await self._reader.read(known, 1)}
        if refreshes != self._refreshes:
            return  # What was read may be older than what there was to read anew.
        for offset in opened:
            tenure, end = served[offset.shard]
            place = _Place(tenure, offset)
            at = (offset.seq, offset.epoch)
            if offset.seq > end or (offset.epoch and last.get(offset.shard) != at):
                words = f"event {offset.seq} of epoch {offset.epoch}, done before, is not there now"
                await self._stop(place, words)
            self._places[offset.shard] = place

    async def _take(self, places: Mapping[int, _Place], rows: Mapping[int, Sequence[Row]]) -> None:
        for shard, place in places.items():
            first = rows[shard][0].seq if shard in rows else 0
            wanted = place.offset.seq + 1
            if first != wanted:
                words = f"event {wanted} is not in the journal"
                if first:
                    words = f"events {wanted} to {first - 1} are archived: they have to be put back"
                await self._stop(place, words)
                return
        steps = {
            shard: Step(places[shard].offset.seq, some[-1].seq, some[-1].epoch)
            for shard, some in rows.items()
        }
        try:
            live = await self._call(steps, rows)
        except Exception as error:
            if passes(error):
                raise
            await self._failed(places, steps, error)
            return
        for shard, step in steps.items():
            if shard not in live:  # An operator, or another owner, was faster.
                self._places.pop(shard, None)
                continue
            place = places[shard]
            place.offset = replace(place.offset, seq=step.seq, epoch=step.epoch)
            place.failures = 0
            self.events += len(rows[shard])

    async def _call(
        self, steps: Mapping[int, Step], rows: Mapping[int, Sequence[Row]]
    ) -> Collection[int]:
        """Call the function in the transaction of these steps; returns the shards that took
        theirs."""
        events = await self._events([row for some in rows.values() for row in some])
        async with self.offsets.moving(steps) as (live, connection):
            theirs = [event for event in events if event.shard in live]
            limit = asyncio.timeout(self.consumer.limit_s)
            try:
                async with limit:
                    if theirs:
                        await self.consumer.handle(theirs, connection)
            except TimeoutError as error:
                if limit.expired():
                    raise HungError(f"no end within {self.consumer.limit_s} s") from error
                raise
        return live

    async def _events(self, rows: Sequence[Row]) -> list[Event]:
        events = []
        for number, row in enumerate(rows):
            if number % DECODED_TOGETHER == 0:
                await asyncio.sleep(0)
            if not self.consumer.kinds or row.address.kind in self.consumer.kinds:
                data = self._reader.decode(row)
                events.append(
                    Event(row.shard, row.seq, row.address, row.at_ms, row.type, data, row.command)
                )
        return events

    # -- trouble -------------------------------------------------------------------------------

    async def _failed(
        self, places: Mapping[int, _Place], steps: Mapping[int, Step], error: Exception
    ) -> None:
        """Find the event to blame, and stop its shard there."""
        self.failures += 1
        words = where(error)
        log.warning("consumer %s failed: %s", self.consumer.name, words)
        if len(steps) > 1:
            for shard, step in steps.items():
                places[shard].alone_seq = step.seq
            return
        [(shard, step)] = steps.items()
        place = places[shard]
        if step.seq > step.before + 1:
            place.single_seq = step.seq
            return
        place.failures += 1
        if place.failures < TRIES:
            place.not_before_s = self._clock.monotonic() + RETRY_S * 2**place.failures
        else:
            await self._stop(place, words, step.seq)

    async def _stop(self, place: _Place, words: str, poison_seq: int = 0) -> None:
        shard, words = place.offset.shard, words[:TROUBLE_WORDS_MAX]
        log.error("consumer %s stops in shard %d: %s", self.consumer.name, shard, words)
        if not place.offset.halted:
            await self.offsets.stop(shard, place.offset.seq, words, poison_seq)
            place.offset = replace(place.offset, trouble=words, poison_seq=poison_seq)


def passes(error: BaseException) -> bool:
    """Whether an error says nothing of an event: something is out of reach, or in the way."""
    return isinstance(error, (JournalError, *TROUBLE)) and not is_ours(error)


def _share(there: Sequence[int], room: int) -> int:
    """How many events of each shard fit into a call, where these are there of each: what those with
    few leave goes to those with many. A busy shard has thousands while all others have one."""
    share = 1
    for number, some in enumerate(sorted(there)):
        share = max(share, room // (len(there) - number))
        if some > share:
            break
        room -= some
    return share


def _together(places: Mapping[int, _Place]) -> dict[int, _Place]:
    """Those that are taken next in one call: the one that is first, if it is taken alone, or all
    that are not."""
    for shard, place in places.items():
        if place.alone:
            return {shard: place}
        break
    return {shard: place for shard, place in places.items() if not place.alone}
