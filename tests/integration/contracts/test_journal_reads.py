"""Loading entities, their history, and who owns what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from actors.address import Address
from actors.journal.contract import PAGES_MAX, Journal, PageRow, ShardInfo, SnapshotRow
from tests.support.journal_rows import address_in, batch, ends, event, snapshot

Connect = Callable[[], Awaitable[Journal]]


async def test_an_entity_without_events_is_loaded_as_such(journal: Journal) -> None:
    [loaded] = await journal.load([address_in(1)])
    assert (loaded.address, loaded.snapshot, list(loaded.rows)) == (address_in(1), None, [])
    assert await journal.load([]) == []


async def test_loading_gives_the_snapshot_and_what_came_after_it(journal: Journal) -> None:
    address, neighbour = address_in(1), address_in(1, 1)
    rows = [event(address if seq != 3 else neighbour, seq) for seq in range(1, 6)]
    await journal.append(0, batch(rows=rows[:4], snapshots=[snapshot(address, 2)]))
    await journal.append(0, batch(rows=rows[4:]))

    [loaded] = await journal.load([address])
    assert loaded.snapshot == snapshot(address, 2)
    assert list(loaded.rows) == [rows[3], rows[4]]

    [whole] = await journal.load([address], whole=True)
    assert whole.snapshot is None
    assert list(whole.rows) == [rows[0], rows[1], rows[3], rows[4]]


async def test_the_newest_snapshot_counts(journal: Journal) -> None:
    address = address_in(1)
    rows = [event(address, seq) for seq in range(1, 5)]
    await journal.append(0, batch(rows=rows, snapshots=[snapshot(address, 2, state=b"two")]))
    await journal.append(0, batch(snapshots=[snapshot(address, 4, state=b"four")]))

    [loaded] = await journal.load([address])
    assert loaded.snapshot == snapshot(address, 4, state=b"four")
    assert list(loaded.rows) == []


async def test_many_entities_are_loaded_in_the_order_asked(journal: Journal) -> None:
    addresses = [address_in(shard, number) for number in range(3) for shard in (7, 0, 3)]
    rows = [event(address, 1 + place // 3) for place, address in enumerate(addresses)]
    await journal.append(
        0, batch(rows=rows, snapshots=[snapshot(addresses[4], 2), snapshot(addresses[8], 3)])
    )

    asked = [*reversed(addresses), address_in(9)]
    loaded = await journal.load(asked)

    assert [entity.address for entity in loaded] == asked
    by_address = {entity.address: entity for entity in loaded}
    assert by_address[addresses[4]].snapshot == snapshot(addresses[4], 2)
    for place in (0, 1, 2, 3, 5, 6, 7):
        assert list(by_address[addresses[place]].rows) == [rows[place]]
    for place in (4, 8):
        assert list(by_address[addresses[place]].rows) == []


async def test_shards_are_read_from_a_seq_on_in_order(journal: Journal) -> None:
    """Given events of three shards, when they are read above a seq each, then every event comes
    once and as it was written, those of a shard in order, and not more of one than asked."""
    rows = {
        n: [event(address_in(n, seq % 2), seq, type_=f"T{seq}") for seq in range(1, 8)]
        for n in (1, 2, 5)
    }
    await journal.append(0, batch(rows=[row for some in rows.values() for row in some]))

    found = await journal.read({5: 0, 1: 3, 2: 7, 8: 0}, 3)
    assert [row for row in found if row.shard == 5] == rows[5][:3]
    assert [row for row in found if row.shard == 1] == rows[1][3:6]
    assert len(found) == 6
    assert await journal.read({}, 3) == []
    assert await journal.ends([1, 8, 5]) == {1: 7, 5: 7, 8: 0}


async def test_history_is_newest_first_and_of_the_wanted_types_only(journal: Journal) -> None:
    address, neighbour = address_in(6), address_in(6, 1)
    types = ["Charged", "Paid", "Noted"]
    rows = [event(address, seq, type_=types[seq % 3]) for seq in range(1, 10)]
    await journal.append(0, batch(rows=[*rows, event(neighbour, 10, type_="Charged")]))

    wanted = {"Charged", "Paid"}
    page = await journal.history(address, wanted, 4)
    assert [row.seq for row in page] == [9, 7, 6, 4]
    assert page[0] == rows[8]
    assert [r.seq for r in await journal.history(address, wanted, 4, before_seq=4)] == [3, 1]
    assert await journal.history(address, wanted, 4, before_seq=1) == []
    assert await journal.history(address, [], 4) == []
    assert await journal.history(address_in(6, 2), wanted, 4) == []


async def test_a_claim_raises_the_epoch_of_shards_whose_epoch_was_the_one_seen(
    connect: Connect,
) -> None:
    journal = await connect()

    leases = await journal.claim([(9, 0), (3, 0), (4, 5)], "one", "one-1")
    assert ends(leases) == [(9, 1, 0), (3, 1, 0)]
    assert ends(await journal.claim([(9, 0), (3, 1)], "two", "two-1")) == [(3, 2, 0)]
    assert await journal.claim([], "two", "two-1") == []

    shards = await journal.shards()
    assert [info.shard for info in shards] == list(range(256))
    assert shards[3] == ShardInfo(3, 2, "two", "two-1")
    assert shards[9] == ShardInfo(9, 1, "one", "one-1")
    assert shards[4] == ShardInfo(4, 0, "", "")


async def test_a_claim_tells_where_each_shard_ends(journal: Journal) -> None:
    first, second = address_in(1), address_in(2)
    await journal.append(
        0, batch(rows=[event(first, 1), event(first, 2), event(first, 3), event(second, 1)])
    )

    leases = await journal.claim([(0, 1), (1, 1), (2, 1)], "one", "one-2")

    assert ends(leases) == [(0, 2, 0), (1, 2, 3), (2, 2, 1)]
    assert not await journal.append(0, batch("one-2", rows=[event(first, 4, epoch=2)]))


async def test_of_two_who_claim_at_once_one_gets_each_shard(connect: Connect) -> None:
    one, two = await connect(), await connect()
    wanted = [(shard, 0) for shard in range(256)]

    granted = await asyncio.gather(
        one.claim(wanted, "one", "one-1"), two.claim(list(reversed(wanted)), "two", "two-1")
    )

    shards = [lease.shard for leases in granted for lease in leases]
    assert sorted(shards) == list(range(256))
    owners = {info.shard: info.owner for info in await one.shards()}
    for owner, leases in zip(("one", "two"), granted, strict=True):
        assert all(owners[lease.shard] == owner and lease.epoch == 1 for lease in leases)


async def test_a_journal_that_can_be_reached_answers_a_ping(journal: Journal) -> None:
    await journal.ping()


async def test_what_came_later_is_read_without_snapshots_in_the_order_asked(
    journal: Journal,
) -> None:
    mine, other, quiet = address_in(1), address_in(2), address_in(3)
    rows = [event(mine, seq) for seq in range(1, 5)]
    theirs = [event(other, 1)]
    await journal.append(0, batch(rows=rows + theirs, snapshots=[snapshot(mine, 3)]))

    found = await journal.later([(other, 0), (mine, 1), (quiet, 7)])

    assert [loaded.address for loaded in found] == [other, mine, quiet]
    assert [list(loaded.rows) for loaded in found] == [theirs, rows[1:], []]
    assert all(loaded.snapshot is None for loaded in found)
    assert await journal.later([]) == []


async def test_of_many_events_the_first_come_at_once_and_the_rest_when_asked_for(
    journal: Journal,
) -> None:
    long, short = address_in(1), address_in(2)
    rows = [event(long, seq) for seq in range(1, 2_502)]
    await journal.append(0, batch(rows=[*rows, event(short, 1)]))

    [first, other] = await journal.load([long, short])
    assert (list(first.rows), first.more) == (rows[:2_000], True)
    assert (len(other.rows), other.more) == (1, False)

    [rest] = await journal.later([(long, 2_000)])
    assert (list(rest.rows), rest.more) == (rows[2_000:], False)

    found = await journal.load([long, *(address_in(3, n) for n in range(199))])
    assert (len(found[0].rows), found[0].more) == (40, True)


async def test_a_snapshot_has_of_each_page_the_newest_that_is_not_above_it(
    journal: Journal,
) -> None:
    """Given pages of three snapshots of one entity, the last without its head, then each snapshot
    has its own, and what is dropped is what no later one has."""
    mine, other = address_in(1), address_in(1, 1)

    def page(number: int, seq: int, data: bytes = b"", address: Address = mine) -> PageRow:
        return PageRow(1, 1, address, number, seq, data or b"%d of %d" % (number, seq))

    one = SnapshotRow(1, 1, mine, 10, b"head", 3)
    two = SnapshotRow(1, 1, mine, 20, b"head", 2)
    gone = PageRow(1, 1, mine, 2, 20, b"")
    first = [page(number, 10) for number in range(3)]
    await journal.append(0, batch(pages=[*first, page(0, 10, b"other", other)], snapshots=[one]))
    await journal.append(0, batch(pages=[page(1, 20), gone], snapshots=[two]))
    await journal.append(0, batch(pages=[page(0, 30)]))

    [loaded] = await journal.load([mine])
    assert loaded.snapshot == two
    assert await journal.pages(one, -1) == first
    assert await journal.pages(two, -1) == [page(0, 10), page(1, 20)]
    assert await journal.pages(two, 0) == [page(1, 20)]
    assert await journal.pages(two, 1) == []

    await journal.drop_pages(mine, 20)
    assert await journal.pages(one, -1) == [page(0, 10)], "the reader sees that some are missing"
    assert await journal.pages(two, -1) == [page(0, 10), page(1, 20)]
    await journal.drop_pages(mine, 30)
    assert await journal.pages(two, -1) == [page(1, 20)]


async def test_many_pages_come_some_at_a_time(journal: Journal) -> None:
    mine = address_in(1)
    pages = [PageRow(1, 1, mine, number, 5, b"p") for number in range(PAGES_MAX + 3)]
    await journal.append(0, batch(pages=pages))
    whole = SnapshotRow(1, 1, mine, 5, b"head", len(pages))
    assert await journal.pages(whole, -1) == pages[:PAGES_MAX]
    assert await journal.pages(whole, PAGES_MAX - 1) == pages[PAGES_MAX:]


async def test_a_fenced_owner_writes_no_page(journal: Journal, connect: Connect) -> None:
    other = await connect()
    await other.claim([(1, 1)], "two", "two-1")
    page = PageRow(1, 1, address_in(1), 0, 5, b"late")
    assert await journal.append(0, batch(pages=[page])) == {1}
    assert await journal.pages(SnapshotRow(1, 1, address_in(1), 5, b"head", 1), -1) == []
