"""The loader: reads entities and stored outcomes from the journal, many with one query.

At most ``loaders`` queries run at a time, of ``loads_max`` entities each; that is the recovery
budget; one more reads on where an entity is too large for one answer. Callers come first: marked
entities of freshly claimed shards are recovered when no caller waits, one query at a time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import repeat

from actors.address import Address
from actors.behaviour import Behaviour, Folded
from actors.core.context import Limits
from actors.core.entities import Entities
from actors.core.envelope import Envelope
from actors.core.folding import Folding
from actors.core.shard import Activation, Shard
from actors.core.supervision import where
from actors.journal.contract import Journal, JournalError, Loaded

log = logging.getLogger(__name__)


class Loader:
    """What shards see of one database of the journal (:class:`actors.core.shard.JournalView`).
    ``went_away`` is called when it does not answer.

    Bounded by the activations in memory, the mailboxes and ``recovery_queue_max``.
    """

    def __init__(
        self,
        journal: Journal,
        limits: Limits,
        entities: Entities,
        went_away: Callable[[JournalError], None],
    ) -> None:
        self._journal = journal
        self._limits = limits
        self._entities = entities
        self._went_away = went_away
        self.halted = False
        """Nothing of its shards may be decided now."""
        self._activations: deque[Activation] = deque()
        self._look_ups: deque[tuple[Activation, Envelope]] = deque()
        self._recovery: deque[tuple[Shard, Address]] = deque()
        self._large: asyncio.Queue[tuple[Activation, Loaded, Folded | None]] = asyncio.Queue()
        """Of which the first answer was not all."""
        self._folding = Folding(journal)
        self._recovering = False
        self.away = False
        """The database is out of reach, and nothing is asked of it."""
        self._idle: list[asyncio.Future[None]] = []

    def load(self, activation: Activation) -> None:
        """Queue the activation for loading; the result goes to :class:`Entities`."""
        self._activations.append(activation)
        self._rouse()

    def look_up(self, activation: Activation, envelope: Envelope) -> None:
        """Queue a look-up of the envelope's key; the result goes to :class:`Entities`."""
        self._look_ups.append((activation, envelope))
        self._rouse()

    def recover(self, shard: Shard, addresses: Collection[Address]) -> None:
        """Queue entities that are loaded when no caller waits."""
        room = self._limits.recovery_queue_max - len(self._recovery)
        assert len(addresses) <= room, "more marked entities than can be recovered"
        self._recovery.extend(zip(repeat(shard), addresses, strict=False))
        self._rouse()

    def pause(self) -> None:
        """Ask nothing of the journal until :meth:`resume`."""
        self.away = True

    def resume(self) -> None:
        """Ask the journal again."""
        self.away = False
        self._rouse(everybody=True)

    def _rouse(self, *, everybody: bool = False) -> None:
        for idle in self._idle if everybody else self._idle[:1]:
            idle.set_result(None)
        self._idle = [] if everybody else self._idle[1:]

    async def run(self) -> None:
        """Query the journal until cancelled. Run one of these for each query that may be under way
        at a time."""
        while True:
            if self.away or not (self._look_ups or self._activations or self._recoverable):
                idle = asyncio.get_running_loop().create_future()
                self._idle.append(idle)
                await idle
            elif self._look_ups:
                await self._ask_outcomes()
            elif self._activations:
                await self._load_activations()
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
        keys = [
            (activation.shard.number, envelope.key.id)
            for activation, envelope in asked
            if envelope.key is not None and not (activation.shard.closed or envelope.over)
        ]
        try:
            rows = await self._journal.outcomes(keys) if keys else {}
        except JournalError as error:
            self._look_ups.extendleft(reversed(asked))
            self._went_away(error)
            return
        for activation, envelope in asked:
            assert envelope.key is not None
            self._entities.checked(activation, envelope, rows.get(envelope.key.id))

    async def _load_activations(self) -> None:
        activations: list[Activation] = []
        while self._activations and len(activations) < self._limits.loads_max:
            activation = self._activations.popleft()
            if self._entities.still_wanted(activation):
                activations.append(activation)
        if activations:
            await self._fill(activations)

    async def _recover_some(self) -> None:
        activations: list[Activation] = []
        while self._recovery and len(activations) < self._limits.loads_max:
            shard, address = self._recovery.popleft()
            if shard.closed:
                continue
            activation = self._entities.open(shard, address)
            if not (activation.loaded or activation.loading or activation.crashed):
                activation.loading = True
                activations.append(activation)
        self._recovering = True
        try:
            if activations:
                await self._fill(activations)
        finally:
            self._recovering = False

    async def _fill(self, activations: Sequence[Activation]) -> None:
        """Load these activations: first those that were read before the shard came."""
        warm = [(one, one.shard.warm.get(one.address)) for one in activations]
        known = [(one, base) for one, base in warm if base is not None]
        cold = [one for one, base in warm if base is None]
        read: list[tuple[Activation, Loaded, Folded | None]] = []
        try:
            if known:
                later = await self._journal.later([(one.address, base.seq) for one, base in known])
                read += [
                    (one, loaded, base) for (one, base), loaded in zip(known, later, strict=True)
                ]
            if cold:
                found = await self._journal.load([one.address for one in cold])
                read += [(one, loaded, None) for one, loaded in zip(cold, found, strict=True)]
            while read:
                activation, loaded, base = read[0]
                if loaded.more or (loaded.snapshot is not None and loaded.snapshot.pages):
                    self._large.put_nowait((activation, loaded, base))
                else:
                    await self._hand_over(activation, loaded, base)
                read.pop(0)
        except JournalError as error:
            self._failed([one for one, _, _ in read] or activations, error)

    def _failed(self, activations: Sequence[Activation], error: JournalError) -> None:
        """Try these again once the journal is back."""
        self._activations.extendleft(reversed(activations))
        self._went_away(error)

    async def run_large(self) -> None:
        """Load the entities that take long, one after the other, until cancelled; the others do not
        wait for them."""
        while True:
            activation, loaded, base = await self._large.get()
            try:
                await self._hand_over(activation, loaded, base)
            except JournalError as error:
                self._failed([activation], error)

    async def preload(
        self, addresses: Sequence[Address], behaviours: Mapping[str, Behaviour]
    ) -> dict[Address, Folded]:
        """Read entities of a shard that another instance still owns. Those that cannot be folded
        are left out: loading them after the claim deals with it."""
        warm: dict[Address, Folded] = {}
        for loaded in await self._journal.load(addresses):
            address = loaded.address
            try:
                warm[address] = await self._folding.read_ahead(behaviours[address.kind], loaded)
            except JournalError:
                raise
            except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
                log.warning("%s cannot be read ahead: %s", address.text, where(error))
        return warm

    async def _hand_over(
        self, activation: Activation, loaded: Loaded, base: Folded | None = None
    ) -> None:
        """Give the shard its entity. Raises :class:`JournalError`."""
        if activation.gone:
            return
        try:
            folded = await self._folding.fold(activation.behaviour, loaded, base)
        except JournalError:
            raise
        except Exception as error:  # noqa: BLE001 - a broken invariant of the behaviour
            if not activation.gone:
                self._entities.crashed_in_load(activation, error)
            return
        activation.shard.warm.pop(activation.address, None)
        if not activation.gone:
            self._entities.loaded(activation, folded)

    async def drop_pages(self, address: Address, seq: int) -> None:
        """Have what no snapshot from this seq on needs deleted, if the journal is there."""
        try:
            await self._journal.drop_pages(address, seq)
        except JournalError as error:
            self._went_away(error)
