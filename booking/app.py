"""The composition root: builds one instance out of its parts, starts it, stops it.

This is the only place that knows the real journal, the real membership and the edge together.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from actors.clock import Clock, SystemClock
from actors.journal import Row
from actors.membership import DEAD_AFTER_S, Member, Membership, MembershipError
from actors.postgres_journal import PostgresJournal
from actors.redis_membership import RedisMembership
from actors.runtime import Runtime
from actors.tasks import Tasks
from booking.api import Readiness
from booking.background import (
    CatalogueWatch,
    Heartbeat,
    OutcomePurge,
    ViewLoader,
    incarnation,
)
from booking.catalogue import store
from booking.domain.catalogue import Catalogue
from booking.domain.queue import Policy
from booking.entities.account_entity import AccountBehaviour
from booking.entities.queue_entity import QueueBehaviour
from booking.entities.seat_entity import HoldRules, LedgerBehaviour, SeatBehaviour
from booking.health import check_readiness, gauges
from booking.service import BookingService
from booking.settings import Settings
from booking.tokens import TokenSigner
from booking.views.projections import Projections
from booking.views.queue import QueueView
from booking.views.seats import SeatMaps
from booking_http.metrics import EdgeMetrics
from booking_http.server import EdgeServer, build_server
from booking_http.settings import EdgeSettings

MAIN_QUEUE = "main"
"""The one queue of the house."""

LANES = 1
"""Connections that append. While one batch is in flight the next one forms; two batches in flight
would be smaller each, and cost the process more."""


START_GIVEN_UP_S = 1.0
"""For a runtime whose instance could not start: nobody waits for it."""


class AnotherInstanceError(Exception):
    """Somebody else serves from this journal. ``str()`` is one line."""


class SupersededError(Exception):
    """A later run of this instance has taken its shards over. ``str()`` is one line."""


class App:
    """One running instance."""

    def __init__(self, settings: Settings, clock: Clock, catalogue: Catalogue) -> None:
        started_ms = clock.now_ms()
        self._settings = settings
        self._clock = clock
        self._draining = False
        self._tasks = Tasks("app")
        self._superseded: asyncio.Future[BaseException]
        self._superseded = asyncio.get_running_loop().create_future()
        self._membership: Membership = RedisMembership(settings.redis_url)
        self._journal = PostgresJournal(settings.database_url, LANES)
        run = incarnation(settings.instance, started_ms, os.urandom)
        self._member = Member(settings.instance, run, settings.advertise_url, started_ms)
        self._heartbeat = Heartbeat(self._membership, self._member)
        self._queues = {MAIN_QUEUE: QueueView(MAIN_QUEUE)}
        self._seats = SeatMaps(catalogue, first_version=started_ms * 1000)
        self._runtime = self._make_runtime()
        self._views = ViewLoader(self._runtime, self._seats, self._queues)
        self._watch = CatalogueWatch(settings.database_url, self._seats, self._views)
        self._edge = self._make_edge()

    @classmethod
    async def start(cls, settings: Settings) -> App:
        """Everything up and listening, or nothing: OSError when a server or the port cannot be
        had, :class:`AnotherInstanceError`."""
        clock = SystemClock()
        app = cls(settings, clock, await store.load(settings.database_url))
        try:
            await app._start()
        except BaseException:
            await app._runtime.stop(START_GIVEN_UP_S)
            await app._close()
            raise
        return app

    async def _start(self) -> None:
        await self._refuse_company()
        await self._journal.connect()
        await self._runtime.start()
        await self._views.load(self._views.shown())
        self._tasks.spawn(self._heartbeat.run(), "heartbeat")
        self._tasks.spawn(self._watch.run(), "catalogue")
        self._tasks.spawn(OutcomePurge(self._journal, self._clock).run(), "purge")
        await self._edge.start(self._settings.host, self._settings.port)

    async def _refuse_company(self) -> None:
        """One instance owns all shards for now. A namesake is an earlier run of this one, which
        the new epochs fence."""
        try:
            members = await self._membership.members()
            await self._heartbeat.announce()
        except MembershipError as error:
            raise ConnectionError(f"BOOKING_REDIS_URL: {error}") from error
        for member in members:
            if member.instance != self._settings.instance:
                raise AnotherInstanceError(
                    f"instance {member.instance} serves from here already; stop it first, or wait "
                    f"{DEAD_AFTER_S:.0f} s if it was killed"
                )

    def _make_runtime(self) -> Runtime:
        settings = self._settings
        rules = HoldRules(settings.hold_s * 1000, settings.holds_max)
        policy = Policy(
            settings.queue_active_max, settings.queue_admit_per_minute, settings.active_s * 1000
        )
        return Runtime(
            instance=settings.instance,
            incarnation=self._member.incarnation,
            behaviours=[
                AccountBehaviour(),
                SeatBehaviour(lambda: self._seats.catalogue, rules),
                LedgerBehaviour(),
                QueueBehaviour(lambda: policy),
            ],
            journal=self._journal,
            clock=self._clock,
            observer=Projections(self._seats, self._queues, self._lost),
            lanes=LANES,
        )

    def _make_edge(self) -> EdgeServer:
        service = BookingService(
            actors=self._runtime,
            journal=self._journal,
            clock=self._clock,
            signer=TokenSigner(self._settings.token_secrets),
            seats=self._seats,
            queues=self._queues,
            read_event=self._read_event,
            readiness=self._readiness,
        )
        return build_server(
            service,
            EdgeSettings(user_auth="token" if self._settings.user_auth == "token" else "open"),
            EdgeMetrics(lambda: gauges(self._runtime, self._queues.values())),
        )

    def _lost(self, shard: int) -> None:
        """One instance owns all shards for now, so whoever has this one is our successor."""
        if not self._superseded.done():
            line = f"a later run of {self._settings.instance} has taken over (shard {shard})"
            self._superseded.set_result(SupersededError(line))

    def _read_event(self, row: Row) -> Any:
        behaviour = self._runtime.behaviour(row.address.kind)
        return behaviour.decode_event(row.type, row.version, row.payload)

    async def _readiness(self) -> Readiness:
        return await check_readiness(self._runtime, self._journal, lambda: self._draining)

    @property
    def port(self) -> int:
        return self._edge.port

    async def failed(self) -> BaseException:
        """Wait for what this instance cannot go on after."""
        waiting = [self._tasks.failed, self._runtime.failed, self._superseded]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    async def stop(self, timeout_s: float) -> None:
        """Drain: refuse new work, answer what was accepted, close everything."""
        end = self._clock.monotonic() + timeout_s
        self._draining = True
        await self._edge.stop(timeout_s / 2)
        await self._runtime.stop(max(end - self._clock.monotonic(), 1.0))
        await self._heartbeat.leave()
        await self._close()

    async def _close(self) -> None:
        await self._tasks.close()
        await self._watch.close()
        await self._membership.close()
        await self._journal.close()
