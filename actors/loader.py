"""The loader: reads entities and stored outcomes from the journal, many with one query.

At most ``loaders`` queries run at a time, of ``loads_max`` entities each; that is the recovery
budget. Callers come first: marked entities of freshly claimed shards are recovered when no caller
waits, one query at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from actors.address import Address
from actors.behaviour import Behaviour
from actors.cell import Cell
from actors.envelope import Envelope
from actors.fold import Folded, fold, fold_on
from actors.journal import Journal, JournalError, Loaded
from actors.limits import Limits
from actors.supervision import where

if TYPE_CHECKING:
    from actors.shard import Shard

log = logging.getLogger(__name__)

FOLD_BYTES_MAX = 128 * 1024
"""Journal bytes folded before other work gets the event loop: about a millisecond."""


class Loader:
    """Bounded by the cells in memory, the mailboxes and ``recovery_queue_max``."""

    def __init__(
        self, journal: Journal, limits: Limits, away: Callable[[JournalError], None]
    ) -> None:
        self._journal = journal
        self._limits = limits
        self._away = away
        self._cells: deque[Cell] = deque()
        self._look_ups: deque[tuple[Cell, Envelope]] = deque()
        self._recovery: deque[tuple[Shard, Address]] = deque()
        self._recovering = False
        self._paused = False
        self._idle: list[asyncio.Future[None]] = []

    def load(self, cell: Cell) -> None:
        """Have the cell filled; ``cell.shard`` hears of it."""
        self._cells.append(cell)
        self._rouse()

    def look_up(self, cell: Cell, envelope: Envelope) -> None:
        """Have the envelope's key looked up; ``cell.shard`` hears of it."""
        self._look_ups.append((cell, envelope))
        self._rouse()

    def recover(self, shard: Shard, addresses: Collection[Address]) -> None:
        """Load these entities when there is nothing more urgent."""
        room = self._limits.recovery_queue_max - len(self._recovery)
        assert len(addresses) <= room, "more marked entities than can be recovered"
        self._recovery.extend((shard, address) for address in addresses)
        self._rouse()

    def pause(self) -> None:
        """Ask nothing of the journal until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._rouse(everybody=True)

    def _rouse(self, *, everybody: bool = False) -> None:
        for idle in self._idle if everybody else self._idle[:1]:
            idle.set_result(None)
        self._idle = [] if everybody else self._idle[1:]

    async def run(self) -> None:
        """Serve for ever; run as many of these as there may be queries at a time."""
        while True:
            if self._paused or not (self._look_ups or self._cells or self._recoverable):
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
            elif self._look_ups:
                await self._ask_outcomes()
            elif self._cells:
                await self._load_cells()
            else:
                await self._recover_some()

    @property
    def _recoverable(self) -> bool:
        return bool(self._recovery) and not self._recovering

    async def _ask_outcomes(self) -> None:
        asked = [
            self._look_ups.popleft()
            for _ in range(min(len(self._look_ups), self._limits.loads_max))
        ]
        wanted = [(cell, e) for cell, e in asked if not (cell.shard.closed or e.over)]
        keys = [(cell.shard.number, e.key.id) for cell, e in wanted if e.key is not None]
        try:
            rows = await self._journal.outcomes(keys) if keys else {}
        except JournalError as error:
            self._look_ups.extendleft(reversed(asked))
            self._away(error)
            return
        for cell, envelope in asked:
            assert envelope.key is not None
            cell.shard.checked(cell, envelope, rows.get(envelope.key.id))

    async def _load_cells(self) -> None:
        cells: list[Cell] = []
        while self._cells and len(cells) < self._limits.loads_max:
            cell = self._cells.popleft()
            if cell.shard.wanted(cell):
                cells.append(cell)
        if cells:
            await self._fill(cells)

    async def _recover_some(self) -> None:
        cells: list[Cell] = []
        while self._recovery and len(cells) < self._limits.loads_max:
            shard, address = self._recovery.popleft()
            if shard.closed:
                continue
            cell = shard.open(address)
            if not (cell.loaded or cell.loading or cell.crashed):
                cell.loading = True
                cells.append(cell)
        self._recovering = True
        try:
            if cells:
                await self._fill(cells)
        finally:
            self._recovering = False

    async def _fill(self, cells: Sequence[Cell], *, whole: bool = False) -> None:
        """Load these cells; those whose snapshot is not readable any more in a second query."""
        try:
            if not whole:
                cells = await self._fill_warm(cells)
            found = await self._journal.load([cell.address for cell in cells], whole=whole)
        except JournalError as error:
            self._cells.extendleft(reversed(cells))
            self._away(error)
            return
        outdated: list[Cell] = []
        size = 0
        for cell, loaded in zip(cells, found, strict=True):
            if cell.gone:
                continue
            if not self._hand_over(cell, loaded):
                outdated.append(cell)
            size += sum([len(row.payload) for row in loaded.rows])
            if size > FOLD_BYTES_MAX:
                size = 0
                await asyncio.sleep(0)
        if outdated:
            await self._fill(outdated, whole=True)

    async def _fill_warm(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """Load those that were read before the shard came; returns the others."""
        warm = [(cell, cell.shard.warm.get(cell.address)) for cell in cells]
        known = [(cell, base) for cell, base in warm if base is not None]
        if not known:
            return cells
        found = await self._journal.later([(cell.address, base.seq) for cell, base in known])
        for (cell, base), loaded in zip(known, found, strict=True):
            cell.shard.warm.pop(cell.address, None)
            if cell.gone:
                continue
            try:
                folded = fold_on(cell.behaviour, base, loaded)
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                cell.shard.crashes.in_load(cell, error)
            else:
                cell.shard.loaded(cell, folded)
        return [cell for cell, base in warm if base is None]

    async def preload(
        self, addresses: Sequence[Address], behaviours: Mapping[str, Behaviour]
    ) -> dict[Address, Folded]:
        """Read entities of a shard that is somebody else's yet. Those that cannot be folded now are
        left out: their owner-to-be meets the same trouble and deals with it."""
        warm: dict[Address, Folded] = {}
        for loaded in await self._journal.load(addresses):
            try:
                folded = fold(behaviours[loaded.address.kind], loaded)
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                log.warning("%s cannot be read ahead: %s", loaded.address.text, where(error))
                continue
            if folded is not None:
                warm[loaded.address] = folded
        return warm

    @staticmethod
    def _hand_over(cell: Cell, loaded: Loaded) -> bool:
        """Give the shard its entity; false if the whole journal of the entity is needed."""
        try:
            folded = fold(cell.behaviour, loaded)
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            cell.shard.crashes.in_load(cell, error)
            return True
        if folded is not None:
            cell.shard.loaded(cell, folded)
        return folded is not None
