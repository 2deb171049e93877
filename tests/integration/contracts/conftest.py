"""Each contract is tested with the in-memory twin and with the real thing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from actors.clock import SystemClock
from actors.journal.contract import Journal
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.journal.partitioned import journal_over
from actors.journal.postgres import PostgresJournal
from actors.membership.contract import Membership
from actors.membership.postgres import PostgresMembership
from actors.membership.redis import RedisMembership
from tests.support.twins.membership import MemoryMembership, MemoryMembershipStore

Connect = Callable[[], Awaitable[Journal]]
Join = Callable[[], Membership]


@pytest.fixture(params=["memory", "postgres", "two databases"])
def journal_urls(request: pytest.FixtureRequest) -> list[str]:
    names = {"memory": [], "postgres": ["database_url"]}
    wanted = names.get(request.param, ["database_url", "second_database_url"])
    return [request.getfixturevalue(name) for name in wanted]


@pytest.fixture
async def connect(journal_urls: list[str]) -> AsyncIterator[Connect]:
    """Opens journals over one store: what several instances see."""
    opened: list[Journal] = []
    store = MemoryStore(SystemClock())

    async def open_one() -> Journal:
        journal: Journal
        if len(journal_urls) > 1:
            journal = journal_over(journal_urls)
        elif journal_urls:
            journal = PostgresJournal(journal_urls[0], lanes=2)
            await journal.connect()
        else:
            journal = MemoryJournal(store)
        opened.append(journal)
        return journal

    yield open_one
    for journal in opened:
        await journal.close()


@pytest.fixture
async def journal(connect: Connect) -> Journal:
    """A journal whose shards 0 to 9 are claimed with epoch 1."""
    journal = await connect()
    leases = await journal.claim([(shard, 0) for shard in range(10)], "one", "one-1")
    assert len(leases) == 10
    return journal


@pytest.fixture(params=["memory", "redis", "postgres"])
def membership_url(request: pytest.FixtureRequest) -> str:
    fixtures = {"memory": "", "redis": "redis_url", "postgres": "database_url"}
    name = fixtures[request.param]
    return request.getfixturevalue(name) if name else ""


@pytest.fixture
async def join(membership_url: str) -> AsyncIterator[Join]:
    """Connects instances to one membership store."""
    joined: list[Membership] = []
    store = MemoryMembershipStore(SystemClock())

    def join_one() -> Membership:
        membership: Membership
        if membership_url.startswith("postgresql:"):
            membership = PostgresMembership(membership_url)
        elif membership_url:
            membership = RedisMembership(membership_url)
        else:
            membership = MemoryMembership(store)
        joined.append(membership)
        return membership

    yield join_one
    for membership in joined:
        await membership.close()
