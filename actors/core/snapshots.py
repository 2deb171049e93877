"""Snapshots of entities at rest, and of large states page by page while the entities move on.

A large state is immutable, so what was begun is finished as it was then. Only the pages that have
changed since the last snapshot are written, each under the seq of the new one, and what has been
there before stays as long as somebody may be reading it. The last thing written is the head;
without it everything before is as if it had not been.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from actors.behaviour import Behaviour
from actors.core.context import ShardContext
from actors.core.envelope import Envelope
from actors.core.shard import Activation, Commit, Shard, SnapshotPages
from actors.core.supervision import where
from actors.errors import NotOwnedError, UnavailableError
from actors.journal.contract import PageRow, SnapshotRow
from actors.transport import Answer

log = logging.getLogger(__name__)


class Snapshots:
    """Writes the snapshots of one instance's entities at rest, and of its large states one after
    the other."""

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        self._wanted: asyncio.Queue[Activation] = asyncio.Queue()
        """Bounded by the activations: each is in it at most once."""

    def want(self, activation: Activation) -> None:
        """Have a snapshot written of the entity as it will be when its turn comes."""
        paging = activation.paging
        assert paging is not None, "a state without pages has its snapshots with its decisions"
        if not paging.writing:
            paging.writing = True
            self._wanted.put_nowait(activation)

    def save_resting(self, shard: Shard, entities_max: int) -> int:
        """Write snapshots of entities that came to rest; returns how many were looked at."""
        looked = list(islice(shard.resting, entities_max))
        rested = [shard.resting.pop(address) for address in looked]
        self.save(shard, [one for one in rested if one.address not in shard.changed])
        if not shard.resting:
            shard.resting, shard.changed = shard.changed, {}
        return len(looked)

    def save(self, shard: Shard, activations: Iterable[Activation]) -> None:
        """Write snapshots of those of these entities that have events behind their last one."""
        rows = []
        for activation in () if shard.closed or shard.journal.halted else activations:
            if activation.gone or not (activation.loaded and activation.event_bytes):
                continue
            if activation.paging is not None:
                self.want(activation)
                continue
            try:
                state = activation.behaviour.encode_state(activation.state)
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                text = "%s cannot be stored: %s"
                log.error(text, activation.address.text, where(error), extra=shard.place)
                continue
            tenure = shard.number, shard.epoch
            rows.append(SnapshotRow(*tenure, activation.address, shard.seq, state))
            activation.event_bytes, activation.snapshot_bytes = 0, len(state)
        if rows:
            shard.submit(Commit(shard, snapshots=rows))

    async def run(self) -> None:
        """Write what is wanted until cancelled."""
        while True:
            activation = await self._wanted.get()
            paging = activation.paging
            assert paging is not None
            if activation.loaded and not activation.gone:
                await self._write(activation, paging)
            paging.writing = False

    async def _write(self, activation: Activation, paging: SnapshotPages) -> None:
        events = activation.event_bytes
        activation.event_bytes = 0
        try:
            await self._write_all(activation, paging)
        except UnavailableError:
            # The shard has been left, or is about to be.
            activation.event_bytes += events
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            text = "no snapshot of %s can be made: %s"
            log.error(text, activation.address.text, where(error))

    async def _write_all(self, activation: Activation, paging: SnapshotPages) -> None:
        shard, behaviour, address = activation.shard, activation.behaviour, activation.address
        seq, epoch = shard.seq, shard.epoch
        pages = behaviour.pages(activation.state)
        head = behaviour.encode_state(activation.state)
        size, rows, row_bytes = len(head), list[PageRow](), 0
        for number, data in _changed(behaviour, paging.pages, pages):
            rows.append(PageRow(shard.number, epoch, address, number, seq, data))
            row_bytes += len(data)
            if row_bytes >= self._context.limits.snapshot_commit_bytes:
                await self._commit(Commit(shard, pages=rows))
                size, rows, row_bytes = size + row_bytes, [], 0
        if rows:
            await self._commit(Commit(shard, pages=rows))
        snapshot = SnapshotRow(shard.number, epoch, address, seq, head, len(pages))
        await self._commit(Commit(shard, snapshots=[snapshot]))
        activation.snapshot_bytes = size + row_bytes
        paging.pages = pages
        await self._forget(activation, paging, seq)

    async def _commit(self, commit: Commit) -> None:
        """Write this; raises what refuses it. The shard's callers come first when it is to go."""
        shard = commit.shard
        if shard.closed or shard.frozen:
            raise NotOwnedError
        future: asyncio.Future[Answer] = self._context.loop.create_future()
        commit.answers = [(Envelope(None, None, future), Answer(None))]
        shard.submit(commit)
        await future

    async def _forget(self, activation: Activation, paging: SnapshotPages, seq: int) -> None:
        """Delete what only snapshots of some time ago had."""
        now, kept_s, heads = (
            self._context.clock.monotonic(),
            self._context.limits.pages_kept_s,
            paging.heads,
        )
        if not heads or now - heads[-1][0] >= kept_s / 2:
            heads.append((now, seq))
        if now - heads[0][0] >= kept_s:
            _, old_seq = heads.popleft()
            await activation.shard.journal.drop_pages(activation.address, old_seq)


def _changed(
    behaviour: Behaviour, before: Mapping[int, Any], pages: Mapping[int, Any]
) -> Iterator[tuple[int, bytes]]:
    """The pages that are others than before, and those that are gone, encoded when asked for."""
    for number in [number for number, page in pages.items() if before.get(number) is not page]:
        yield number, behaviour.encode_page(pages[number])
    for number in before.keys() - pages.keys():
        yield number, b""
