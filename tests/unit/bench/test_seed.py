"""Rows of a seeded journal are what the service would have written."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice

from actors.address import SLOT_COUNT, Address
from bench.scale import COLUMNS, charge_rows
from bench.world import Users
from booking.accounts.domain.account import Account, Charged
from booking.accounts.entity import AccountBehaviour

EPOCHS = dict.fromkeys(range(SLOT_COUNT), 3)


def seeded(users: int, events: int) -> tuple[list[dict[str, object]], dict[str, int]]:
    names = Users().take(users)
    balances = dict.fromkeys(names, 0)
    last = {7: 100}
    rows = charge_rows(names, events, balances, last, EPOCHS)
    found: list[dict[str, object]] = []
    while chunk := list(islice(rows, 64)):
        found += [dict(zip(COLUMNS, row, strict=True)) for row in chunk]
    return found, balances


def test_every_event_is_written_and_seq_is_gapless_in_every_shard() -> None:
    rows, _ = seeded(500, 2_000)
    assert len(rows) == 2_000
    by_shard = defaultdict(list)
    for row in rows:
        by_shard[row["shard"]].append(row["seq"])
    for shard, seqs in by_shard.items():
        first = 101 if shard == 7 else 1
        assert seqs == list(range(first, first + len(seqs)))


def test_the_accounts_own_behaviour_reads_the_rows_back_to_the_balances() -> None:
    rows, balances = seeded(20, 95)
    behaviour = AccountBehaviour()
    accounts: dict[str, Account] = {}
    for row in rows:
        address = Address.parse(str(row["address"]))
        assert address.slot == row["shard"]
        event = behaviour.decode_event(
            str(row["type"]), int(str(row["version"])), str(row["payload"]).encode()
        )
        assert isinstance(event, Charged)
        state = accounts.get(address.key) or behaviour.initial(address)
        accounts[address.key] = behaviour.evolve(state, event)
    assert {user: account.balance for user, account in accounts.items()} == balances
    assert set(balances.values()) == {4_000, 5_000}
