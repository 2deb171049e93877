"""An instance whose journal has events that it cannot read serves everything else."""

from __future__ import annotations

import msgspec
import pytest

from actors.errors import EntityCrashedError
from booking.accounts.domain.account import ReservationRecord
from booking.calls import QueueToken
from booking.entities import ledger_address
from tests.support.instance import catalogue, schedule
from tests.support.journals import user_id
from tests.support.runtimes import until
from tests.support.waiting_room import WaitingRoom
from tests.unit.queue.conftest import StartRoom

ANN = QueueToken(user_id(1), "main", 1, 0)


class Renumbered(msgspec.Struct, tag=True):
    """An event of a later release."""

    seat: int


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal has an event of a later release for the date d2."""
    start = WaitingRoom.start

    async def seeded(room: WaitingRoom) -> None:
        room.seed(ledger_address("d2"), Renumbered(7))
        await start(room)

    monkeypatch.setattr(WaitingRoom, "start", seeded)


async def test_events_of_a_later_release_end_no_instance(
    start_room: StartRoom, newer: None
) -> None:
    """
    Given a date with an event of a later release, as in an upgrade that is under way
    When an instance starts that cannot read it
    Then it serves the other dates, refuses that one, and tells of it;
    and as soon as the event can be read, it serves that date, too.
    """
    room = await start_room(dates=catalogue(schedule("d1"), schedule("d2")))
    seats, health = room.services.seats, room.app.node.runtime.health
    assert isinstance((await seats.reserve(ANN, "d1", 1, None)).value, ReservationRecord)
    with pytest.raises(EntityCrashedError):
        await seats.reserve(ANN, "d2", 1, None)
    assert health.statistics().unreadable == 1
    assert health.problem() is None
    ledgers = room.app.node.runtime.behaviour("ledger")
    ledgers.evolve = lambda state, event: state  # type: ignore[method-assign]
    ledgers.decode_event = lambda *row: None  # type: ignore[method-assign]
    await until(lambda: health.statistics().unreadable == 0)
    del ledgers.evolve, ledgers.decode_event
    assert isinstance((await seats.reserve(ANN, "d2", 1, None)).value, ReservationRecord)
