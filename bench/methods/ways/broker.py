"""What the ways over a broker share: commands are messages, one consumer does them in order."""

import asyncio
import os
import secrets
import signal
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any

import asyncpg
import msgspec

from bench.methods.components import Components
from bench.methods.database import DatabaseWay
from bench.methods.way import WAIT_S, Command, RefusedError, decide, jitter

BATCH = 256
"""Messages of one transaction at most."""
PREFETCH = 1_024
"""Messages that the broker sends ahead of their acknowledgement."""

UPDATE = """UPDATE state SET value = new.value, version = version + 1
FROM unnest($1::int[], $2::bigint[]) AS new (id, value) WHERE state.id = new.id"""
INSERT = """INSERT INTO entry SELECT * FROM
unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) ON CONFLICT DO NOTHING"""
"""No conflict, unless it forgets what it has done: see ``idempotent``."""

_COMMAND = msgspec.json.Decoder(Command)
_ANSWER = msgspec.json.Decoder(tuple[str, int | None])


class BrokerWay(DatabaseWay):
    """Publish, and wait until the consumer says what became of it.

    Reviewed: the consumer takes what is there into one transaction, so a batch shares a commit; it
    acknowledges after the commit and answers then. A message may come twice: the entry under its
    id says so, in the same transaction, and the answer is the first one. The rows are locked while
    it reads them, for a consumer that was replaced unawares may still be writing. So the queue
    keeps order and spares the database its contention; what makes it exact is the database.
    """

    idempotent = True
    """Whether it looks for what it has done already."""
    dies = False
    """Whether it does between effect and acknowledgement, for those who test that."""

    @classmethod
    def serve(cls, components: Components, stack: ExitStack) -> dict[str, list[str]]:
        """A queue of its own for each run: a log keeps what another has done."""
        return {**super().serve(components, stack), "queue": [f"ways-{secrets.token_hex(4)}"]}

    @property
    def queue(self) -> str:
        """Its name."""
        return self.urls["queue"][0]

    async def start(self) -> None:
        """Connect, and consume."""
        await super().start()
        self._waiting: dict[str, asyncio.Future[int | None]] = {}
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        await self.connect()
        self._consuming = asyncio.create_task(self._consume())

    async def stop(self) -> None:
        self._consuming.cancel()
        await asyncio.gather(self._consuming, return_exceptions=True)
        await self.disconnect()
        await super().stop()

    @abstractmethod
    async def connect(self) -> None:
        """Make the queue if there is none, and have :attr:`messages` and answers come in."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close what :meth:`connect` opened."""

    @abstractmethod
    async def publish(self, command: bytes, row: int) -> None:
        """Send a command; back when the broker has it on its disk."""

    @abstractmethod
    async def answer(self, message: Any, body: bytes) -> None:
        """Tell whoever sent the message."""

    @abstractmethod
    async def acknowledge(self, messages: Sequence[Any]) -> None:
        """Tell the broker that these are done."""

    @staticmethod
    def body(message: Any) -> bytes:
        """The command in a message."""
        body: bytes = message.body
        return body

    def answered(self, body: bytes) -> None:
        """An answer has come in."""
        command, value = _ANSWER.decode(body)
        waiting = self._waiting.get(command)
        if waiting is not None and not waiting.done():
            waiting.set_result(value)

    async def change(self, command: Command) -> int:
        answer = self._waiting[command.id] = asyncio.get_running_loop().create_future()
        try:
            await self.publish(msgspec.json.encode(command), command.row)
            value: int | None = await asyncio.wait_for(answer, WAIT_S)
        finally:
            del self._waiting[command.id]
        if value is None:
            raise RefusedError(command.kind)
        return value

    async def _consume(self) -> None:
        while True:
            batch = [await self.messages.get()]
            while len(batch) < BATCH and not self.messages.empty():
                batch.append(self.messages.get_nowait())
            commands = [_COMMAND.decode(self.body(message)) for message in batch]
            values = await self._applied(commands)
            if self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
            await self.acknowledge(batch)
            for message, command, value in zip(batch, commands, values, strict=True):
                await self.answer(message, msgspec.json.encode((command.id, value)))

    async def _applied(self, commands: list[Command]) -> list[int | None]:
        """Try until the database has it: a repeated try finds what an earlier one did."""
        for tries in count():
            try:
                return await self._apply(commands)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(jitter(tries, 0.05, 1.0))
        raise AssertionError("unreachable")

    async def _apply(self, commands: list[Command]) -> list[int | None]:
        """Decide all in their order, as one transaction; the new values, ``None`` for refused."""
        ids = [command.id for command in commands]
        async with self.database.transaction() as session:
            rows = await session.fetch(
                "SELECT id, value FROM state WHERE id = ANY($1) ORDER BY id FOR UPDATE",
                list({command.row for command in commands}),
            )
            done: dict[str, int] = {}
            if self.idempotent:
                found = await session.fetch("SELECT * FROM entry WHERE command = ANY($1)", ids)
                done = {entry["command"]: entry["value"] for entry in found}
            state = {row["id"]: row["value"] for row in rows}
            entries = _decide_all(commands, state, done)
            await session.execute(UPDATE, list(state), list(state.values()))
            columns = zip(*entries, strict=True) if entries else ([], [], [], [])
            await session.execute(INSERT, *map(list, columns))
        return [done.get(each) for each in ids]


def _decide_all(
    commands: list[Command], state: dict[int, int], done: dict[str, int]
) -> list[tuple[str, int, int, int]]:
    """The entries of what was decided now; ``state`` and ``done`` are brought up to it."""
    entries = []
    for command in commands:
        if command.id not in done:
            with suppress(RefusedError):
                value = state[command.row] = decide(state[command.row], command)
                done[command.id] = value
                entries.append((command.id, command.row, command.amount, value))
    return entries
