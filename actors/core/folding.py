"""What follows from a behaviour and the journal's rows: an entity's state, read in slices."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from actors.behaviour import Behaviour, Folded
from actors.journal.contract import Journal, Loaded, Row, SnapshotRow

SLICE_BYTES = 64 * 1024
"""Journal bytes folded or decoded before other work gets the event loop: some two milliseconds."""

EVENT_BYTES_MIN = 8 * 1024
"""What an event counts for at least: a few words may stand for much."""

CATCH_UP_ROUNDS = 5
"""Looks for what came while an entity was read ahead: each takes a tenth of the one before."""

CAUGHT_UP_ROWS = 100
"""Later events of an entity read ahead that are left for its next owner: a millisecond."""


class Slices:
    """Counts work, and lets others have the event loop after each slice of it."""

    def __init__(self, size: int = SLICE_BYTES) -> None:
        self._size = size
        self._done = 0

    async def worked(self, size: int) -> None:
        """So many bytes have been worked off."""
        self._done += size
        if self._done >= self._size:
            self._done = 0
            await asyncio.sleep(0)


async def done_ahead(work: Iterator[None] | None) -> None:
    """Do this, and let others have the event loop after each piece."""
    for _ in work or ():
        await asyncio.sleep(0)


Told = Callable[[Folded, Row, Any], None]
"""Called after each event that was taken in, with its row."""


class Folding:
    """Makes entities of what one database of the journal has of them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.slices = Slices()

    async def fold(
        self,
        behaviour: Behaviour,
        loaded: Loaded,
        base: Folded | None = None,
        told: Told | None = None,
    ) -> Folded:
        """The entity, from ``base`` if that was read before and ``loaded`` are the events after it.
        What ``loaded`` leaves out is read. Raises :class:`JournalError`, and whatever a behaviour
        raises."""
        if base is None:
            base, loaded = await self._begin(behaviour, loaded)
        while True:
            for row in loaded.rows:
                event = base.decode(row)
                await done_ahead(behaviour.groundwork(event))
                base.add(row, event)
                if told is not None:
                    told(base, row, event)
                await self.slices.worked(max(len(row.payload), EVENT_BYTES_MIN))
            if not loaded.more:
                return base
            [loaded] = await self._journal.later([(loaded.address, base.seq)])

    async def _begin(self, behaviour: Behaviour, loaded: Loaded) -> tuple[Folded, Loaded]:
        """The entity before the events; also which these are, because the snapshot may be of a
        shape that is no longer read, or be replaced while its pages are read."""
        address = loaded.address
        while (snapshot := loaded.snapshot) is not None:
            state, count = await self._stored(behaviour, snapshot)
            if state is None:
                [loaded] = await self._journal.load([address], whole=True)
            elif count == snapshot.pages:
                await done_ahead(behaviour.groundwork(state))
                return Folded(behaviour, state, snapshot), loaded
            else:
                [loaded] = await self._journal.load([address])
        state = behaviour.initial(address)
        assert state is not None, f"a {behaviour.kind} without events has to have a state"
        return Folded(behaviour, state), loaded

    async def _stored(self, behaviour: Behaviour, snapshot: SnapshotRow) -> tuple[Any | None, int]:
        """The state in a snapshot, or ``None``, and how many pages were found."""
        state, count, last = behaviour.decode_state(snapshot.state), 0, -1
        while state is not None and count < snapshot.pages:
            rows = await self._journal.pages(snapshot, last)
            if not rows:
                break
            for row in rows:
                count, last = count + 1, row.number
                state = behaviour.with_page(state, row.number, row.data)
                if state is None:
                    break
                await self.slices.worked(len(row.data))
        return state, count

    async def read_ahead(self, behaviour: Behaviour, loaded: Loaded) -> Folded:
        """The entity while somebody else decides for it, as new as can be."""
        folded = await self.fold(behaviour, loaded)
        for _ in range(CATCH_UP_ROUNDS):
            [loaded] = await self._journal.later([(loaded.address, folded.seq)])
            await self.fold(behaviour, loaded, folded)
            if len(loaded.rows) <= CAUGHT_UP_ROWS:
                break
        return folded


DROP_AGAIN_S = 0.002
"""Between two pieces of what is let go of: a tenth of the time of a loop that has other work."""


_END = object()


class Leftovers:
    """Large states on their way out of memory, a piece now and then."""

    def __init__(self) -> None:
        self._work: deque[Iterator[Any]] = deque()

    def add(self, pieces: Iterable[Any]) -> None:
        """Let go of these parts of a state that nobody else refers to from now on."""
        if left := deque(pieces):
            self.let_go(left.popleft() for _ in range(len(left)))

    def let_go(self, work: Iterator[Any]) -> None:
        """Let go of more with each step of this."""
        self._work.append(work)
        if len(self._work) == 1:
            asyncio.get_running_loop().call_soon(self._drop)

    def _drop(self) -> None:
        if next(self._work[0], _END) is _END:
            self._work.popleft()
        if self._work:
            asyncio.get_running_loop().call_later(DROP_AGAIN_S, self._drop)
