"""Where the journal ends, for consumers outside of the instances that own its shards.

They follow every shard. That two processes do so at once is safe: the step of a batch is taken
under the lock of the offset's row, so the second one waits, and then finds that it was taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from attrs import define, field

from actors.address import SLOT_COUNT
from actors.consumers.runner import ConsumerRunner
from actors.journal.contract import Journal, JournalError

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.1
"""Nobody tells such a process of commits; a look is one step down an index for each shard."""
AWAY_S = 1.0
_TENURE = 1


@define(eq=False)
class JournalTail:
    """Looks where the journal ends, and wakes ``runners`` when it has grown."""

    _journal: Journal
    runners: Sequence[ConsumerRunner] = field(default=(), init=False)
    _served: Mapping[int, tuple[int, int]] = field(factory=dict, init=False)

    def served(self) -> Mapping[int, tuple[int, int]]:
        """Every shard with its last seq."""
        return self._served

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                ends = await self._journal.ends(range(SLOT_COUNT))
            except JournalError as error:
                log.warning("the journal cannot be read: %s", error)
                await asyncio.sleep(AWAY_S)
                continue
            self._take({shard: (_TENURE, seq) for shard, seq in ends.items()})
            await asyncio.sleep(LOOK_EVERY_S)

    def _take(self, served: Mapping[int, tuple[int, int]]) -> None:
        before, self._served = self._served, served
        if served == before:
            return
        lost = [n for n, end in served.items() if end < before.get(n, end)]
        for runner in self.runners:
            if lost:
                runner.refresh(lost)  # What was done may not be there any more.
            runner.wake.set()
