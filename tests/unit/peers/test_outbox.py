"""The outbox takes a frame at a time, and wakes who waits."""

from __future__ import annotations

import asyncio

from actors.core.envelope import Envelope
from actors.errors import OutcomeUnknownError, UnavailableError
from actors.peers.connection import Outbox
from actors.peers.limits import FRAME_OVERHEAD_BYTES, PeerLimits
from actors.peers.protocol import (
    Ping,
    Pong,
    Refusal,
    decode_frame,
    encode,
    error_of,
    frame_of,
    refusal_of,
)

PART = encode(Ping(1.5))


async def test_a_frame_holds_what_was_put_in_order() -> None:
    outbox = Outbox(PeerLimits())
    outbox.put(PART)
    outbox.put(encode(Pong(2.5)))
    count, frame = outbox.take()
    assert (count, decode_frame(frame)) == (2, [Ping(1.5), Pong(2.5)])
    assert outbox.take()[0] == 0


async def test_a_frame_is_never_longer_than_its_limit() -> None:
    limit = FRAME_OVERHEAD_BYTES + 3 * len(PART)
    outbox = Outbox(PeerLimits(frame_bytes_max=limit, frame_messages_max=100))
    for _ in range(7):
        outbox.put(PART)
    taken = [outbox.take() for _ in range(3)]
    assert [count for count, _ in taken] == [3, 3, 1]
    assert max(len(frame) for _, frame in taken) == limit


async def test_a_frame_never_holds_more_messages_than_its_limit() -> None:
    outbox = Outbox(PeerLimits(frame_messages_max=2))
    for _ in range(5):
        outbox.put(PART)
    assert [outbox.take()[0] for _ in range(3)] == [2, 2, 1]
    assert outbox.taken_count == outbox.put_count == 5


async def test_who_gave_up_before_it_left_is_not_sent() -> None:
    outbox = Outbox(PeerLimits())
    loop = asyncio.get_running_loop()
    patient, impatient = (Envelope(None, None, loop.create_future()) for _ in range(2))
    outbox.put(PART, impatient)
    outbox.put(encode(Pong(2.5)), patient)
    assert impatient.future is not None
    impatient.future.cancel()
    count, frame = outbox.take()
    assert (count, decode_frame(frame)) == (1, [Pong(2.5)])
    assert outbox.taken_count == 2


async def test_the_sender_is_woken_after_the_turn_of_who_put() -> None:
    outbox = Outbox(PeerLimits())
    sender = asyncio.create_task(outbox.filled())
    await asyncio.sleep(0)
    outbox.put(PART)
    outbox.put(PART)
    await asyncio.wait_for(sender, 30)
    assert outbox.take()[0] == 2


async def test_who_waits_for_room_is_woken_by_room_and_by_the_end() -> None:
    for end in (Outbox.take, Outbox.close):
        outbox = Outbox(PeerLimits(outbox_bytes_max=1))
        outbox.put(PART)
        waiter = asyncio.create_task(outbox.drained())
        await asyncio.sleep(0)
        assert not waiter.done()
        end(outbox)
        await asyncio.wait_for(waiter, 30)


def test_messages_may_grow_at_their_end() -> None:
    longer = frame_of([b"\x93" + PART[1:] + b"\x07"])
    assert decode_frame(longer) == [Ping(1.5)]


def test_a_reason_of_a_newer_version_leaves_the_outcome_unknown() -> None:
    assert isinstance(error_of(Refusal(1, "tired")), OutcomeUnknownError)


def test_only_the_errors_of_an_ask_travel() -> None:
    assert refusal_of(1, RuntimeError("secret words of a user")) is None
    message = refusal_of(1, UnavailableError("x" * 1_000, 2.0))
    assert message is not None
    assert (len(message.detail), message.retry_after_s) == (200, 2.0)
