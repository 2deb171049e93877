"""``booking audit --follow``: says each violation in a line, and can pause the queues concerned."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress

import msgspec

from booking.audit.follow import Follower, ViolationRecord
from booking.catalogue import store
from booking.cli.admin.client import AdminError, Client, client_of, path_part
from booking.cli.outcome import DATABASE_ERRORS, DONE, FAILED
from booking.settings import Settings

BRAKE_AGAIN_S = 0.5
"""Between two tries to pause queues through a service that does not answer."""
SETTLE_MAX_S = 5.0
"""How long Ctrl-C waits for queues to be paused."""
REASON_MAX = 200
"""Characters of the reason in the operators' trail."""


def follow(settings: Settings, payment_limit_s: float, *, as_json: bool) -> int:
    """Run until Ctrl-C or SIGTERM; the exit status says whether something was told. Raises
    :class:`AuditError`, and :class:`SettingsError` if the brake cannot reach the service."""
    brake = Brake(_operator(), settings.database_url) if settings.audit_brake else None
    return asyncio.run(_follow(settings, payment_limit_s, _Teller(as_json, brake), brake))


async def _follow(
    settings: Settings, payment_limit_s: float, teller: _Teller, brake: Brake | None
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    follower = Follower(settings.databases, teller, payment_limit_s)
    async with asyncio.TaskGroup() as group:
        braking = None if brake is None else group.create_task(brake.run())
        try:
            await follower.run(stop)
            if brake is not None:
                await brake.settled()
        finally:
            if braking is not None:
                braking.cancel()
    _say(f"checked {follower.rows:,} rows, told {follower.violations:,} violations")
    return FAILED if follower.violations else DONE


class _Teller:
    """Violations go to standard output, the rest to standard error."""

    def __init__(self, as_json: bool, brake: Brake | None) -> None:
        self._as_json, self._brake = as_json, brake

    def violation(self, found: ViolationRecord) -> None:
        """One line."""
        print(msgspec.json.encode(found).decode() if self._as_json else found, flush=True)
        if self._brake is not None:
            self._brake.pull(found)

    def caught_up(self, rows: int) -> None:
        """One line."""
        _say(f"checked {rows:,} rows, and from now on each as it comes")

    def away(self, words: str) -> None:
        """One line."""
        _say(f"waiting for the database: {words}")


class Brake:
    """Pauses queues as an operator does, through the service, until it has answered."""

    def __init__(self, client: Client, database_url: str) -> None:
        self._client, self._database_url = client, database_url
        self._pulled: asyncio.Queue[ViolationRecord] = asyncio.Queue()

    def pull(self, found: ViolationRecord) -> None:
        """Have the queues paused that let people to what is broken."""
        self._pulled.put_nowait(found)

    async def run(self) -> None:
        """For ever."""
        while True:
            found = await self._pulled.get()
            while error := await self._tried(found):
                _say(f"the queues could not be paused, trying again: {error}")
                await asyncio.sleep(BRAKE_AGAIN_S)
            self._pulled.task_done()

    async def settled(self) -> None:
        """Wait until all are paused, for a while."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._pulled.join(), SETTLE_MAX_S)

    async def _tried(self, found: ViolationRecord) -> Exception | None:
        try:
            queue = await self._queue_of(found.entity)
            await asyncio.to_thread(self._pause, queue, str(found)[:REASON_MAX])
        except (AdminError, *DATABASE_ERRORS) as error:
            return error
        return None

    async def _queue_of(self, entity: str) -> str | None:
        """The queue that an entity belongs to; ``None``: it can be any."""
        kind, key, *_ = f"{entity}/".split("/")
        if kind == "queue":
            return key
        if kind in ("seat", "ledger"):
            schedule = (await store.load(self._database_url)).schedules.get(key)
            return None if schedule is None else schedule.queue
        return None

    def _pause(self, queue: str | None, reason: str) -> None:
        queues = self._client.ask("GET", "/admin/queues")["items"]
        known = {str(each["queue"]): str(each["mode"]) for each in queues}
        for name in [queue] if queue in known else known:
            if name is not None and known[name] != "paused":
                body = {"mode": "paused", "reason": reason}
                self._client.ask("PATCH", f"/admin/queues/{path_part(name)}", body)
                _say(f"queue {name} is paused")


def _operator() -> Client:
    return client_of(argparse.Namespace(user="audit"))


def _say(line: str) -> None:
    print(f"booking: {line}", file=sys.stderr, flush=True)
