"""The queues of an instance as the service runs them, on virtual time and a journal in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey
from actors.core.limits import Limits
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.runtime import Runtime
from actors.subscription import Change
from actors.transport import Answer
from booking.accounts.entity import AccountBehaviour
from booking.accounts.service import AccountService
from booking.addresses import queue_address
from booking.calls import ActorClient
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Rejected
from booking.instance.views import Projections
from booking.queue.domain.queue import Admitted, Entered, Policy
from booking.queue.entity import QueueBehaviour
from booking.queue.keeper import QueueKeeper
from booking.queue.service import QueueService
from booking.queue.tokens import QueueToken, TokenError, TokenSigner
from booking.queue.view import QueueStatus, QueueView, QueueViews
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.seats.service import SeatService
from booking.seats.view import SeatMaps
from tests.support.instance import catalogue, schedule
from tests.support.journals import user_id
from tests.support.virtual_time import VirtualClock

IDLE_MS = 60_000
SLOTS = Policy(max_active=10, admit_per_interval=0, active_ms=600_000)


class Observer(Projections):
    """Also notes when how many came in."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.admissions: list[tuple[int, int]] = []

    def committed(self, change: Change) -> None:
        super().committed(change)
        for event in change.events:
            if isinstance(event, Admitted):
                self.admissions.append((event.at_ms, event.count))
            elif isinstance(event, Entered):
                self.admissions.append((event.at_ms, 1))


class Here:
    """Everything is asked of the one runtime; what is lost stays lost."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.begin, self.abandon = runtime.begin, runtime.abandon

    def ask(
        self,
        address: Address,
        command: Any,
        *,
        key: CommandKey | None = None,
        repeatable: bool = False,
    ) -> Awaitable[Answer]:
        return self._runtime.ask(address, command, key=key)


class Alone:
    """There is no other instance that could know more."""

    def check(self, address: Address) -> None:
        pass

    def check_here(self) -> None:
        pass

    def newest(self, address: Address) -> bool:
        return True


class WaitingRoom:
    """One instance: runtime, views, service and keeper."""

    def __init__(
        self,
        store: MemoryStore,
        policy: Policy = SLOTS,
        dates: Catalogue | None = None,
        name: str = "one-1",
        **limits: int,
    ) -> None:
        self.clock = VirtualClock()
        self.policy = policy
        self.catalogue = dates or catalogue(schedule("d1"))
        self.queues = QueueViews(self._view)
        self.queues.use(self.catalogue)
        self.seats = SeatMaps(self.catalogue, first_version=1)
        self.lost: list[int] = []
        self.observer = Observer(self.seats, self.queues, None, self.lost.append)
        self.journal = MemoryJournal(store)
        rules = HoldRules(hold_ms=300_000, max_holds=4, rest_ms=30_000)
        self.runtime = Runtime(
            instance=name.split("-")[0],
            incarnation=name,
            behaviours=[
                AccountBehaviour(),
                SeatBehaviour(lambda: self.seats.catalogue, rules),
                LedgerBehaviour(rules),
                QueueBehaviour(lambda: self.policy),
            ],
            journal=self.journal,
            clock=self.clock,
            limits=Limits(**{"mailbox_max": 100_000, "mailboxes_max": 100_000, **limits}),
            subscriptions=[self.observer],
        )
        client = ActorClient(Here(self.runtime))
        signer = TokenSigner(["a secret of thirty-two characters"])
        self.service = QueueService(client, self.queues, signer, Alone(), self.clock)
        self.seat_service = SeatService(client, self.seats, Alone())
        self.account_service = AccountService(client, self.seats, self.journal, lambda row: row)
        self.owned = True
        self.seeds: list[str] = []
        self.keeper = QueueKeeper(
            ask=self.runtime.ask,
            queues=self.queues,
            owns=lambda _: self.owned,
            clock=self.clock,
            idle_ms=IDLE_MS,
            draw_seed=self._draw_seed,
        )
        self._kept: asyncio.Task[None] | None = None

    def _view(self, name: str) -> QueueView:
        return QueueView(
            name, self.policy, now_ms=self.clock.now_ms, idle_ms=IDLE_MS, draw=lambda: 0.5
        )

    def _draw_seed(self) -> str:
        self.seeds.append(f"seed {len(self.seeds)}")
        return self.seeds[-1]

    async def start(self) -> None:
        await self.runtime.start()
        await self.runtime.load_state([queue_address(name) for name in self.queues])
        self._kept = asyncio.create_task(self.keeper.run())

    async def stop(self) -> None:
        if self._kept is not None:
            self._kept.cancel()
            await asyncio.gather(self._kept, return_exceptions=True)
            self._kept = None
            await self.runtime.stop(timeout_s=5.0)

    # -- users ------------------------------------------------------------------------------------

    @property
    def main(self) -> QueueView:
        return self.queues["main"]

    async def join(self, number: int, queue: str = "main") -> QueueStatus:
        """A user of this number lines up."""
        outcome = await self.service.issue(user_id(number), queue, None)
        assert isinstance(outcome.value, QueueStatus), outcome.value
        return outcome.value

    async def refused(self, number: int, queue: str = "main") -> Rejected:
        outcome = await self.service.issue(user_id(number), queue, None)
        assert isinstance(outcome.value, Rejected)
        return outcome.value

    async def crowd(self, count: int, first: int = 1) -> list[QueueStatus]:
        """So many line up, one after the other, in one moment."""
        return list(await asyncio.gather(*(self.join(n) for n in range(first, first + count))))

    def poll(self, standing: QueueStatus, queue: str = "main") -> QueueStatus | None:
        """Where the token stands now, asked by its holder; ``None`` when it has ended."""
        self.service.mark_present(QueueToken(standing.user, queue, standing.number, 0))
        return self.look(standing, queue)

    def look(self, standing: QueueStatus, queue: str = "main") -> QueueStatus | None:
        """The same, looked up by the service itself."""
        token = QueueToken(standing.user, queue, standing.number, 0)
        try:
            return self.service.status(token, standing.token)
        except TokenError:
            return None
