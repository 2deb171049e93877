"""An owner of shards as a process of its own: ``python -m tests.support.journal_owner DSN 1 2 3``

Claims its shards again and again and appends to them until its standard input is closed. Each line
it writes tells what the journal has accepted: ``acked SHARD SEQ TOKEN``, or ``fenced SHARD``, or
``unknown`` after which it claims everything anew, as the runtime does.
"""

from __future__ import annotations

import asyncio
import random
import sys
import uuid

from actors.journal.contract import Batch, JournalError
from actors.journal.postgres import PostgresJournal
from tests.support.journal_rows import address_in, event, outcome

EVENTS = [1, 5, 100]
"""Events of one shard in one batch: the large ones keep the server busy for milliseconds, so that
a stop and a claim find a statement under way."""


class Owner:
    def __init__(self, journal: PostgresJournal, shards: list[int]) -> None:
        self.journal = journal
        self.incarnation = uuid.uuid4().hex
        self.addresses = {shard: [address_in(shard, n) for n in range(3)] for shard in shards}
        self.held: dict[int, tuple[int, int]] = {}
        """Epoch and last seq of each shard this owner believes to own."""

    async def claim_missing(self) -> None:
        infos = await self.journal.shards()
        wanted = [(shard, infos[shard].epoch) for shard in self.addresses if shard not in self.held]
        for lease in await self.journal.claim(wanted, "owner", self.incarnation):
            self.held[lease.shard] = (lease.epoch, lease.last_seq)

    async def append(self) -> None:
        batch, ends = Batch(incarnation=self.incarnation), {}
        for shard in random.sample(sorted(self.held), random.randint(1, len(self.held))):
            epoch, seq = self.held[shard]
            for _ in range(random.choice(EVENTS)):
                seq += 1
                token = uuid.uuid4().hex
                payload = f'{{"token":"{token}","incarnation":"{self.incarnation}"}}'.encode()
                address = random.choice(self.addresses[shard])
                batch.rows.append(event(address, seq, epoch, payload=payload))
                batch.outcomes.append(outcome(shard, int(token, 16), epoch))
            ends[shard] = (epoch, seq)
        fenced = await self.journal.append(0, batch)
        for row, stored in zip(batch.rows, batch.outcomes, strict=True):
            if row.shard not in fenced:
                print("acked", row.shard, row.seq, stored.command.hex())
        self.held |= ends
        for shard in fenced:
            print("fenced", shard)
            del self.held[shard]

    async def turn(self) -> None:
        try:
            if len(self.held) < len(self.addresses):
                await self.claim_missing()
            if self.held:
                await self.append()
        except JournalError:
            print("unknown")
            self.held.clear()
        sys.stdout.flush()


async def main(dsn: str, shards: list[int]) -> None:
    journal = PostgresJournal(dsn)
    await journal.connect()
    owner = Owner(journal, shards)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        await owner.turn()
    await journal.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [int(argument) for argument in sys.argv[2:]]))
