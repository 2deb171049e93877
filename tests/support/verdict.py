"""Whether everything that a storm's clients were told is still true."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from booking import audit
from booking.audit.report import render
from tests.support.api_client import Api
from tests.support.storm import Account, Call, Storm, told

T = TypeVar("T")
TOGETHER_MAX = 50
PAGE = 100


async def all_is_true(storm: Storm, api: Api, dates: Iterable[str], *database_urls: str) -> None:
    """Money, seats, holds and replays are as the clients were told, and the journal is sound."""
    assert storm.answered > 0
    await _each(list(storm.accounts.items()), lambda one: _money(api, *one))
    await _seats(storm, api, dates)
    await _each(list(storm.accounts.items()), lambda one: _holds(api, *one))
    stored = (call for call in storm.calls if call.key is not None and not call.to_be_repeated)
    keyed = {call.key: call for call in stored}
    await _each(list(keyed.values()), lambda call: _replay(api, call))
    report = await audit.run(*database_urls)
    assert report.ok, render(report)
    charged = sum(sum(account.charged) for account in storm.accounts.values())
    balances = sum(account.balance for account in storm.accounts.values())
    assert (report.charged, report.balances) == (charged, balances), render(report)


async def _each(things: Sequence[T], look: Callable[[T], Awaitable[None]]) -> None:
    for first in range(0, len(things), TOGETHER_MAX):
        await asyncio.gather(*(look(thing) for thing in things[first : first + TOGETHER_MAX]))


async def _money(api: Api, user: str, account: Account) -> None:
    assert await api.balance(user) == account.balance, user
    history = await _pages(api, "/user/history", user)
    charged = [item["amount"] for item in history if item["type"] == "CHARGE"]
    assert charged[::-1] == account.charged, user
    used = [item["amount"] for item in history if item["type"] == "USE"]
    refunded = [item["amount"] for item in history if item["type"] == "REFUND"]
    assert sum(used) - sum(refunded) == sum(amount for _, amount in account.paid.values()), user
    paid = await _pages(api, "/payments", user)
    assert [(each["id"], (each["seatId"], each["totalAmount"])) for each in paid[::-1]] == list(
        account.paid.items()
    ), user


async def _pages(api: Api, path: str, user: str) -> list[Any]:
    query = {"userId": user, "limit": str(PAGE)}
    items: list[Any] = []
    while True:
        page = (await api.call("GET", f"{path}?{urlencode(query)}")).data
        items += page["items"]
        if not page["has_more"]:
            return items
        query["starting_after"] = items[-1]["id"]


async def _seats(storm: Storm, api: Api, dates: Iterable[str]) -> None:
    sold = Counter(seat for one in storm.accounts.values() for seat, _ in one.paid.values())
    assert not [seat for seat, times in sold.items() if times > 1], "sold twice"
    held = Counter(seat for one in storm.accounts.values() for seat in one.held.values())
    assert not [seat for seat, times in held.items() if times > 1], "held twice"
    _, token = await api.enter()
    assert await shown_seats(api, token, dates) == expected_seats(storm)


def expected_seats(storm: Storm) -> dict[str, set[str]]:
    """Seats held and sold, by what clients were told."""
    accounts = storm.accounts.values()
    return {
        "held": {seat for one in accounts for seat in one.held.values()},
        "sold": {seat for one in accounts for seat, _ in one.paid.values()},
    }


async def shown_seats(api: Api, token: str, dates: Iterable[str]) -> dict[str, set[str]]:
    """Seats held and sold, by the list of each date."""
    shown: dict[str, set[str]] = {"available": set(), "held": set(), "sold": set()}
    for date in dates:
        for seat in (await api.seats(token, date, all="true")).data:
            shown[seat["state"]].add(seat["id"])
    del shown["available"]
    return shown


async def _holds(api: Api, user: str, account: Account) -> None:
    assert account.token is None, "every visit ends with leaving"
    _, token = await api.enter(user)
    mine = (await api.call("GET", "/reservations", token=token)).data
    pending = {each["id"]: each["seat"]["id"] for each in mine if each["status"] == "PENDING"}
    assert pending == account.held, user
    assert (await api.leave(token)).status == 204


async def _replay(api: Api, call: Call) -> None:
    again = await api.call(call.method, call.path, body=call.body, token=call.token, key=call.key)
    assert again.headers.get("Idempotent-Replayed") == "true", (call, again)
    assert told(again) == told(call.reply), (call, again)
