"""Consumers on the operators' side: over HTTP and on the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from actors.consumers.contract import Consumer, Event
from booking.accounts.domain.account import Charged
from booking.entities import account_address
from tests.support.admin_edge import AdminEdge
from tests.support.consumers import Effects, note
from tests.support.edge import eventually
from tests.support.journals import user_id
from tests.unit.admin.test_command_line import Booking, booking

__all__ = ["booking"]

USER = account_address(user_id(7))


class Notes:
    """Takes everything but the second event of the one user."""

    def __init__(self) -> None:
        self.effects = Effects()
        self.taken: list[Any] = []
        self.refuses = True

    async def handle(self, events: Sequence[Event], connection: Any) -> None:
        if self.refuses and any(each.seq == 2 for each in events):
            raise ValueError("what people sent")
        self.taken += [each.data for each in events]
        await note(events, connection)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
async def admin(notes: Notes) -> AsyncIterator[AdminEdge]:
    edge = AdminEdge(consumers=[(Consumer(name="notes", handle=notes.handle), notes.effects)])
    for number in range(1, 4):
        edge.instance.seed(USER, Charged(f"chg-{number}", 1_000, number * 1_000))
    await edge.start()
    yield edge
    await edge.stop()


async def the_only_one(admin: AdminEdge) -> Any:
    [view] = (await admin("GET", "/admin/consumers")).data["items"]
    return view


async def stopped(admin: AdminEdge, notes: Notes) -> Any:
    await eventually(lambda: any(one.trouble for one in notes.effects.offsets.values()))
    return await the_only_one(admin)


async def test_one_that_stopped_is_shown_with_its_reason(admin: AdminEdge, notes: Notes) -> None:
    """Given a consumer that cannot take the second of three events, when it is looked at, then it
    is behind by two and says at which it stopped, in words that hold nothing that people sent."""
    view = await stopped(admin, notes)
    [at] = view["stopped"]
    assert (view["name"], view["state"], view["behind"]) == ("notes", "stopped", 2)
    assert (at["shard"], at["seq"], at["poisonSeq"]) == (USER.slot, 1, 2)
    assert at["trouble"].startswith("ValueError at ")
    assert "people" not in at["trouble"]
    assert notes.taken == [Charged("chg-1", 1_000, 1_000)]


async def test_the_event_is_skipped_with_a_reason(admin: AdminEdge, notes: Notes) -> None:
    await stopped(admin, notes)
    path, body = "/admin/consumers/notes/skip", {"shard": USER.slot, "reason": "a test account"}
    answer = await admin("POST", path, body, headers={"X-Admin-User": "kim"})
    assert answer.data["seq"] == 2

    await eventually(lambda: len(notes.taken) == 2)
    view = await the_only_one(admin)
    assert (view["state"], view["behind"]) == ("running", 0)
    [skip] = view["skipped"]
    assert (skip["seq"], skip["reason"]) == (2, "a test account")
    who, what, detail = (await admin.said())[0]
    assert (who.split()[0], what) == ("kim", "consumer_skip")
    assert detail == {"consumer": "notes", **body}
    again = await admin("POST", path, body)
    assert (again.status, again.code) == (409, "nothing_to_skip")


async def test_one_that_is_mended_is_resumed_and_misses_nothing(
    admin: AdminEdge, notes: Notes
) -> None:
    await stopped(admin, notes)
    notes.refuses = False
    assert (await admin("POST", "/admin/consumers/notes/resume")).status == 200

    await eventually(lambda: len(notes.taken) == 3)
    assert notes.effects.by_shard() == {USER.slot: [1, 2, 3]}


async def test_it_is_paused_and_rewound(admin: AdminEdge, notes: Notes) -> None:
    await stopped(admin, notes)
    notes.refuses = False
    assert (await admin("POST", "/admin/consumers/notes/pause")).status == 200
    assert (await the_only_one(admin))["state"] == "paused"
    body = {"seq": 0, "shards": [USER.slot]}
    assert (await admin("POST", "/admin/consumers/notes/rewind", body)).status == 200
    assert (await the_only_one(admin))["behind"] == 3
    await admin("POST", "/admin/consumers/notes/resume")

    await eventually(lambda: len(notes.taken) == 4)
    assert [what for _, what, _ in await admin.said()] == [
        "consumer_pause",
        "consumer_rewind",
        "consumer_resume",
    ]


async def test_one_that_is_not_there_is_unknown(admin: AdminEdge) -> None:
    for verb, body in (("pause", None), ("skip", {"shard": 1, "reason": "x"}), ("rewind", {})):
        answer = await admin("POST", f"/admin/consumers/nobody/{verb}", body)
        assert (answer.status, answer.code) == (404, "unknown_consumer")


@pytest.mark.parametrize("body", [{}, {"shard": 1}, {"shard": 256, "reason": "x"}])
async def test_skipping_needs_a_shard_and_a_reason(admin: AdminEdge, body: Any) -> None:
    assert (await admin("POST", "/admin/consumers/notes/skip", body)).status == 400


async def test_the_command_line_shows_and_steers(
    admin: AdminEdge, notes: Notes, booking: Booking
) -> None:
    await stopped(admin, notes)
    shown = await booking("consumers", "show")
    assert shown.lines[1] == ["notes", "stopped", "2"]
    assert f"notes stopped in shard {USER.slot} after seq 1: ValueError at" in shown.out
    shard = str(USER.slot)
    assert (await booking("consumers", "skip", "notes", shard)).status == 2
    ran = await booking("consumers", "skip", "notes", shard, "--reason", "a test account")
    assert ran.out == f"notes goes on in shard {shard}.\n"
    assert "a test account" in (await booking("consumers", "show")).out
    assert (await booking("consumers", "pause", "notes")).status == 0
    assert (await booking("consumers", "rewind", "notes", shard, "--seq", "1")).status == 0
    assert (await booking("consumers", "resume", "notes")).status == 0
    assert (await booking("consumers", "resume", "nobody")).status == 1
