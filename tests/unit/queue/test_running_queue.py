"""The queue with its timers, its keeper and its views: whatever needs time to pass."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from booking.calls import QueueToken, TokenError, UnknownError
from booking.queue.admin import QueueChange
from booking.queue.domain.events import Policy
from booking.queue.domain.lots import draw
from tests.support.instance import catalogue, schedule
from tests.support.journals import user_id
from tests.support.runtimes import pass_time, until
from tests.support.waiting_room import IDLE_MS, SLOTS, WaitingRoom
from tests.unit.queue.conftest import StartRoom

RATE = Policy(max_active=0, admit_per_interval=20_000, active_ms=600_000)


async def change(room: WaitingRoom, **wanted: object) -> None:
    await room.services.queue.change("main", QueueChange(**wanted), "eve")  # type: ignore[arg-type]


# -- admissions ------------------------------------------------------------------------------------


async def test_twenty_thousand_a_minute_come_in_evenly_and_exactly(start_room: StartRoom) -> None:
    """Told as so many in ten seconds, which a short run slides over."""
    per_interval, interval_s = 3_334, 10
    room = await start_room(RATE)
    await change(room, mode="paused", admit_per_interval=per_interval, interval_s=interval_s)
    await room.crowd(5_500)
    await change(room, mode="open")
    room.neglect()  # nobody polls here
    await until(lambda: room.queue.waiting == 0, wait_max_s=30.0)
    admissions = room.admissions
    began_ms = admissions[0][0]
    by_second: Counter[int] = Counter()
    for at_ms, count in admissions:
        by_second[(at_ms - began_ms) // 1000] += count
    full = [count for second, count in by_second.items() if second < max(by_second)]
    assert len(full) == 16
    assert all(abs(count - 20_000 / 60) <= 0.05 * 20_000 / 60 for count in full)
    in_window, first = 0, 0
    for at_ms, count in admissions:
        in_window += count
        while admissions[first][0] <= at_ms - interval_s * 1000:
            in_window -= admissions[first][1]
            first += 1
        assert in_window <= per_interval
    ends_ms = began_ms + interval_s * 1000
    first_ones = sum(count for at_ms, count in admissions if at_ms < ends_ms)
    assert per_interval - 20 <= first_ones <= per_interval


async def test_a_freed_slot_admits_the_next_at_once(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    standings = await room.crowd(12)
    inside, waiting = standings[0], standings[10]
    assert inside.active
    assert not waiting.active
    await room.services.queue.leave(room.services.queue.read_token(inside.token))
    seen = room.poll(waiting)
    assert seen is not None
    assert seen.active


async def test_a_slot_whose_time_ends_admits_the_next_within_a_tenth_of_a_second(
    start_room: StartRoom,
) -> None:
    room = await start_room(Policy(max_active=1, admit_per_interval=0, active_ms=30_000))
    _, second = await room.crowd(2)
    for _ in range(299):
        await pass_time(0.1)
        seen = room.poll(second)
        assert seen is not None
        assert not seen.active
    await pass_time(0.2)
    seen = room.poll(second)
    assert seen is not None
    assert seen.active


async def test_a_queue_that_is_full_says_so(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    await change(room, max_waiting=5)
    await room.crowd(15)
    assert (await room.refused(16)).code == "queue_full"


# -- rules -----------------------------------------------------------------------------------------


async def test_rules_are_in_force_when_the_call_returns_and_survive_the_instance(
    start_room: StartRoom,
) -> None:
    room = await start_room(SLOTS)
    standings = await room.crowd(40)
    report = await room.services.queue.change("main", QueueChange(max_active=25), "eve")
    assert (report.max_active, report.active, report.waiting) == (25, 25, 15)
    assert [room.poll(each).active for each in standings].count(True) == 25  # type: ignore[union-attr]
    wanted = QueueChange(mode="paused", admit_per_interval=600, interval_s=30, active_s=90)
    await room.services.queue.change("main", wanted, "eve")
    await room.stop()
    again = await start_room(SLOTS)
    report = await again.services.queue.report("main")
    assert (report.queue, report.mode, report.max_active) == ("main", "paused", 25)
    assert (report.admit_per_interval, report.interval_s, report.active_s) == (600, 30, 90)
    assert (report.waiting, report.active, report.watermark, report.last_number) == (15, 25, 25, 40)
    assert (report.opens_at, report.seed) == (None, None)


async def test_rules_that_cannot_be_are_refused_in_words(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    for wanted, words in [
        (QueueChange(mode="queue_all"), "by the rate alone"),
        (QueueChange(opens_at="yesterday"), "opensAt has to be a time with its offset"),
        (QueueChange(opens_at="2030-01-01T00:00:00"), "opensAt has to be a time with its offset"),
        (QueueChange(opens_at="2001-01-01T00:00:00Z"), "opensAt has to be in the future"),
        (QueueChange(interval_s=0), "intervalS"),
    ]:
        with pytest.raises(ValueError, match=words):
            await room.services.queue.change("main", wanted, "eve")
    with pytest.raises(UnknownError):
        await room.services.queue.change("other", QueueChange(), "eve")
    with pytest.raises(UnknownError):
        await room.services.queue.report("other")


# -- openings --------------------------------------------------------------------------------------


async def test_an_opening_draws_within_a_tenth_of_a_second(start_room: StartRoom) -> None:
    draw.cache_clear()
    room = await start_room(SLOTS)
    await change(room, opens_at="2027-01-15T08:01:00+00:00")  # a minute from the beginning
    early = await room.crowd(30)
    assert {each.ahead for each in early[-1:]} == {29}
    assert not any(each.active for each in early)
    while room.clock.now_ms() < 1_800_000_060_000:
        assert room.seeds == []
        for each in early:
            assert room.poll(each) is not None
        await pass_time(5.0)
    await pass_time(0.11)
    assert room.seeds == ["seed 0"]
    assert draw("seed 0", 1, 30).done, "it was worked out ahead, piece by piece"
    late = await room.join(31)
    assert late.ahead == 20
    lots = draw("seed 0", 1, 30)
    for each in early:
        seen = room.poll(each)
        assert seen is not None
        assert seen.active == (lots.place(each.number) <= 10)
    report = await room.services.queue.report("main")
    assert (report.seed, report.opens_at) == ("seed 0", "2027-01-15T08:01:00.000Z")
    await room.stop()
    again = await start_room(SLOTS)
    assert (await again.services.queue.report("main")).seed == "seed 0"
    for each in early:
        seen = again.poll(each)
        assert seen is not None
        assert seen.ahead == max(0, lots.place(each.number) - 11)
    await pass_time(1.0)
    assert again.seeds == []


async def test_only_the_owner_draws_and_drops(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    await change(room, opens_at="2027-01-15T08:00:10Z")
    await room.crowd(3)
    room.neglect()
    await pass_time(10 * IDLE_MS / 1000)
    assert room.seeds == []
    assert room.queue.waiting == 3
    room.neglect(queues=False)
    await pass_time(0.2)
    assert room.seeds == ["seed 0"]


# -- presence --------------------------------------------------------------------------------------


async def poll_as_told(room: WaitingRoom, crowd: list[int], until_s: float) -> None:
    """Each of these users polls when it was told to, a second late, until its time has come."""
    loop = asyncio.get_running_loop()

    async def one(number: int) -> None:
        seen = await room.join(number)
        while loop.time() < until_s:
            await asyncio.sleep(seen.poll_after_ms / 1000 + 1.0)
            again = room.poll(seen)
            assert again is not None, f"user {number} was taken for gone"
            seen = again

    await asyncio.gather(*(one(number) for number in crowd))


async def test_who_polls_as_told_is_never_absent_and_who_does_not_is_soon(
    start_room: StartRoom,
) -> None:
    room = await start_room(SLOTS)
    await change(room, mode="paused")
    present, gone = list(range(1, 300)), list(range(300, 330))
    polling = asyncio.ensure_future(poll_as_told(room, present, until_s=200.0))
    await asyncio.gather(*(room.join(number) for number in gone))
    await pass_time(IDLE_MS / 1000)
    assert room.queue.waiting == 329
    await until(lambda: room.queue.waiting == 299, wait_max_s=13.0)
    await polling
    assert room.queue.waiting == 299
    assert room.queue.left_last_minute == 0


async def test_a_socket_is_a_sign_and_coming_back_in_time_keeps_the_place(
    start_room: StartRoom,
) -> None:
    room = await start_room(SLOTS)
    await change(room, mode="paused")
    listening, back, _ = await room.crowd(3)
    for _ in range(11):
        await pass_time(5.0)
        room.services.queue.mark_present(room.services.queue.read_token(listening.token))
    assert room.poll(back) is not None
    for _ in range(11):
        await pass_time(5.0)
        room.services.queue.mark_present(room.services.queue.read_token(listening.token))
    seen = [room.poll(listening), room.poll(back)]
    assert [each.ahead for each in seen if each] == [0, 1]
    assert room.queue.waiting == 2


async def test_being_looked_up_for_a_push_is_no_sign_of_being_there(start_room: StartRoom) -> None:
    """A websocket whose other end is gone is looked up as long as it is open."""
    room = await start_room(SLOTS)
    await change(room, mode="paused")
    gone, there = await room.crowd(2)
    for _ in range(15):
        await pass_time(5.0)
        room.look(gone)
        assert room.poll(there) is not None
    assert room.look(gone) is None
    assert room.queue.waiting == 1


async def test_after_a_takeover_everybody_counts_as_seen(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    await change(room, mode="paused")
    standings = await room.crowd(20)
    await pass_time(55.0)
    await room.stop()
    again = await start_room(SLOTS)
    await pass_time(55.0)
    assert all(again.poll(each) for each in standings)


async def test_one_let_in_who_never_came_back_gives_the_slot_to_the_next(
    start_room: StartRoom,
) -> None:
    room = await start_room(SLOTS)
    standings = await room.crowd(12)
    noticed, absent = standings[10], standings[11]
    await pass_time(6.0)
    assert room.poll(absent) is not None
    await pass_time(0.2)
    for each in standings[:2]:
        await room.services.queue.leave(room.services.queue.read_token(each.token))
    assert room.queue.active == 10
    seen = room.poll(noticed)
    assert seen is not None
    assert seen.active
    await pass_time(IDLE_MS / 1000 + 11.0)
    assert room.queue.active == 9
    assert room.poll(absent) is None
    for each in (noticed, standings[5]):  # they know that they are inside, and may take their time
        seen = room.poll(each)
        assert seen is not None
        assert seen.active


async def test_every_tenth_vanishes_and_the_queue_keeps_its_rate(start_room: StartRoom) -> None:
    """Forty inside, each for eleven seconds. Four of the first forty vanish with their slots; of
    those who wait, every tenth is gone, and costs nobody anything."""
    slots = Policy(max_active=40, admit_per_interval=0, active_ms=3_600_000)
    room = await start_room(slots)
    loop = asyncio.get_running_loop()
    paid: list[float] = []

    async def fan(number: int) -> None:
        seen = await room.join(number)
        if number % 10 == 0:
            return
        while not seen.active:
            # At the front they look often; the time to notice is not what is measured here.
            await asyncio.sleep(1.0 if seen.ahead < 50 else seen.poll_after_ms / 1000)
            again = room.poll(seen)
            assert again is not None
            seen = again
        await asyncio.sleep(10.0)
        await room.services.queue.leave(room.services.queue.read_token(seen.token))
        paid.append(loop.time())

    await asyncio.gather(*(fan(number) for number in range(1, 801)))
    # The first minute goes on with those who are taken for there; after it nobody is lost.
    served = sum(100 <= at < 200 for at in paid)
    assert served >= 0.95 * 36 / 11 * 100
    await pass_time(2 * IDLE_MS / 1000)
    # The four who vanished after coming straight in knew of their slots, and keep them.
    assert (room.queue.waiting, room.queue.active) == (0, 4)


async def test_a_journal_out_of_reach_costs_nobody_the_place(
    start_room: StartRoom, caplog: pytest.LogCaptureFixture
) -> None:
    room = await start_room(SLOTS)
    await change(room, mode="paused", opens_at="2027-01-15T08:00:30Z")
    await room.crowd(5)
    room.journal.go_away()
    await pass_time(40.0)
    assert caplog.text.count("queue main cannot be tended now") == 1
    room.journal.come_back()
    await until(lambda: room.queue.last_draw is not None)
    assert room.queue.waiting == 5


async def test_the_owner_knows_that_a_token_has_ended(start_room: StartRoom) -> None:
    """A view that has not heard of its number yet would take it for none of ours."""
    room = await start_room(SLOTS)
    joined = await room.join(1)
    token = room.services.queue.read_token(joined.token)
    await room.services.queue.leave(token)
    room.queue.last_number = 0
    with pytest.raises(TokenError, match="token_invalid") as behind:
        room.services.queue.status(token, joined.token)
    with pytest.raises(TokenError, match="token_expired"):
        await room.services.queue.owners_status(token, joined.token, behind.value)


# -- several queues --------------------------------------------------------------------------------


async def test_a_token_opens_only_what_its_queue_is_for(start_room: StartRoom) -> None:
    dates = catalogue(schedule("d1"), schedule("d2", concert="c2", queue="c2"))
    room = await start_room(SLOTS, dates)
    assert set(room.services.queue.names()) == {"main", "c2"}
    mine, other = await room.join(1), await room.join(1, "c2")
    assert (mine.number, other.number) == (1, 1)
    tokens = {name: QueueToken(user_id(1), name, 1, 0) for name in ("main", "c2")}
    for name, date in (("main", "d2"), ("c2", "d1"), ("main", "d3")):
        with pytest.raises(UnknownError):
            await room.services.seats.reserve(tokens[name], date, 1, None)
        with pytest.raises(UnknownError):
            await room.services.accounts.pay(tokens[name], date, 1, None)
    await room.services.queue.change("c2", QueueChange(max_active=77), "eve")
    assert room.app.views.queues["c2"].policy.max_active == 77
    assert room.queue.policy == SLOTS


async def test_a_changed_catalogue_brings_its_queues(start_room: StartRoom) -> None:
    room = await start_room(SLOTS)
    with pytest.raises(UnknownError):
        await room.services.queue.issue(user_id(1), "c2", None)
    room.use(catalogue(schedule("d2", concert="c2", queue="c2")))
    assert (await room.join(1, "c2")).active
    room.use(catalogue(schedule("d1")))
    assert set(room.services.queue.names()) == {"main", "c2"}
