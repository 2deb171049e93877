"""An instance's queues on virtual time, with the users who stand in them."""

from __future__ import annotations

import asyncio

import msgspec

from actors.core.context import Limits
from actors.journal.memory import MemoryStore
from booking.calls import TokenError
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Rejected
from booking.queue.domain.events import Admitted, Entered, Policy
from booking.queue.view import QueueStatus
from tests.support.instance import Instance, WallClock
from tests.support.journals import user_id

IDLE_MS = 60_000
SLOTS = Policy(max_active=10, admit_per_interval=0, active_ms=600_000)


class WaitingRoom(Instance):
    """One instance. ``policy`` are the rules of its settings."""

    def __init__(
        self,
        store: MemoryStore,
        policy: Policy = SLOTS,
        dates: Catalogue | None = None,
        name: str = "one",
        **limits: int,
    ) -> None:
        super().__init__(
            dates,
            store=store,
            clock=WallClock(runs=True),
            limits=Limits(**{"mailbox_max": 100_000, "mailboxes_max": 100_000, **limits}),
            instance=name,
            queue_max_active=policy.max_active,
            queue_admit_per_minute=policy.admit_per_interval,
            active_seconds=policy.active_ms // 1000,
            queue_idle_seconds=IDLE_MS // 1000,
        )
        self._stopped = False

    async def start(self) -> None:
        await super().start()
        # Alone it keeps all shards: what looks after them would only take time.
        await self.app.node._tasks.close()

    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await super().stop()

    def neglect(self, *, queues: bool = True) -> None:
        """The queues are not tended, as if another instance owned them; or they are again."""
        self.app.keeper._owns = lambda name: not queues

    @property
    def admissions(self) -> list[tuple[int, int]]:
        """When how many came in."""
        rows = [*self.events("Admitted"), *self.events("Entered")]
        kinds = msgspec.json.Decoder(Admitted | Entered)
        events = [kinds.decode(row.payload) for row in sorted(rows, key=lambda row: row.seq)]
        return [
            (event.at_ms, event.count if isinstance(event, Admitted) else 1) for event in events
        ]

    # -- users ------------------------------------------------------------------------------------

    async def join(self, number: int, queue: str = "main") -> QueueStatus:
        """A user of this number lines up."""
        outcome = await self.services.queue.issue(user_id(number), queue, None)
        assert isinstance(outcome.value, QueueStatus), outcome.value
        return outcome.value

    async def refused(self, number: int, queue: str = "main") -> Rejected:
        outcome = await self.services.queue.issue(user_id(number), queue, None)
        assert isinstance(outcome.value, Rejected)
        return outcome.value

    async def crowd(self, count: int, first: int = 1) -> list[QueueStatus]:
        """So many line up, one after the other, in one moment."""
        return list(await asyncio.gather(*(self.join(n) for n in range(first, first + count))))

    def poll(self, status: QueueStatus) -> QueueStatus | None:
        """Where the token stands now, asked by its holder; ``None`` when it has ended."""
        self.services.queue.mark_present(self.services.queue.read_token(status.token))
        return self.look(status)

    def look(self, status: QueueStatus) -> QueueStatus | None:
        """The same, looked up by the service itself."""
        token = self.services.queue.read_token(status.token)
        try:
            return self.services.queue.status(token, status.token)
        except TokenError:
            return None
