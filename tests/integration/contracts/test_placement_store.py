"""Terms, plans under them, claims of what is desired, and the operators' log: the twin and the real
thing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from actors.clock import SystemClock
from actors.connections.postgres import statements
from actors.journal.contract import Journal, JournalError
from actors.journal.memory import MemoryJournal, MemoryStore
from actors.journal.partitioned import journal_over
from actors.journal.postgres import PostgresJournal
from actors.placement.contract import PlacedShard, PlacementStore, WriteResult
from actors.placement.partitioned import PartitionedPlacement
from actors.placement.postgres import PostgresPlacement
from tests.support.journal_rows import address_in, batch, ends, event, until
from tests.support.twins.placement import MemoryPlacement, MemoryTables


class Tables:
    """One database, or the two of one journal, and connections to it."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self._store = MemoryStore()
        self._tables = MemoryTables(self._store, SystemClock())
        self._opened: list[PlacementStore | Journal] = []

    def placement(self) -> PlacementStore:
        store: PlacementStore
        if len(self._urls) > 1:
            store = PartitionedPlacement(self._urls)
        else:
            store = (
                PostgresPlacement(self._urls[0]) if self._urls else MemoryPlacement(self._tables)
            )
        self._opened.append(store)
        return store

    def journal(self) -> Journal:
        journal: Journal
        if len(self._urls) > 1:
            journal = journal_over(self._urls)
        else:
            journal = PostgresJournal(self._urls[0]) if self._urls else MemoryJournal(self._store)
        self._opened.append(journal)
        return journal

    async def close(self) -> None:
        for one in self._opened:
            await one.close()


@pytest.fixture
async def tables(journal_urls: list[str]) -> AsyncIterator[Tables]:
    tables = Tables(journal_urls)
    yield tables
    await tables.close()


@pytest.fixture
def store(tables: Tables) -> PlacementStore:
    return tables.placement()


async def raised(store: PlacementStore, holder: str = "anna-1", lease_s: float = 60.0) -> int:
    """The next term, whoever holds the row."""
    term = await store.raise_term(holder, "redis", lease_s, await store.leadership())
    assert term is not None
    return term


# -- terms -------------------------------------------------------------------------------------


async def test_at_first_there_is_no_leader_and_the_row_is_free(store: PlacementStore) -> None:
    row = await store.leadership()
    assert (row.term, row.holder, row.via, row.expired) == (0, "", "", True)


async def test_a_raised_term_is_seen_by_all_and_held_for_its_lease(tables: Tables) -> None:
    anna, bert = tables.placement(), tables.placement()
    assert await raised(anna) == 1
    row = await bert.leadership()
    assert (row.term, row.holder, row.via, row.expired) == (1, "anna-1", "redis", False)


async def test_of_many_who_saw_the_same_row_one_raises_the_term(tables: Tables) -> None:
    stores = [tables.placement() for _ in range(6)]
    seen = await stores[0].leadership()
    raises = (one.raise_term(f"i-{n}", "redis", 60.0, seen) for n, one in enumerate(stores))
    terms = await asyncio.gather(*raises)
    assert sorted(terms, key=str) == [1, None, None, None, None, None]
    assert (await stores[0].leadership()).holder == f"i-{terms.index(1)}"


async def test_a_renewal_wins_over_who_thought_the_row_abandoned(store: PlacementStore) -> None:
    term = await raised(store)
    seen = await store.leadership()
    assert await store.renew_term(term, "postgres", 61.0)
    assert await store.raise_term("bert-1", "redis", 60.0, seen) is None
    row = await store.leadership()
    assert (row.holder, row.via) == ("anna-1", "postgres")
    assert not row.same_as(seen)


async def test_a_term_that_is_over_is_neither_renewed_nor_yielded(store: PlacementStore) -> None:
    old = await raised(store, "anna-1")
    new = await raised(store, "bert-1")
    assert new == old + 1
    assert not await store.renew_term(old, "redis", 60.0)
    await store.yield_term(old)
    row = await store.leadership()
    assert (row.holder, row.expired) == ("bert-1", False)


async def test_a_lease_ends_by_the_stores_own_clock_and_a_yielded_one_at_once(
    store: PlacementStore,
) -> None:
    await raised(store, lease_s=0.05)

    async def expired() -> bool:
        return (await store.leadership()).expired

    await until(expired)
    term = await raised(store)
    assert not await expired()
    await store.yield_term(term)
    assert await expired()


# -- plans -------------------------------------------------------------------------------------


async def test_a_plan_is_written_and_read_as_the_planner_wants_it(store: PlacementStore) -> None:
    term = await raised(store)
    assert await store.write_desired(term, {3: (0, "anna"), 255: (0, "bert")}) == WriteResult(
        True, frozenset({3, 255})
    )
    placed = await store.shards()
    assert [one.shard for one in placed] == list(range(256))
    assert (placed[3].desired, placed[3].desired_term, placed[4].desired) == ("anna", term, "")
    assert placed[255] == PlacedShard(shard=255, desired="bert", desired_term=term, incarnation="")
    assert await store.write_desired(term, {}) == WriteResult(True)


async def test_under_a_term_that_is_over_nothing_is_written(tables: Tables) -> None:
    anna, bert = tables.placement(), tables.placement()
    old = await raised(anna, "anna-1")
    new = await raised(bert, "bert-1")
    assert await anna.write_desired(old, {1: (0, "anna")}) == WriteResult(current=False)
    assert await anna.write_desired(new + 1, {1: (0, "anna")}) == WriteResult(current=False)
    assert (await bert.shards())[1].desired == ""
    assert await bert.write_desired(new, {1: (0, "bert")}) == WriteResult(True, frozenset({1}))


async def test_a_term_that_is_current_may_write_though_its_lease_is_over(
    store: PlacementStore,
) -> None:
    """What counts is whether there is a later one."""
    term = await raised(store)
    await store.yield_term(term)
    assert (await store.write_desired(term, {1: (0, "anna")})).current


async def test_a_shard_whose_epoch_moved_on_is_left_out_of_a_plan(tables: Tables) -> None:
    store, journal = tables.placement(), tables.journal()
    await journal.claim([(7, 0)], "cleo", "cleo-1")
    term = await raised(store)
    written = await store.write_desired(term, {6: (0, "anna"), 7: (0, "anna"), 8: (1, "anna")})
    assert written == WriteResult(True, frozenset({6}))
    seven = (await store.shards())[7]
    assert (seven.owner, seven.incarnation, seven.epoch, seven.desired) == (
        "cleo", "cleo-1", 1, "",
    )  # fmt: skip


# -- claims ------------------------------------------------------------------------------------


async def test_only_the_owner_to_be_claims_and_only_from_the_epoch_seen(tables: Tables) -> None:
    store, journal = tables.placement(), tables.journal()
    await journal.claim([(2, 0)], "cleo", "cleo-1")
    await journal.append(0, batch("cleo-1", rows=[event(address_in(2), 1)]))
    term = await raised(store)
    await store.write_desired(term, {1: (0, "anna"), 2: (1, "anna"), 3: (0, "bert")})

    wanted = [(3, 0), (2, 1), (1, 5), (4, 0)]
    assert ends(await store.claim(wanted, "anna", "anna-1")) == [(2, 2, 1)]
    assert await store.claim(wanted, "anna", "anna-1") == []
    assert await store.claim([], "anna", "anna-1") == []

    infos = await journal.shards()
    assert [(infos[s].epoch, infos[s].owner) for s in (1, 2, 3)] == [(0, ""), (2, "anna"), (0, "")]
    assert await journal.append(0, batch("cleo-1", rows=[event(address_in(2), 2)])) == {2}, (
        "cleo is fenced"
    )


async def test_two_runs_that_claim_at_once_share_no_shard(tables: Tables) -> None:
    store, other = tables.placement(), tables.placement()
    term = await raised(store)
    shards = range(40)
    await store.write_desired(term, dict.fromkeys(shards, (0, "anna")))
    wanted = [(shard, 0) for shard in shards]
    one, two = await asyncio.gather(
        store.claim(wanted, "anna", "anna-1"), other.claim(wanted[::-1], "anna", "anna-2")
    )
    assert sorted([lease.shard for lease in (*one, *two)]) == list(shards)


async def test_which_run_is_the_later_one_is_looked_up_in_an_index(
    database_url: str,
) -> None:
    """Given the claims of some hundred deployments, when a run takes over what one before it had
    under its name, then none of them is read but by the index: a look at all of them for each shard
    would take longer than a claim may."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO epochs SELECT n % 256, 1000 + n / 256, 'bert', 'bert-' || n / 256, now()"
        " FROM generate_series(0, 99999) AS n"
    )
    await connection.execute("UPDATE shards SET owner = 'anna', incarnation = 'anna-1'")
    await connection.execute("ANALYZE epochs")
    claim = statements("actors.journal", "journal.sql")["claim"]
    names = {"owner": "anna", "incarnation": "anna-2", "only_desired": True, "above": 0}
    values = claim.arguments({"shards": [1, 2], "seen": [0, 0], **names})
    plan = "\n".join(line[0] for line in await connection.fetch(f"EXPLAIN {claim.text}", *values))
    await connection.close()
    assert plan.count("using epochs_run on epochs") == 2, plan
    assert "Seq Scan on epochs" not in plan, plan


async def test_an_earlier_run_takes_nothing_from_a_later_one(tables: Tables) -> None:
    """Given a run that stood still and was replaced under its name, when it goes on and claims a
    shard of its successor that it never had, then it gets none; the successor gets all of its.
    Each database judges by the claims that were made in it."""
    store, journal = tables.placement(), tables.journal()
    term = await raised(store)
    await journal.claim([(4, 0)], "anna", "anna-9")
    await journal.claim([(2, 0)], "bert", "bert-1")
    await store.write_desired(term, dict.fromkeys((4, 2), (1, "anna")))
    assert ends(await store.claim([(2, 1)], "anna", "anna-2")) == [(2, 2, 0)]
    await store.write_desired(term, {2: (2, "anna")})

    assert await store.claim([(2, 2)], "anna", "anna-9") == []
    assert ends(await store.claim([(4, 1)], "anna", "anna-2")) == [(4, 2, 0)]
    assert ends(await store.claim([(4, 2)], "anna", "anna-3")) == [(4, 3, 0)], "a third run"


# -- operators ---------------------------------------------------------------------------------


async def test_pins_and_freezes_are_kept_and_told_in_the_log(store: PlacementStore) -> None:
    await store.pin(5, "anna", "ops")
    await store.freeze(6, "disk is being replaced", "ops")
    placed = await store.shards()
    assert (placed[5].pinned_to, placed[5].frozen) == ("anna", "")
    assert (placed[6].pinned_to, placed[6].frozen) == (None, "disk is being replaced")

    await store.pin(5, None, "ops")
    await store.freeze(6, None, "night shift")
    placed = await store.shards()
    assert {(placed[s].pinned_to, placed[s].frozen) for s in (5, 6)} == {(None, "")}
    lines = await store.logged(10)
    assert [(line.who, line.what, line.detail) for line in lines] == [
        ("night shift", "unfreeze", {"shard": 6}),
        ("ops", "unpin", {"shard": 5}),
        ("ops", "freeze", {"shard": 6, "frozen": "disk is being replaced"}),
        ("ops", "pin", {"shard": 5, "pinned_to": "anna"}),
    ]


async def test_the_log_is_paged_newest_first(store: PlacementStore) -> None:
    ids = [await store.log("ops", "drain", {"instance": f"i-{n}"}) for n in range(5)]
    assert ids == sorted(set(ids))
    newest = await store.logged(2)
    assert [line.id for line in newest] == ids[:2:-1]
    rest = await store.logged(10, before_id=newest[-1].id)
    assert [line.id for line in rest] == ids[2::-1]
    assert rest[-1].detail == {"instance": "i-0"}
    assert abs(rest[-1].at_ms - SystemClock().now_ms()) < 60_000


async def test_a_shard_or_a_reason_that_is_not_there_is_a_crash(store: PlacementStore) -> None:
    with pytest.raises((AssertionError, IndexError)):
        await store.pin(256, "anna", "ops")
    with pytest.raises(AssertionError):
        await store.freeze(1, "", "ops")
    assert await store.logged(10) == []


# -- PostgreSQL alone --------------------------------------------------------------------------


async def test_a_plan_waits_for_a_new_term_under_way_and_writes_nothing(database_url: str) -> None:
    """It looks at the term again."""
    store = PostgresPlacement(database_url)
    term = await raised(store)
    other = await asyncpg.connect(database_url)
    raising = other.transaction()
    await raising.start()
    await other.execute("UPDATE leadership SET term = term + 1")
    writing = asyncio.ensure_future(store.write_desired(term, {1: (0, "anna")}))

    async def waits() -> bool:
        return bool(await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waits)
    await raising.commit()
    assert await writing == WriteResult(current=False)
    await other.close()
    await store.close()


async def test_a_plan_waits_for_a_claim_under_way_and_leaves_its_shard_out(
    database_url: str,
) -> None:
    """It looks at the epoch again."""
    store = PostgresPlacement(database_url)
    term = await raised(store)
    other = await asyncpg.connect(database_url)
    claiming = other.transaction()
    await claiming.start()
    await other.execute("UPDATE shards SET epoch = epoch + 1 WHERE shard = 1")
    writing = asyncio.ensure_future(store.write_desired(term, {1: (0, "anna"), 2: (0, "anna")}))

    async def waits() -> bool:
        return bool(await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waits)
    await claiming.commit()
    assert await writing == WriteResult(True, frozenset({2}))
    await other.close()
    await store.close()


# -- two databases -----------------------------------------------------------------------------


async def test_a_leader_overtaken_within_a_plan_is_refused_by_the_next_write(
    database_url: str, second_database_url: str
) -> None:
    """Its successor has written to the same rows."""
    urls = [database_url, second_database_url]
    anna, bert = PartitionedPlacement(urls), PartitionedPlacement(urls)
    first = PostgresPlacement(database_url)
    second = PostgresPlacement(second_database_url, first)
    old = await raised(anna, "anna-1")
    assert (await anna.write_desired(old, {1: (0, "anna")})).current
    new = await raised(bert, "bert-1")

    # What is left of a plan whose first half was written before the new term: nobody knows better.
    late = await second.write_desired(old, {3: (0, "anna")})
    assert late == WriteResult(True, frozenset({3}))
    plan = {0: (0, "bert"), 1: (0, "bert"), 3: (0, "bert")}
    assert await bert.write_desired(new, plan) == WriteResult(True, frozenset(plan))
    assert await second.write_desired(old, {5: (0, "anna")}) == WriteResult(current=False)

    assert await anna.write_desired(old, {1: (0, "anna")}) == WriteResult(current=False)
    placed = await anna.shards()
    assert [placed[shard].desired for shard in (0, 1, 3, 5)] == ["bert", "bert", "bert", ""]
    for store in (anna, bert, first, second):
        await store.close()


async def test_a_pin_of_a_shard_elsewhere_is_told_in_the_first_database(
    database_url: str, second_database_url: str
) -> None:
    store = PartitionedPlacement([database_url, second_database_url])
    first, second = PostgresPlacement(database_url), PostgresPlacement(second_database_url)
    await store.pin(7, "anna", "ops")
    assert (await second.shards())[7].pinned_to == "anna"
    assert (await first.shards())[7].pinned_to is None
    assert [line.detail for line in await first.logged(10)] == [{"shard": 7, "pinned_to": "anna"}]
    assert await second.logged(10) == []
    for one in (store, first, second):
        await one.close()


async def test_a_database_that_is_not_there_is_an_error() -> None:
    store = PostgresPlacement("postgresql://nobody@127.0.0.1:1/nothing")
    for call in (store.leadership(), store.shards(), store.renew_term(1, "redis", 5.0)):
        with pytest.raises(JournalError):
            await call
    await store.close()
