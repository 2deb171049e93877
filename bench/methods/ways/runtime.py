"""The single writer: this project's runtime, in the process that asks."""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import Behaviour, CommandKey, Decision, Turn
from actors.clock import SystemClock
from actors.core.context import Limits
from actors.journal.postgres import PostgresJournal
from actors.runtime import Runtime
from bench.methods.components import Components
from bench.methods.database import fresh_database
from bench.methods.way import OPENING, SEATS_FROM, Command, RefusedError, Totals, Way, decide
from booking.schema import migrate

LANES = 2
"""Connections that commit, as the service has."""
AT_ONCE = 200


class RowBehaviour(Behaviour):
    """A row as an entity: its state is the value, an event the next one. ``None`` asks for it."""

    kind = "row"

    def initial(self, address: Address) -> int:
        return 0 if int(address.key) >= SEATS_FROM else OPENING

    def decide(self, turn: Turn) -> Decision:
        if turn.command is None:
            return Decision(turn.state)
        try:
            value = decide(turn.state, turn.command)
        except RefusedError:
            return Decision(None)
        return Decision(value, [(turn.address, value)])

    def evolve(self, state: int, event: int) -> int:
        return event

    def encode_event(self, event: Any) -> tuple[str, int, bytes]:
        return "Changed", 1, msgspec.json.encode(event)

    def decode_event(self, event_type: str, version: int, payload: bytes) -> int:
        return msgspec.json.decode(payload, type=int)

    def encode_state(self, state: Any) -> bytes:
        return msgspec.json.encode(state)

    def decode_state(self, data: bytes) -> Any:
        return msgspec.json.decode(data)

    encode_reply = encode_command = encode_state  # type: ignore[assignment]  # by another name
    decode_reply = decode_command = decode_state


class RuntimeWay(Way):
    """One coroutine decides for each row, in memory; what many decided meanwhile is one commit.

    Reviewed: as the service uses it, with a key for each command, so a repeated one is answered
    from the journal. Nobody waits for a lock, and a hot row is as fast as many. Asked in the
    process that owns the rows; from another process that is the service, over HTTP.
    """

    name = "single writer, runtime"
    processes = exact_in = 1

    @classmethod
    def serve(cls, components: Components, stack: ExitStack) -> dict[str, list[str]]:
        """A journal of its own."""
        url = fresh_database(components, "runtime")
        asyncio.run(migrate.migrate(url))
        return {"postgres": [url]}

    async def start(self) -> None:
        """Claim all rows."""
        self._journal = PostgresJournal(self.urls["postgres"][0], LANES)
        name = secrets.token_hex(4)
        self._runtime = Runtime(
            instance=name,
            incarnation=name,
            behaviours=[RowBehaviour()],
            journal=self._journal,
            clock=SystemClock(),
            limits=Limits(),
            lanes=LANES,
        )
        await self._runtime.start()

    async def stop(self) -> None:
        """Answer what is queued, and end."""
        await self._runtime.stop(5.0)
        await self._journal.close()

    async def prepare(self, users: int, seats: int) -> None:
        """Nothing: a row begins when it is first asked."""

    async def totals(self, users: int, seats: Sequence[int]) -> Totals:
        """Ask each row."""
        rows = [*range(users), *(SEATS_FROM + seat for seat in seats)]
        values: list[int] = []
        for first in range(0, len(rows), AT_ONCE):
            values += await asyncio.gather(*map(self._value, rows[first : first + AT_ONCE]))
        return Totals(sum(values[:users]), sum(value > 0 for value in values[users:]))

    async def _value(self, row: int) -> int:
        return int((await self._runtime.ask(Address("row", str(row)), None)).reply)

    async def change(self, command: Command) -> int:
        key = CommandKey(bytes.fromhex(command.id), b"\0" * 16)
        answer = await self._runtime.ask(Address("row", str(command.row)), command, key=key)
        if answer.reply is None:
            raise RefusedError(command.kind)
        return int(answer.reply)
