"""A payment's answer depends on money and seat alone; the queue ends the token by itself."""

from __future__ import annotations

import pytest

from actors.errors import NotOwnedError
from booking.accounts.domain.account import PaymentDone, ReservationRecord
from booking.calls import Attempt, QueueToken, TokenError
from booking.entities import account_address, queue_address
from booking.queue.view import QueueStatus
from tests.support.journals import user_id
from tests.support.runtimes import pass_time, until
from tests.support.waiting_room import WaitingRoom
from tests.unit.queue.conftest import StartRoom

KEY = Attempt("k", bytes(16))
QUEUE = queue_address("main")


async def buyer(room: WaitingRoom, seats: int = 1) -> tuple[QueueStatus, QueueToken]:
    """Somebody inside who holds seats and can pay for all of them."""
    status = await room.join(1)
    token = room.services.queue.read_token(status.token)
    for seat in range(1, seats + 1):
        held = await room.services.seats.reserve(token, "d1", seat, None)
        assert isinstance(held.value, ReservationRecord)
    await room.services.accounts.charge(token.user, 1_000_000, None)
    return status, token


async def leave_queue_unserved(room: WaitingRoom) -> None:
    """As while the queue's shard is away: nobody serves it."""
    assert await room.app.node.runtime.shards.release(QUEUE.slot, 1.0)
    with pytest.raises(NotOwnedError):
        await room.app.node.runtime.ask(QUEUE, None)


async def serve_queue_again(room: WaitingRoom) -> None:
    await room.app.node.runtime.shards.claim([QUEUE.slot])


async def test_a_payment_is_answered_while_the_queue_is_away(start_room: StartRoom) -> None:
    """
    Given a seat that is held, and nobody who serves the queue
    When it is paid
    Then the payment is completed at once, and every read says so;
    and the token is ended as soon as the queue is served again.
    """
    room = await start_room()
    _, token = await buyer(room)
    await leave_queue_unserved(room)
    began = room.clock.monotonic()
    paid = (await room.services.accounts.pay(token, "d1", 1, KEY)).value
    assert isinstance(paid, PaymentDone)
    assert room.clock.monotonic() - began < 0.1
    assert (await room.services.accounts.payment(token.user, paid.id)).id == paid.id
    [record] = await room.services.seats.reservations(token.user)
    assert record.status == "COMPLETED"
    await pass_time(5.0)
    assert room.events("TokenUsed") == []
    await serve_queue_again(room)
    await until(lambda: room.events("TokenUsed"))


async def test_a_used_token_opens_nothing_here_from_the_answer_on(start_room: StartRoom) -> None:
    """However long the queue's owner takes to hear of it."""
    room = await start_room()
    status, token = await buyer(room, seats=2)
    queue = room.services.queue
    await leave_queue_unserved(room)
    await room.services.accounts.pay(token, "d1", 1, None)
    assert room.queue.is_active(token, room.clock.now_ms())  # the other seat is still to be paid
    await room.services.accounts.pay(token, "d1", 2, None)
    assert not room.queue.is_active(token, room.clock.now_ms())
    await serve_queue_again(room)
    with pytest.raises(TokenError):
        queue.admitted(status.token)


async def test_the_next_owner_of_the_account_ends_the_token(start_room: StartRoom) -> None:
    """Also when the last one died between the payment and the end of the token."""
    room = await start_room()
    _, token = await buyer(room)
    await leave_queue_unserved(room)
    await room.services.accounts.pay(token, "d1", 1, None)
    slot = account_address(token.user).slot
    shards = room.app.node.runtime.shards
    assert await shards.release(slot, 1.0)
    await pass_time(10.0)  # the step that is on its way finds nobody
    await serve_queue_again(room)
    await pass_time(10.0)
    assert room.events("TokenUsed") == []
    await shards.claim([slot])
    await until(lambda: room.events("TokenUsed"))


async def test_a_token_is_ended_once(start_room: StartRoom) -> None:
    """Whatever is asked of the account afterwards, and whoever owns it."""
    room = await start_room()
    _, token = await buyer(room)
    await room.services.accounts.pay(token, "d1", 1, None)
    await until(lambda: account_address(token.user) not in room.store.timers)
    await room.services.accounts.charge(token.user, 5, None)
    slot = account_address(token.user).slot
    assert await room.app.node.runtime.shards.release(slot, 1.0)
    await room.app.node.runtime.shards.claim([slot])
    await room.services.accounts.charge(token.user, 5, None)
    await pass_time(10.0)
    assert len(room.events("TokenUsed")) == 1
    assert user_id(1) == token.user
