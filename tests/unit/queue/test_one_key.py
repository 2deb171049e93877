"""One Idempotency-Key has one outcome and one effect, in whatever order its tries arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.errors import KeyReusedError
from booking.accounts.domain.account import (
    NoteOutcome,
    NoteReservation,
    OutcomeNoted,
    Reservation,
)
from booking.calls import Attempt, Outcome, QueueToken, TokenError, command_key, new_id, step_key
from booking.domain.decision import Code, Rejected
from booking.entities import account_address, ledger_address, seat_address
from booking.queue.domain.queue import Join
from booking.queue.view import QueueStatus
from booking.seats.domain.seat import HoldSeat
from booking.seats.service import ReservationRecord
from tests.support.instance import catalogue, schedule
from tests.support.journals import user_id
from tests.support.runtimes import pass_time, until
from tests.support.waiting_room import WaitingRoom
from tests.unit.queue.conftest import StartRoom

ANN, BOB = (QueueToken(user_id(number), "main", number, 0) for number in (1, 2))
KEY = Attempt("k", b"a" * 16)
OTHER_BODY = Attempt("k", b"b" * 16)
DATES = catalogue(schedule("d1"), schedule("d2"), schedule("v1", concert="vip", queue="vip"))


class Gates:
    """Holds messages back on their way to an entity, as a slow link or a pause does."""

    def __init__(self, room: WaitingRoom) -> None:
        self._ask = room.app.node.router.ask
        self._closed: list[tuple[Callable[[Any], bool], asyncio.Event]] = []
        room.app.node.router.ask = self.ask  # type: ignore[method-assign]

    def hold_next(
        self, kind: type, matches: Callable[[Any], bool] = lambda _: True
    ) -> asyncio.Event:
        """The next command of this kind waits until the event is set."""
        gate = asyncio.Event()
        self._closed.append((lambda command: isinstance(command, kind) and matches(command), gate))
        return gate

    async def ask(self, address: Any, command: Any, **options: Any) -> Any:
        for entry in self._closed:
            if entry[0](command):
                self._closed.remove(entry)
                await entry[1].wait()
                break
        return await self._ask(address, command, **options)


def reserve(
    room: WaitingRoom,
    token: QueueToken = ANN,
    seat: int = 7,
    attempt: Attempt = KEY,
    date: str = "d1",
) -> asyncio.Task[Outcome[ReservationRecord | Rejected]]:
    return asyncio.create_task(room.services.seats.reserve(token, date, seat, attempt))


async def hand_over_account(room: WaitingRoom) -> None:
    """The account's shard is released and claimed again, as in a planned move."""
    slot, shards = account_address(ANN.user).slot, room.app.node.runtime.shards
    assert await shards.release(slot, 1.0)
    await shards.claim([slot])


async def held_by_bob(room: WaitingRoom) -> Callable[[], Any]:
    """Bob holds the seat until he gives it back."""
    held = await room.services.seats.reserve(BOB, "d1", 7, None)
    assert isinstance(held.value, ReservationRecord)
    reservation = held.value.reservation.id
    return lambda: room.services.seats.release(BOB, reservation)


async def shown(room: WaitingRoom) -> list[str]:
    """The states of all reservations that Ann is told of."""
    return [record.status for record in await room.services.seats.reservations(ANN)]


def holds(room: WaitingRoom) -> int:
    return room.app.views.seats.get("d1").ledger.held  # type: ignore[union-attr]


@pytest.mark.parametrize("between", ["a hand-over", "eleven seconds", "nothing"])
async def test_a_refusal_that_is_late_gives_way_to_the_hold(
    start_room: StartRoom, between: str
) -> None:
    """
    Given a first try that is told that the seat is taken, and is slow to note it
    When the seat comes free, and a second try with the same key holds it
    Then the first try is answered with that hold, too.
    """
    room = await start_room()
    gates, give_back = Gates(room), await held_by_bob(room)
    gate = gates.hold_next(NoteOutcome)
    first = reserve(room)
    await pass_time(0.5)
    await give_back()
    if between == "a hand-over":
        await hand_over_account(room)
    elif between == "eleven seconds":
        await pass_time(11.0)
    second = await reserve(room)
    gate.set()
    third = await reserve(room)
    assert isinstance(second.value, ReservationRecord)
    assert (await first).value == second.value == third.value
    assert third.replayed
    assert await shown(room) == ["PENDING"]


async def test_a_hold_that_comes_after_the_refusal_is_taken_back(start_room: StartRoom) -> None:
    """
    Given a refusal that is on its way to the account
    When a second try holds the seat, and the refusal is noted first
    Then both tries are refused, and the seat is free.
    """
    room = await start_room()
    gates, give_back = Gates(room), await held_by_bob(room)
    refusal = gates.hold_next(NoteOutcome)
    first = reserve(room)
    await pass_time(0.5)
    await give_back()
    grant = gates.hold_next(NoteOutcome)
    second = reserve(room)
    await pass_time(0.5)
    assert holds(room) == 1
    refusal.set()
    refused = (await first).value
    grant.set()
    assert isinstance(refused, Rejected)
    assert ((await second).value, (await reserve(room)).value) == (refused, refused)
    assert holds(room) == 0
    assert await shown(room) == []


async def test_two_notes_at_once_leave_no_hold_behind(start_room: StartRoom) -> None:
    """The second waits for the first, which another try is storing just then."""
    room = await start_room()
    gates, give_back = Gates(room), await held_by_bob(room)
    refusal = gates.hold_next(NoteOutcome)
    first = reserve(room)
    await pass_time(0.5)
    await give_back()
    grant = gates.hold_next(NoteOutcome)
    second = reserve(room)
    await pass_time(0.5)
    room.journal.latency_s = 0.1
    refusal.set()
    await pass_time(0.05)
    grant.set()
    assert isinstance((await first).value, Rejected)
    assert (await second).value == (await first).value
    assert holds(room) == 0


async def test_a_late_message_never_holds_again(start_room: StartRoom) -> None:
    """
    Given a first try whose message to the seat is late
    When a second try holds the seat, and its user gives it back
    Then the late message changes nothing, and the answer is the stored one.
    """
    room = await start_room()
    gate = Gates(room).hold_next(HoldSeat)
    first = reserve(room)
    await pass_time(0.5)
    second = (await reserve(room)).value
    assert isinstance(second, ReservationRecord)
    await room.services.seats.release(ANN, second.reservation.id)
    gate.set()
    assert (await first).value == second
    assert len(room.events("SeatHeld")) == 1
    assert await shown(room) == ["CANCELLED"]


async def test_a_late_message_never_lines_up_again(start_room: StartRoom) -> None:
    room = await start_room()
    gate = Gates(room).hold_next(Join)
    queue = room.services.queue
    first = asyncio.create_task(queue.issue(ANN.user, "main", KEY))
    await pass_time(0.5)
    second = (await queue.issue(ANN.user, "main", KEY)).value
    assert isinstance(second, QueueStatus)
    await queue.leave(queue.read_token(second.token))
    gate.set()
    assert (await first).value == second
    assert len([*room.events("Joined"), *room.events("Entered")]) == 1


async def test_what_a_lost_try_did_is_its_repeats_answer(start_room: StartRoom) -> None:
    """The process dies between the hold and the note."""
    room = await start_room()
    gates = Gates(room)
    gates.hold_next(NoteOutcome)
    lost = reserve(room)
    await until(lambda: room.events("SeatHeld"))
    lost.cancel()
    await hand_over_account(room)
    again = await reserve(room)
    assert isinstance(again.value, ReservationRecord)
    assert len(room.events("SeatHeld")) == 1
    assert await shown(room) == ["PENDING"]


@pytest.mark.parametrize("slow", [HoldSeat, NoteOutcome])
async def test_one_key_for_two_dates_at_once_holds_one_seat(
    start_room: StartRoom, slow: type
) -> None:
    """The two seats are decided on two shards; the account says which is the key's."""
    room = await start_room(dates=DATES)
    gate = Gates(room).hold_next(slow)
    one = reserve(room)
    await pass_time(0.5)
    other = await reserve(room, attempt=OTHER_BODY, date="d2")
    gate.set()
    with pytest.raises(KeyReusedError):
        await one
    assert isinstance(other.value, ReservationRecord)
    assert await shown(room) == ["PENDING"]
    states = await room.app.node.runtime.load_state([ledger_address("d1"), ledger_address("d2")])
    assert [state.held for state in states] == [0, 1]
    with pytest.raises(KeyReusedError):
        await reserve(room)


async def test_one_key_for_two_queues_at_once_is_one_place(start_room: StartRoom) -> None:
    room = await start_room(dates=DATES)
    gate = Gates(room).hold_next(NoteOutcome)
    queue = room.services.queue
    one = asyncio.create_task(queue.issue(ANN.user, "main", KEY))
    await pass_time(0.5)
    other = await queue.issue(ANN.user, "vip", OTHER_BODY)
    gate.set()
    with pytest.raises(KeyReusedError):
        await one
    assert isinstance(other.value, QueueStatus)
    views = room.app.views.queues
    await until(lambda: [views[name].active for name in ("main", "vip")] == [0, 1])


async def test_a_used_key_is_refused_before_anything_is_done(start_room: StartRoom) -> None:
    """Also if its outcome was a refusal, which holds nothing."""
    room = await start_room(dates=DATES)
    await held_by_bob(room)
    assert isinstance((await reserve(room)).value, Rejected)
    with pytest.raises(KeyReusedError):
        await reserve(room, attempt=OTHER_BODY, date="d2")
    assert len(room.events("SeatHeld")) == 1


@pytest.mark.parametrize("keyed", [True, False])
async def test_a_token_used_up_meanwhile_reserves_nothing(
    start_room: StartRoom, keyed: bool
) -> None:
    """
    Given a hold that the account does not know of yet
    When a payment of the user's only other seat uses the token up
    Then the hold is taken back, and the token opens nothing: not with the same key either.
    """
    room = await start_room()
    token = room.services.queue.read_token((await room.join(1)).token)
    await room.services.seats.reserve(token, "d1", 1, None)
    await room.services.accounts.charge(token.user, 1_000_000, None)
    gate = Gates(room).hold_next(NoteOutcome if keyed else NoteReservation)
    attempt = KEY if keyed else None
    late = asyncio.create_task(room.services.seats.reserve(token, "d1", 2, attempt))
    await pass_time(0.5)
    assert holds(room) == 2
    await room.services.accounts.pay(token, "d1", 1, None)
    gate.set()
    for _ in range(2):
        with pytest.raises(TokenError):
            await late
        late = asyncio.create_task(room.services.seats.reserve(token, "d1", 2, attempt))
    with pytest.raises(TokenError):
        await late
    assert holds(room) == 0


async def test_however_many_keys_are_under_way_others_are_served(start_room: StartRoom) -> None:
    """Of one user, or of all users of a shard: here 1,100 tries wait on their way back."""
    room = await start_room()
    await held_by_bob(room)
    gates = Gates(room)
    notes = [gates.hold_next(NoteOutcome) for _ in range(1_100)]
    tries = [reserve(room, attempt=Attempt(str(n), bytes(16))) for n in range(len(notes))]
    await pass_time(1.0)
    neighbour = next(
        user
        for user in map(user_id, range(3, 10_000))
        if account_address(user).slot == account_address(ANN.user).slot
    )
    outcome = await reserve(room, QueueToken(neighbour, "main", 3, 0), seat=8)
    assert isinstance(outcome.value, ReservationRecord)
    for note in notes:
        note.set()
    assert {type((await one).value) for one in tries} == {Rejected}


# -- beside the release before ---------------------------------------------------------------------


async def test_an_outcome_of_the_release_before_is_told(start_room: StartRoom) -> None:
    """It is stored with the account alone, and the seat does not know the key."""
    room = await start_room()
    key = command_key(ANN.user, "reservation", KEY)
    stored = ReservationRecord(Reservation(new_id("rsv", key), "d1", 7, 1, 0, 5), "PENDING")
    note = NoteOutcome(msgspec.msgpack.encode(stored))
    await room.app.node.router.ask(account_address(ANN.user), note, key=key)
    again = await reserve(room)
    assert (again.value, again.replayed) == (stored, True)
    assert room.events("SeatHeld") == []


async def test_an_account_of_the_release_before_is_told_twice(
    start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner stores the outcome, and does not know that a reservation comes with it."""
    room = await start_room()
    ask = room.app.node.router.ask

    async def by_the_release_before(address: Any, command: Any, **options: Any) -> Any:
        if isinstance(command, NoteOutcome):
            command = NoteOutcome(command.body)
        return await ask(address, command, **options)

    monkeypatch.setattr(room.app.node.router, "ask", by_the_release_before)
    assert isinstance((await reserve(room)).value, ReservationRecord)
    assert await shown(room) == ["PENDING"]


async def test_a_seat_of_the_release_before_may_store_a_refusal(
    start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that asks to come back is decided anew all the same."""
    room = await start_room()
    key = command_key(ANN.user, "reservation", KEY)
    address = seat_address("d1", 7)
    behaviour = room.app.node.runtime.behaviour("seat")
    cooling = Rejected(Code.HOLD_COOLING_DOWN, "Wait.", retry_after_ms=1_000)
    decide = behaviour.decide
    monkeypatch.setattr(
        behaviour,
        "decide",
        lambda turn: msgspec.structs.replace(decide(turn), reply=cooling, events=[], final=True),
    )
    hold = HoldSeat(ANN.user, new_id("rsv", key))
    kept = await room.app.node.router.ask(address, hold, key=step_key(key))
    assert kept.reply == cooling
    monkeypatch.undo()
    assert isinstance((await reserve(room)).value, ReservationRecord)


def test_what_is_stored_reads_as_the_release_before_wrote_it() -> None:
    assert msgspec.msgpack.encode(OutcomeNoted(b"x")) == msgspec.msgpack.encode(
        {"type": "OutcomeNoted", "body": b"x"}
    )
