"""A toy bank under faults, on virtual time: one seed is one repeatable story.

Clients pay in and send money, with and without keys, and repeat what they got no answer for.
Meanwhile instances are killed, stopped and started, take each other's shards, and the journal goes
away, hangs, loses answers or writes late. In the end everything heals, and the invariants must
hold for every row of the journal and everything that was ever acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from random import Random
from typing import Any

from actors.address import Address
from actors.behaviour import CommandKey
from actors.core.context import Limits
from actors.errors import (
    DeadlineExceededError,
    KeyInFlightError,
    NotOwnedError,
    OutcomeUnknownError,
    UnavailableError,
)
from actors.journal.memory import MemoryStore
from actors.transport import Answer
from tests.support.runtimes import Instance, key
from tests.support.toys import Bank, Money

ACCOUNTS = [Address("bank", f"user-{number}") for number in range(6)]
CLOSED = Address("bank", "closed-1")
EVERYBODY = [*ACCOUNTS, CLOSED]
SHARDS = frozenset(address.slot for address in EVERYBODY)
CLIENTS = 4
COMMANDS_EACH = 12
FAULTS = 10
STORY_S = 20.0
ASK_TIMEOUT_S = 2.0
LATE_S = 0.06
"""A deadline is kept within one tick of the deadlines' wheel."""
INSTANCES_MAX = 3
HEAL_S = 60
"""Within which the last instance has to find and finish every saga, from timer entries alone."""


class Bookkeeper:
    """What clients were told."""

    def __init__(self) -> None:
        self.paid_in: set[str] = set()
        self.not_done: set[str] = set()
        """Payments in that were refused with the promise that nothing was done."""
        self.sent: dict[str, str] = {}
        """Transfers by how they were answered."""
        self.replies: defaultdict[bytes, list[Any]] = defaultdict(list)
        """All replies ever given for a key."""
        self.asks = 0


class Simulation:
    """One story."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = MemoryStore()
        self.book = Bookkeeper()
        self.instances: list[Instance] = []
        self.all_instances: list[Instance] = []
        self.started = 0
        self.numbers = 0

    async def run(self) -> None:
        await self.start_instance()
        clients = [asyncio.ensure_future(self.client()) for _ in range(CLIENTS)]
        faults = asyncio.ensure_future(self.trouble())
        await asyncio.gather(faults, *clients)
        last = await self.heal()
        await self.check(last)
        await last.runtime.stop(timeout_s=10.0)

    # -- instances and faults --------------------------------------------------------------------

    async def start_instance(self) -> Instance:
        """A new one takes over a part of the shards, or all of them."""
        self.started += 1
        instance = Instance(
            self.store,
            f"i{self.started}-{self.started}",
            Limits(
                ask_timeout_s=ASK_TIMEOUT_S,
                entities_max=self.random.choice([3, 100]),
                snapshot_bytes_min=self.random.choice([100, 10_000]),
                outcomes_max=self.random.choice([2, 256]),
                batch_rows_max=self.random.choice([2, 1_000]),
            ),
            ask_anywhere=self.ask_anywhere,
            lanes=self.random.choice([1, 2]),
        )
        instance.journal.latency_s = self.random.choice([0.0, 0.003, 0.05])
        part = [shard for shard in SHARDS if not self.instances or self.random.random() < 0.7]
        await instance.runtime.start(part)
        self.instances.append(instance)
        self.all_instances.append(instance)
        return instance

    async def kill(self, instance: Instance) -> None:
        """As kill -9: what is not in the journal is gone."""
        self.instances.remove(instance)
        instance.journal.resume()
        instance.journal.go_away()
        await instance.runtime.stop(timeout_s=0.0)

    def ask_anywhere(self, address: Address, command: Any) -> asyncio.Future[Answer]:
        """Carries saga steps to whoever the journal says owns the entity."""
        owner = self.store.leases[address.slot].owner
        for instance in self.instances:
            if owner == instance.name:
                return instance.runtime.ask_inside(address, command)
        refused: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        refused.set_exception(NotOwnedError())
        return refused

    async def trouble(self) -> None:
        for _ in range(FAULTS):
            await asyncio.sleep(self.random.expovariate(FAULTS / STORY_S))
            instance = self.random.choice(self.instances)
            match self.random.randrange(8):
                case 0:
                    await self.kill(instance)
                    await self.start_instance()
                case 1:
                    if len(self.instances) < INSTANCES_MAX:
                        await self.start_instance()
                case 2:
                    instance.journal.fail_next(self.random.choice([1, 3]))
                case 3:
                    instance.journal.unknown_after_write(self.random.choice([1, 3]))
                case 4:
                    instance.journal.late_write()
                case 5:
                    instance.journal.pause()
                    asyncio.get_running_loop().call_later(
                        self.random.uniform(0.1, 4.0), instance.journal.resume
                    )
                case 6:
                    instance.journal.go_away()
                    asyncio.get_running_loop().call_later(
                        self.random.uniform(0.1, 4.0), instance.journal.come_back
                    )
                case _:
                    if len(self.instances) > 1:
                        self.instances.remove(instance)
                        await instance.runtime.stop(timeout_s=2.0)
                        await self.start_instance()

    async def heal(self) -> Instance:
        """All others are gone; a last instance owns everything and finishes what was begun."""
        for instance in list(self.instances):
            await self.kill(instance)
        last = await self.start_instance()
        for _ in range(HEAL_S):
            if not any(state.sent for state in self.states()):
                return last
            await asyncio.sleep(1.0)
        raise AssertionError("a transfer was never settled")

    # -- clients ---------------------------------------------------------------------------------

    async def client(self) -> None:
        for _ in range(COMMANDS_EACH):
            await asyncio.sleep(self.random.expovariate(COMMANDS_EACH / STORY_S))
            self.numbers += 1
            number = self.numbers
            match self.random.randrange(4):
                case 0:
                    await self.pay_in_once(f"once-{number}")
                case 1:
                    await self.pay_in(f"keyed-{number}", key(number))
                case 2:
                    await self.send(f"sent-{number}", key(number))
                case _:
                    await self.ask(self.random.choice(EVERYBODY), "get", None)

    async def ask(self, address: Address, command: Any, command_key: CommandKey | None) -> Answer:
        """One try, answered by its deadline whatever happens (I9)."""
        self.book.asks += 1
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            if not self.instances:
                raise NotOwnedError
            instance = self.random.choice(self.instances)
            answer: Answer = await instance.ask(address, command, key=command_key)
            return answer
        except (UnavailableError, KeyInFlightError) as error:
            if command != "get":
                raise
            return Answer(error)
        finally:
            assert loop.time() - began <= ASK_TIMEOUT_S + LATE_S, "answered too late"

    async def pay_in_once(self, name: str) -> None:
        address = self.random.choice(ACCOUNTS)
        try:
            await self.ask(address, ("deposit", name, 10), None)
        except (OutcomeUnknownError, DeadlineExceededError):
            return
        except UnavailableError:
            self.book.not_done.add(name)
        else:
            self.book.paid_in.add(name)

    async def pay_in(self, name: str, command_key: CommandKey) -> None:
        address = self.random.choice(ACCOUNTS)
        if await self.insist(address, ("deposit", name, 10), command_key) is not None:
            self.book.paid_in.add(name)

    async def send(self, name: str, command_key: CommandKey) -> None:
        sender = self.random.choice(ACCOUNTS)
        to = self.random.choice([other for other in EVERYBODY if other != sender])
        amount = self.random.randrange(1, 15)
        reply = await self.insist(sender, ("send", name, to.key, amount), command_key)
        if reply is not None:
            self.book.sent[name] = reply[0]

    async def insist(self, address: Address, command: Any, command_key: CommandKey) -> Any:
        """Repeat with the same key until there is an outcome; sometimes ask once more."""
        replies = self.book.replies[command_key.id]
        for _ in range(100):
            try:
                replies.append((await self.ask(address, command, command_key)).reply)
            except (UnavailableError, KeyInFlightError):
                await asyncio.sleep(self.random.uniform(0.01, 0.5))
            else:
                if self.random.random() < 0.7:
                    break
        return replies[0] if replies else None

    # -- invariants ------------------------------------------------------------------------------

    async def check(self, last: Instance) -> None:
        self.check_epochs()
        self.check_acknowledged()
        self.check_views()
        await self.check_balances(last)

    def check_epochs(self) -> None:
        """I4: seq gapless, epochs never fall, one incarnation for each epoch."""
        claims = Counter((claim.shard, claim.epoch) for claim in self.store.claims)
        assert not claims or max(claims.values()) == 1
        for rows in self.store.rows:
            assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
            epochs = [row.epoch for row in rows]
            assert epochs == sorted(epochs)

    def check_acknowledged(self) -> None:
        """I3: what was acknowledged is there once, and one key has one outcome."""
        received = Counter(event[1] for event in self.events() if event[0] == "received")
        repeated = {name for name, count in received.items() if count > 1}
        assert not repeated, f"done twice: {repeated}"
        missing = self.book.paid_in - received.keys()
        assert not missing, f"acknowledged and lost: {missing}"
        undone = self.book.not_done & received.keys()
        assert not undone, f"refused and done: {undone}"
        for replies in self.book.replies.values():
            assert all(reply == replies[0] for reply in replies), replies
        began = Counter(event[1] for event in self.events() if event[0] == "sent")
        settled = Counter(event[1] for event in self.events() if event[0] == "settled")
        returned = Counter(event[1] for event in self.events() if event[0] == "returned")
        assert settled + returned == began, "neither settled nor returned, or both"
        for name, how in self.book.sent.items():
            assert (settled[name] == 1) == (how == "sent"), (name, how)
            assert (received[name] == 1) == (how == "sent"), (name, how)

    def check_views(self) -> None:
        """Every instance was told each event at most once, in the journal's order, and nothing
        changed that it was not told of."""
        at = {(row.address, row.payload): row.seq for rows in self.store.rows for row in rows}
        bank = Bank()
        for instance in self.all_instances:
            last: defaultdict[int, int] = defaultdict(int)
            known: dict[Address, Money] = {}
            for address, events, state in instance.views.all:
                for event in events or ():
                    seq = at[address, bank.encode_event(event)[2]]
                    assert seq > last[address.slot], "told twice or out of order"
                    last[address.slot] = seq
                    known[address] = bank.evolve(known[address], event)
                assert events is None or known[address] == state, "something was not told"
                known[address] = state

    async def check_balances(self, last: Instance) -> None:
        """I2: no balance is negative, the sum is what was paid in, memory equals the journal."""
        states = self.states()
        paid_in = sum(
            event[2]
            for event in self.events()
            if event[0] == "received" and not event[1].startswith("sent-")
        )
        assert sum(state.balance for state in states) == paid_in
        assert await last.runtime.load_state(EVERYBODY) == states

    def states(self) -> list[Money]:
        """What the journal says of everybody."""
        bank = Bank()
        states: list[Money] = []
        for address in EVERYBODY:
            state = bank.initial(address)
            for row in self.store.events(address):
                state = bank.evolve(state, bank.decode_event(row.type, 1, row.payload))
                assert state.balance >= 0
            states.append(state)
        return states

    def events(self) -> list[Any]:
        bank = Bank()
        return [
            bank.decode_event(row.type, row.version, row.payload)
            for rows in self.store.rows
            for row in rows
        ]
