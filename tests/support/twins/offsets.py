"""The in-memory twin of the stored offsets, without a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from actors.consumers.contract import Offset, Skip, Step


class MemoryOffsets:
    """Of one consumer; several instances may share it. ``connection`` is what handlers are given
    as theirs."""

    def __init__(self, connection: Any = None) -> None:
        self.offsets: dict[int, Offset] = {}
        self._connection = connection
        self._turn = asyncio.Lock()

    async def open(self, begin: Mapping[int, int]) -> list[Offset]:
        """As the contract says."""
        paused = any(offset.paused for offset in self.offsets.values())
        for shard, seq in begin.items():
            self.offsets.setdefault(shard, Offset(shard, seq, paused=paused))
        return [self.offsets[shard] for shard in begin]

    @asynccontextmanager
    async def moving(self, steps: Mapping[int, Step]) -> AsyncIterator[tuple[Collection[int], Any]]:
        """As the contract says."""
        async with self._turn:
            live = {n for n, step in steps.items() if self._movable(n, step)}
            yield live, self._connection
            for shard in live:
                seq, epoch = steps[shard].seq, steps[shard].epoch
                self.offsets[shard] = replace(self.offsets[shard], seq=seq, epoch=epoch)

    def _movable(self, shard: int, step: Step) -> bool:
        offset = self.offsets[shard]
        return offset.seq == step.before and not offset.halted

    async def stop(self, shard: int, seq: int, trouble: str, poison_seq: int = 0) -> None:
        """As the contract says."""
        async with self._turn:
            if (offset := self.offsets[shard]).seq == seq:
                self.offsets[shard] = replace(offset, trouble=trouble, poison_seq=poison_seq)

    async def all(self) -> list[Offset]:
        """As the contract says."""
        return [self.offsets[shard] for shard in sorted(self.offsets)]

    async def pause(self, paused: bool) -> None:
        """As the contract says."""
        well = {} if paused else {"trouble": "", "poison_seq": 0}
        async with self._turn:
            for shard, offset in self.offsets.items():
                self.offsets[shard] = replace(offset, paused=paused, **well)

    async def skip(self, shard: int, reason: str, who: str) -> Offset | None:
        """As the contract says."""
        offset = self.offsets.get(shard)
        if offset is None or not offset.poison_seq:
            return None
        skip = Skip(offset.poison_seq, offset.trouble, reason, who)
        self.offsets[shard] = Offset(
            shard, skip.seq, paused=offset.paused, skipped=[*offset.skipped, skip]
        )
        return self.offsets[shard]

    async def rewind(self, seq: int, shards: Collection[int]) -> list[Offset]:
        """As the contract says."""
        async with self._turn:
            back = [one for one in await self.all() if one.shard in shards and one.seq >= seq]
            for offset in back:
                self.offsets[offset.shard] = replace(
                    offset, seq=seq, epoch=0, trouble="", poison_seq=0
                )
        return [self.offsets[offset.shard] for offset in back]

    async def close(self) -> None:
        """Do nothing: there is no connection."""
