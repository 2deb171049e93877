"""Several `booking serve` processes on one database: started, balanced, hurt, and asked.

A :class:`Cluster` has instances ``c-1``, ``c-2`` and so on, each on a port of its own, and a
rotation of those that answer ``/readyz``, as a load balancer keeps it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from actors.journal.contract import JournalError
from actors.placement.partitioned import placement_over
from booking_client import AsyncBooking, Unreachable
from tests.support.api_client import Reply, new_user
from tests.support.cut_links import Cuts, wired
from tests.support.probes import users_of_all_slots
from tests.support.served import Served, served

ADMIN_TOKEN = "an-admin-token-of-the-cluster-tests"
_ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
LOOK_EVERY_S = 0.05
"""Between two looks at each ``/readyz``. A load balancer's second would only make tests slower."""
LOOK_MAX_S = 1.0
BALANCED_MAX_S = 30.0
"""A cluster of three is balanced within 3 s of its start; a busy machine may need more."""
UNEVEN_MAX = 26
"""Shards that the fullest instance may have more than the emptiest in a cluster at rest: a tenth,
as what has to be even is the load."""
PROBES_TOGETHER = 64


class Cluster:
    """Instances on one PostgreSQL and one Redis. Made by :func:`cluster`."""

    def __init__(self, instances: Sequence[Served], cuts: Cuts | None = None) -> None:
        self.instances = instances
        self._cuts = cuts
        self.by_name = {one.name: one for one in instances}
        self._ready: list[str] = []
        self.left_rotation: Counter[str] = Counter()
        """By URL: how often an instance said that it was ready and then that it was not. That it
        says nothing in time says nothing of it on a busy machine."""
        self._said_ready: dict[str, bool] = {}
        self._looks = {
            one.url: AsyncBooking(one.url, timeout_s=LOOK_MAX_S, keep_alive=False)
            for one in instances
        }
        self._watch: asyncio.Task[None] | None = None
        self.pauses_ms: dict[tuple[int, int], float] = {}
        """By shard and time: how long callers were held back by a hand-over."""
        environ = instances[0].environ
        databases = [environ["BOOKING_DATABASE_URL"]]
        databases += environ.get("BOOKING_JOURNAL_URLS", "").split()
        self._placement = placement_over(databases)

    async def start(self) -> None:
        """All of them, at the same time; until they are ready and have even shares."""
        for instance in self.instances:
            instance.launch()
        await asyncio.gather(*(instance.ready() for instance in self.instances))
        self._watch = asyncio.create_task(self._look_again_and_again())
        await self.balanced()

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await asyncio.gather(*(look.close() for look in self._looks.values()))
        await self._placement.close()

    @property
    def cuts(self) -> Cuts:
        """The wires between the instances, if the cluster has any to be cut."""
        assert self._cuts is not None, "started without wires"
        return self._cuts

    # -- the rotation -----------------------------------------------------------------------------

    def in_rotation(self) -> list[str]:
        """URLs of the instances that were ready at the last look; all while there is none, as
        somebody has to be asked."""
        return self._ready or [instance.url for instance in self.instances]

    async def _look_again_and_again(self) -> None:
        while True:
            found = await asyncio.gather(*(self._is_ready(each.url) for each in self.instances))
            self._ready = [
                each.url for each, ready in zip(self.instances, found, strict=True) if ready
            ]
            await asyncio.sleep(LOOK_EVERY_S)

    async def _is_ready(self, url: str) -> bool:
        try:
            ready = (await self._looks[url].request("GET", "/readyz")).status == 200
        except Unreachable:
            return False
        self.left_rotation[url] += self._said_ready.get(url, False) and not ready
        self._said_ready[url] = ready
        return ready

    # -- what it says of itself -------------------------------------------------------------------

    async def owners(self) -> dict[int, tuple[str, int]]:
        """Owner and epoch of each shard: what the database says is so."""
        return {each.shard: (each.owner, each.epoch) for each in await self._placement.shards()}

    async def leader(self) -> Served:
        """Whoever leads now; waits until somebody does."""

        async def known() -> str:
            led = await self._placement.leadership()
            return "" if led.expired else led.holder.partition("@")[0]

        return self.by_name[await until(known, "somebody leads")]

    async def shards_of(self, instance: Served) -> set[int]:
        """The shards that it owns."""
        return {
            shard for shard, (owner, _) in (await self.owners()).items() if owner == instance.name
        }

    async def balanced(
        self, among: Sequence[Served] | None = None, within_s: float = BALANCED_MAX_S
    ) -> None:
        """Wait until these (by default all) have even shares and nothing moves."""
        names = {one.name for one in among or self.instances}

        async def even() -> bool:
            table = await self._placement.shards()
            shares = Counter(dict.fromkeys(names, 0))
            shares.update(each.owner for each in table)
            return (
                set(shares) == names
                and max(shares.values()) - min(shares.values()) <= UNEVEN_MAX
                and all(each.owner == each.desired for each in table)
            )

        if len(self.instances) > 1:
            await until(even, f"{sorted(names)} have even shares", within_s)

    async def operate(self, path: str, body: dict[str, Any] | None = None) -> Reply:
        """``POST`` something to the admin side of one in rotation."""
        asked = self._looks[self.in_rotation()[0]]
        return Reply(await asked.request("POST", f"/admin{path}", body=body or {}, headers=_ADMIN))

    async def look(self, path: str) -> Reply:
        """``GET`` something from the admin side of one in rotation."""
        asked = self._looks[self.in_rotation()[0]]
        return Reply(await asked.request("GET", f"/admin{path}", headers=_ADMIN))

    async def note_pauses(self) -> None:
        """Add the last hand-overs that anybody took part in to :attr:`pauses_ms`."""
        views = await asyncio.gather(*(self._view(each) for each in self.instances if each.running))
        for view in views:
            for each in view["handovers"]:
                self.pauses_ms[each["shard"], each["atMs"]] = float(each["pauseMs"])

    async def rebalance_state(self) -> str:
        """How the last plan that was begun is doing."""
        rebalance = (await self._view(self.instances[0]))["rebalance"]
        return "" if rebalance is None else str(rebalance["state"])

    async def _view(self, asked: Served) -> dict[str, Any]:
        look = self._looks[asked.url]
        data: dict[str, Any] = Reply(
            await look.request("GET", "/admin/cluster", headers=_ADMIN)
        ).data
        return data

    # -- how long something is away ---------------------------------------------------------------

    async def served_again_s(self, through: Sequence[Served]) -> float:
        """Seconds until one read in every shard succeeds, asked through these instances."""
        began_s = time.monotonic()
        left = list(users_of_all_slots(new_user))

        async def all_answered() -> bool:
            nonlocal left
            gate = asyncio.Semaphore(PROBES_TOGETHER)
            urls = [through[number % len(through)].url for number in range(len(left))]
            asked = (self._reads(gate, *each) for each in zip(urls, left, strict=True))
            answered = await asyncio.gather(*asked)
            left = [user for user, ok in zip(left, answered, strict=True) if not ok]
            return not left

        await until(all_answered, "every shard answers")
        return time.monotonic() - began_s

    async def _reads(self, gate: asyncio.Semaphore, url: str, user: str) -> bool:
        async with gate:
            try:
                answer = await self._looks[url].request("GET", f"/user/check?userId={user}")
            except Unreachable:
                return False
            return answer.status == 200


async def until(
    look: Callable[[], Awaitable[Any]], what: str, within_s: float = BALANCED_MAX_S
) -> Any:
    """Wait for something true and give it back, also if the database is away just now."""
    end = time.monotonic() + within_s
    last: object = None
    while time.monotonic() < end:
        try:
            last = await look()
        except JournalError as error:
            last = error
        else:
            if last:
                return last
        await asyncio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"not within {within_s:.0f} s: {what} ({last!r})")


@asynccontextmanager
async def cluster(
    database_url: str,
    redis_url: str,
    directory: Path,
    count: int,
    *,
    with_wires: bool = False,
    own: Mapping[str, Mapping[str, str]] | None = None,
    **settings: str,
) -> AsyncIterator[Cluster]:
    """``count`` instances, started and balanced, killed at the end. ``with_wires``: what they say
    to each other can be cut. ``own``: variables of single instances, by their names."""
    async with AsyncExitStack() as stack:
        instances = [
            stack.enter_context(
                served(
                    database_url,
                    redis_url,
                    directory,
                    BOOKING_INSTANCE=f"c-{number}",
                    BOOKING_ADMIN_TOKEN=ADMIN_TOKEN,
                    **settings,
                )
            )
            for number in range(1, count + 1)
        ]
        cuts = None
        if with_wires:
            ports = {one.name: one.port for one in instances}
            urls, cuts = await stack.enter_async_context(wired(ports))
            for one in instances:
                one.environ["BOOKING_ADVERTISE_URL"] = urls[one.name]
        for one in instances:
            one.environ |= (own or {}).get(one.name, {})
        running = Cluster(instances, cuts)
        try:
            await running.start()
            yield running
        finally:
            await running.close()
