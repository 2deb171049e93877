"""One Idempotency-Key has one outcome and one effect, in whatever order its tries arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from actors.errors import KeyReusedError
from actors.journal.contract import Batch, JournalError
from booking.accounts.domain.account import (
    NoteOutcome,
    NoteReservation,
    OutcomeNoted,
    PaymentDone,
    Reservation,
    ReservationRecord,
)
from booking.calls import CALL_MAX_S, Attempt, Outcome, QueueToken, TokenError, command_key, new_id
from booking.domain.decision import Code, Rejected
from booking.entities import account_address, ledger_address, seat_address
from booking.queue.domain.events import Policy
from booking.queue.domain.queue import Join
from booking.queue.view import QueueStatus
from booking.seats.domain.seat import HoldSeat
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
    """Holds messages back on their way to an entity, as a slow link or a pause does: those of the
    callers, and those that entities send beside their decisions."""

    def __init__(self, room: WaitingRoom) -> None:
        router, sagas = room.app.node.router, room.app.node.runtime.sagas
        self._ask, self._forward = router.ask, router.forward
        self._closed: list[tuple[Callable[[Any], bool], asyncio.Event]] = []
        router.ask = self.ask  # type: ignore[method-assign]
        sagas.ask_anywhere = self.forward

    def hold_next(
        self, kind: type, matches: Callable[[Any], bool] = lambda _: True
    ) -> asyncio.Event:
        """The next command of this kind waits until the event is set."""
        gate = asyncio.Event()
        self._closed.append((lambda command: isinstance(command, kind) and matches(command), gate))
        return gate

    async def _pass(self, command: Any) -> None:
        for entry in self._closed:
            if entry[0](command):
                self._closed.remove(entry)
                await entry[1].wait()
                break

    async def ask(self, address: Any, command: Any, **options: Any) -> Any:
        await self._pass(command)
        return await self._ask(address, command, **options)

    def forward(self, address: Any, command: Any, key: Any = None) -> asyncio.Future[Any]:
        if not any(entry[0](command) for entry in self._closed):
            return self._forward(address, command, key)

        async def later() -> Any:
            await self._pass(command)
            return await self._forward(address, command, key)

        return asyncio.ensure_future(later())


def reserve(
    room: WaitingRoom,
    token: QueueToken = ANN,
    seat: int = 7,
    attempt: Attempt = KEY,
    date: str = "d1",
) -> asyncio.Task[Outcome[ReservationRecord | Rejected]]:
    return asyncio.create_task(room.services.seats.reserve(token, date, seat, attempt))


async def hand_over(room: WaitingRoom, slot: int) -> None:
    """The shard is released and claimed again, as in a planned move."""
    shards = room.app.node.runtime.shards
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
    return [record.status for record in await room.services.seats.reservations(ANN.user)]


def holds(room: WaitingRoom) -> int:
    return room.app.views.seats.get("d1").ledger.held  # type: ignore[union-attr]


async def test_a_refusal_is_the_answer_to_every_try(start_room: StartRoom) -> None:
    """Also once the seat is free, and by the next owner of its shard: the seat has stored it."""
    room = await start_room()
    give_back = await held_by_bob(room)
    first = (await reserve(room)).value
    await give_back()
    await hand_over(room, seat_address("d1", 7).slot)
    again = await reserve(room)
    assert isinstance(first, Rejected)
    assert (again.value, again.replayed) == (first, True)
    assert len(room.events("SeatHeld")) == 1
    assert await shown(room) == []


async def test_a_refusal_that_asks_to_come_back_is_decided_anew(start_room: StartRoom) -> None:
    room = await start_room()
    held = (await reserve(room, attempt=Attempt("first", b"a" * 16))).value
    assert isinstance(held, ReservationRecord)
    await pass_time(200.0)
    await room.services.seats.release(ANN, held.reservation.id)
    refused = (await reserve(room)).value
    assert isinstance(refused, Rejected)
    assert refused.code is Code.HOLD_COOLING_DOWN
    await pass_time(30.0)
    assert isinstance((await reserve(room)).value, ReservationRecord)


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
    """Its instance dies while the account has not heard of the hold."""
    room = await start_room()
    gate = Gates(room).hold_next(NoteOutcome)
    lost = reserve(room)
    await until(lambda: room.events("SeatHeld"))
    lost.cancel()
    await hand_over(room, account_address(ANN.user).slot)
    again = await reserve(room)
    assert isinstance(again.value, ReservationRecord)
    gate.set()
    await pass_time(1.0)
    assert len(room.events("SeatHeld")) == 1
    assert await shown(room) == ["PENDING"]


async def test_an_account_that_the_seat_does_not_reach_is_told_by_the_caller(
    start_room: StartRoom,
) -> None:
    """
    Given a seat whose owner is cut off from the account's owner
    When somebody whose instance reaches both holds it
    Then the answer waits for a moment only, and every read tells of the hold.
    """
    room = await start_room()
    Gates(room).hold_next(NoteOutcome)
    began = room.clock.monotonic()
    held = await reserve(room)
    assert isinstance(held.value, ReservationRecord)
    assert room.clock.monotonic() - began < 2.0
    assert await shown(room) == ["PENDING"]


async def test_a_call_that_cannot_be_noted_is_refused_when_its_caller_goes(
    start_room: StartRoom,
) -> None:
    """The caller has waited for the seat before, and does not wait as long again."""
    room = await start_room()
    gates = Gates(room)
    for _ in range(2):
        gates.hold_next(NoteOutcome)
    began = room.clock.monotonic()
    ask = room.app.node.router.ask
    deadlines: list[float] = []

    async def noted(address: Any, command: Any, **options: Any) -> Any:
        if isinstance(command, NoteOutcome):
            deadlines.append(room.clock.monotonic() + options["timeout_s"])
        return await ask(address, command, **options)

    room.app.node.router.ask = noted  # type: ignore[method-assign]
    waiting = reserve(room)
    await until(lambda: bool(deadlines))
    waiting.cancel()
    assert deadlines[0] - began <= CALL_MAX_S + 0.1


async def test_a_repeat_right_after_a_payment_is_told_it(start_room: StartRoom) -> None:
    """A payment is answered when its seat is sold, while its end is still to be written."""
    room = await start_room()
    token = room.services.queue.read_token((await room.join(1)).token)
    await room.services.accounts.charge(token.user, 1_000_000, None)
    await room.services.seats.reserve(token, "d1", 7, None)
    room.journal.latency_s = 0.1
    paid = await room.services.accounts.pay(token, "d1", 7, KEY)
    again = await room.services.accounts.pay(token, "d1", 7, KEY)
    assert (again.value, again.replayed) == (paid.value, True)


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
    assert (await queue.issue(ANN.user, "vip", OTHER_BODY)).value == other.value


@pytest.mark.parametrize("refused", [True, False])
async def test_a_used_key_holds_no_other_seat(start_room: StartRoom, refused: bool) -> None:
    """Not of another date either, which has never seen the key; also if it was refused."""
    room = await start_room(dates=DATES)
    if refused:
        await held_by_bob(room)
    assert isinstance((await reserve(room)).value, Rejected if refused else ReservationRecord)
    for date in ("d1", "d2", "d2"):
        with pytest.raises(KeyReusedError):
            await reserve(room, seat=8, attempt=OTHER_BODY, date=date)
    ledgers = [ledger_address("d1"), ledger_address("d2")]
    states = await room.app.node.runtime.load_state(ledgers)
    assert [state.held for state in states] == [1, 0]
    assert await shown(room) == ([] if refused else ["PENDING"])


async def test_a_repeated_place_reads_to_the_letter(start_room: StartRoom) -> None:
    """However the line has moved meanwhile: the queue has stored what was told."""
    room = await start_room(Policy(max_active=1, admit_per_interval=0, active_ms=600_000))
    await room.crowd(5)
    user, queue = user_id(9), room.services.queue
    first = await queue.issue(user, "main", KEY)
    await room.crowd(5, first=10)
    await pass_time(700.0)
    again = await queue.issue(user, "main", KEY)
    assert isinstance(first.value, QueueStatus)
    assert (again.value, again.replayed) == (first.value, True)


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


# -- how many commits an answer waits for ----------------------------------------------------------


async def commits_waited_for(room: WaitingRoom, call: Callable[[], Awaitable[Any]]) -> float:
    """Each append takes a second, and nothing else takes any time."""
    append = room.journal.append

    async def slow(*arguments: Any) -> Any:
        await asyncio.sleep(1.0)
        return await append(*arguments)

    room.journal.append = slow  # type: ignore[assignment]
    began_s = asyncio.get_running_loop().time()
    await call()
    room.journal.append = append  # type: ignore[method-assign]
    return asyncio.get_running_loop().time() - began_s


@pytest.mark.parametrize("attempt", [KEY, None])
async def test_an_answer_waits_for_as_few_commits_as_it_needs(
    start_room: StartRoom, attempt: Attempt | None
) -> None:
    """
    One, in which the seat and the account are told together; a payment two: the money is taken,
    then the seat is sold, and all that follows from it does so after the answer.
    """
    room = await start_room()
    token = room.services.queue.read_token((await room.join(1)).token)
    accounts, seats = room.services.accounts, room.services.seats

    async def waited(call: Callable[[], Awaitable[Any]]) -> float:
        await pass_time(5.0)
        return await commits_waited_for(room, call)

    assert await waited(lambda: room.services.queue.issue(user_id(2), "main", attempt)) == 1.0
    assert await waited(lambda: accounts.charge(token.user, 1_000_000, attempt)) == 1.0
    assert await waited(lambda: seats.reserve(token, "d1", 1, attempt)) == 1.0
    assert await waited(lambda: seats.reserve(BOB, "d1", 1, attempt)) == (1.0 if attempt else 0.0)
    assert await waited(lambda: accounts.pay(token, "d1", 1, attempt)) == 2.0


class Counts:
    """What calls cost: messages of callers and of entities, keys asked of the journal, events,
    outcomes and marks written."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._messages = self._own = self._keys = 0
        router, runtime, journal = room.app.node.router, room.app.node.runtime, room.journal
        ask, inside, outcomes = router.ask, runtime.ask_inside, journal.outcomes

        def asked(*arguments: Any, **options: Any) -> Any:
            self._messages += 1
            return ask(*arguments, **options)

        def sent(*arguments: Any, **options: Any) -> Any:
            self._own += 1
            return inside(*arguments, **options)

        async def looked_up(commands: Any) -> Any:
            self._keys += len(commands)
            return await outcomes(commands)

        router.ask = asked  # type: ignore[method-assign]
        runtime.ask_inside = sent  # type: ignore[method-assign]
        journal.outcomes = looked_up  # type: ignore[method-assign]

    def _now(self) -> tuple[int, ...]:
        store = self._room.store
        written = sum(map(len, store.rows)), len(store.outcomes)
        return self._messages, self._own, self._keys, *written

    async def of(self, call: Callable[[], Awaitable[Any]]) -> tuple[int, ...]:
        """Of one call, with all that follows from it."""
        before = self._now()
        await call()
        await pass_time(5.0)
        return tuple(after - was for was, after in zip(before, self._now(), strict=True))


async def test_a_booking_costs_what_the_figures_say(start_room: StartRoom) -> None:
    """With keys, each step: the table is in ``bench/README.md``."""
    room = await start_room()
    await room.join(3)
    issued = (await room.services.queue.issue(ANN.user, "main", Attempt("0", b""))).value
    assert isinstance(issued, QueueStatus)
    token = room.services.queue.read_token(issued.token)
    counts, accounts, seats = Counts(room), room.services.accounts, room.services.seats
    steps = {
        "issue": lambda: room.services.queue.issue(user_id(9), "main", KEY),
        "charge": lambda: accounts.charge(token.user, 1_000_000, KEY),
        "reservation": lambda: seats.reserve(token, "d1", 1, KEY),
        "refused": lambda: seats.reserve(BOB, "d1", 1, KEY),
        "payment": lambda: accounts.pay(token, "d1", 1, KEY),
    }
    assert {name: await counts.of(step) for name, step in steps.items()} == {
        "issue": (1, 0, 1, 1, 1),
        "charge": (1, 0, 1, 1, 1),
        "reservation": (1, 1, 2, 3, 2),
        "refused": (1, 1, 2, 0, 2),
        "payment": (1, 2, 1, 5, 1),
    }


# -- where a crash may come ------------------------------------------------------------------------

SEAT, ACCOUNT = seat_address("d1", 7).slot, account_address(ANN.user).slot


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("there", [{SEAT}, {ACCOUNT}, {SEAT, ACCOUNT}, set()])
async def test_a_process_that_dies_leaves_nothing_that_contradicts(
    start_room: StartRoom, there: set[int], taken: bool
) -> None:
    """
    Given a reservation whose process dies when only some of what it wrote is in the journal
    When the next process is asked, and then asked again with the same key
    Then no read says what is not so, the key has one answer, and the seat one hold.
    """
    room = await start_room()
    if taken:
        await held_by_bob(room)

    async def write_some(lane: int, batch: Batch) -> set[int]:
        assert batch.tenures() >= {(shard, 1) for shard in (SEAT, ACCOUNT)}
        room.store.write(batch.of(lambda shard: shard in there))
        room.journal.pause()
        await room.journal.reach()
        return set()

    room.journal.append = write_some  # type: ignore[method-assign]
    lost = reserve(room)
    await pass_time(1.0)
    assert not lost.done()
    next_room = await start_room(name="two")
    was_held = SEAT in there and not taken
    assert await shown(next_room) in ([], ["PENDING" if was_held else "CANCELLED"])
    first = await reserve(next_room)
    again = await reserve(next_room)
    assert again.value == first.value
    assert again.replayed
    assert isinstance(first.value, Rejected if taken else ReservationRecord)
    [ledger] = await next_room.app.node.runtime.load_state([ledger_address("d1")])
    assert ledger.held == 1
    if isinstance(first.value, ReservationRecord):
        [record] = await next_room.services.seats.reservations(ANN.user)
        told = msgspec.structs.replace(record.reservation, beside=False)
        assert (told, record.status) == (first.value.reservation, "PENDING")
    with pytest.raises(KeyReusedError):
        await reserve(next_room, attempt=OTHER_BODY, seat=8)
    lost.cancel()


@pytest.mark.parametrize("completed", [True, False])
async def test_a_payment_told_stays_paid_if_the_process_dies(
    start_room: StartRoom, completed: bool
) -> None:
    """
    Given a payment that was answered when the seat was sold
    When the process dies before or after the account has noted that it is completed
    Then whoever asks the next one is told the same.
    """
    room = await start_room()
    token = room.services.queue.read_token((await room.join(1)).token)
    await room.services.accounts.charge(token.user, 1_000_000, None)
    held = await room.services.seats.reserve(token, "d1", 7, None)
    assert isinstance(held.value, ReservationRecord)
    write = room.store.write

    def write_some(batch: Batch) -> set[int]:
        if not completed and any(row.type == "PaymentCompleted" for row in batch.rows):
            raise JournalError("the process is dead")
        return write(batch)

    room.store.write = write_some  # type: ignore[method-assign]
    paid = (await room.services.accounts.pay(token, "d1", 7, KEY)).value
    room.journal.pause()
    room.store.write = write  # type: ignore[method-assign]
    assert isinstance(paid, PaymentDone)
    next_room = await start_room(name="two")
    accounts, seats = next_room.services.accounts, next_room.services.seats
    record = await seats.reservation(token.user, held.value.reservation.id)
    assert record.status == "COMPLETED"
    assert (await accounts.payment(token.user, paid.id)).at_ms == paid.at_ms
    assert [each.id for each in (await accounts.payments(token.user, 9, None)).items] == [paid.id]
    again = await accounts.pay(token, "d1", 7, KEY)
    assert (again.value, again.replayed) == (paid, True)
    with pytest.raises(TokenError):
        await seats.reserve(token, "d1", 8, None)


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
    [ledger] = await room.app.node.runtime.load_state([ledger_address("d1")])
    assert ledger.held == 0


async def test_a_seat_of_the_release_before_tells_no_account(
    start_room: StartRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the caller does, once the hold is in the journal."""
    room = await start_room()
    ask = room.app.node.router.ask

    async def to_the_release_before(address: Any, command: Any, **options: Any) -> Any:
        if isinstance(command, HoldSeat):
            command = HoldSeat(command.user, command.reservation)
        return await ask(address, command, **options)

    monkeypatch.setattr(room.app.node.router, "ask", to_the_release_before)
    held = await reserve(room)
    assert isinstance(held.value, ReservationRecord)
    assert (await reserve(room)).value == held.value
    assert await shown(room) == ["PENDING"]


def test_what_is_stored_reads_as_the_release_before_wrote_it() -> None:
    assert msgspec.msgpack.encode(OutcomeNoted(b"x")) == msgspec.msgpack.encode(
        {"type": "OutcomeNoted", "body": b"x"}
    )
