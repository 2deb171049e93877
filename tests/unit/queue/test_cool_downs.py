"""A seat that was let go rests from its last holder, whatever becomes of who decided that."""

from __future__ import annotations

import pytest

from booking.accounts.domain.account import ReservationRecord
from booking.calls import Attempt, QueueToken
from booking.domain.decision import Code, Rejected
from tests.support.journals import user_id
from tests.support.runtimes import pass_time
from tests.support.waiting_room import WaitingRoom
from tests.unit.queue.conftest import StartRoom

HOLD_S = 300
COOL_DOWN_MS = 30_000
SEAT = 7
ANN, BOB = (QueueToken(user_id(number), "main", number, 0) for number in (1, 2))


async def reserve(
    room: WaitingRoom, token: QueueToken, seat: int = SEAT, key: str | None = None
) -> ReservationRecord | Rejected:
    attempt = Attempt(key, bytes(16)) if key else None
    outcome = await room.services.seats.reserve(token, "d1", seat, attempt)
    assert isinstance(outcome.value, ReservationRecord | Rejected)
    return outcome.value


async def lapsed(room: WaitingRoom) -> None:
    """Ann has held the seat for the whole of a hold."""
    held = await reserve(room, ANN)
    assert isinstance(held, ReservationRecord)
    await pass_time(HOLD_S)


def left_ms(refused: ReservationRecord | Rejected) -> int:
    assert isinstance(refused, Rejected)
    assert refused.code is Code.HOLD_COOLING_DOWN
    return refused.retry_after_ms


async def test_a_rest_outlives_the_process_that_decided_it(start_room: StartRoom) -> None:
    room = await start_room()
    await lapsed(room)
    left_before_ms = left_ms(await reserve(room, ANN))
    await room.stop()
    other = await start_room(name="two")
    assert 0 < left_ms(await reserve(other, ANN)) <= left_before_ms <= COOL_DOWN_MS
    assert isinstance(await reserve(other, BOB), ReservationRecord)


@pytest.mark.parametrize("snapshot_bytes_min", [1, 1_000_000])
async def test_a_rest_outlives_the_seat_in_memory(
    start_room: StartRoom, snapshot_bytes_min: int
) -> None:
    room = await start_room(entities_max=2, snapshot_bytes_min=snapshot_bytes_min)
    await lapsed(room)
    for other in range(1, 5):
        assert isinstance(await reserve(room, BOB, other), ReservationRecord)
    assert left_ms(await reserve(room, ANN)) > 0


async def test_a_seat_is_its_last_holders_again_to_the_millisecond(start_room: StartRoom) -> None:
    room = await start_room()
    await lapsed(room)
    await pass_time(left_ms(await reserve(room, ANN)) / 1000 - 0.001)
    assert left_ms(await reserve(room, ANN)) == 1
    await pass_time(0.001)
    assert isinstance(await reserve(room, ANN), ReservationRecord)


async def test_a_repeat_of_the_first_hold_is_told_of_it_all_through_the_rest(
    start_room: StartRoom,
) -> None:
    room = await start_room()
    first = await reserve(room, ANN, key="first")
    await pass_time(HOLD_S)
    assert left_ms(await reserve(room, ANN, key="second")) > 0
    assert await reserve(room, ANN, key="first") == first


async def test_the_refusal_is_not_what_a_repeat_after_the_rest_is_told(
    start_room: StartRoom,
) -> None:
    room = await start_room()
    await lapsed(room)
    await pass_time(left_ms(await reserve(room, ANN, key="again")) / 1000)
    held = await reserve(room, ANN, key="again")
    assert isinstance(held, ReservationRecord)
    assert await reserve(room, ANN, key="again") == held


async def test_a_hold_given_up_leaves_a_rest_of_its_share(start_room: StartRoom) -> None:
    room = await start_room()
    held = await reserve(room, ANN)
    assert isinstance(held, ReservationRecord)
    await pass_time(HOLD_S / 2)
    assert await room.services.seats.release(ANN, held.reservation.id) is None
    assert left_ms(await reserve(room, ANN)) == pytest.approx(COOL_DOWN_MS / 2, abs=10)
