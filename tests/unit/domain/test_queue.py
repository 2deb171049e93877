from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from booking.domain.decision import BrokenInvariantError
from booking.queue.domain.events import (
    Admitted,
    Entered,
    Joined,
    Left,
    Policy,
    QueueEvent,
    TokensExpired,
    TokenUsed,
)
from booking.queue.domain.line import Line, Place, evolve_queue, place_of
from booking.queue.domain.queue import (
    ADMITTED_TOGETHER_MAX,
    EXPIRED_TOGETHER_MAX,
    AdmissionsDone,
    Admit,
    Join,
    Leave,
    TokenEnded,
    UseToken,
    decide_queue,
    queue_next_wake,
)
from tests.support.lines import stored, taken_up
from tests.support.scenario import T0, GivenLine, fold

ACTIVE_MS = 600_000
END = T0 + ACTIVE_MS
ONE = Policy(max_active=1, admit_per_interval=0, active_ms=ACTIVE_MS)
CLOSED = replace(ONE, mode="paused")
ANN_IN = (Entered("ann", 1, T0, END),)


def lined_up(*users: str) -> GivenLine:
    return GivenLine(*(Joined(user, n, T0) for n, user in enumerate(users, 1)))


# -- join ------------------------------------------------------------------------------------------


def test_the_first_passes_straight_through_when_there_is_room() -> None:
    GivenLine().when(Join("ann"), policy=ONE).then(*ANN_IN, reply=Place("ann", 1, T0, 0, END))


def test_who_passes_straight_through_has_lined_up_and_come_in() -> None:
    halves = fold(evolve_queue, Line(), (Joined("ann", 1, T0), Admitted(1, 1, 1, T0, END)))
    whole = fold(evolve_queue, Line(), ANN_IN)
    assert stored(whole) == stored(halves)


def test_who_passes_straight_through_skips_places_that_were_given_up() -> None:
    given = GivenLine(Joined("ann", 1, T0), Left("ann", 1))
    outcome = given.when(Join("bob"), policy=ONE)
    outcome.then(Entered("bob", 2, T0, END), reply=Place("bob", 2, T0, 0, END))


def test_the_next_waits_behind_when_there_is_none() -> None:
    GivenLine(*ANN_IN).when(Join("bob"), policy=ONE).then(
        Joined("bob", 2, T0), reply=Place("bob", 2, T0, 0, 0)
    )


def test_nobody_passes_those_who_wait() -> None:
    given = lined_up("ann", "bob")
    outcome = given.when(Join("cid"), policy=ONE)
    outcome.then(Admitted(1, 1, 1, T0, END), Joined("cid", 3, T0), reply=Place("cid", 3, T0, 1, 0))


def test_a_user_in_the_queue_keeps_the_place_and_is_told_so() -> None:
    GivenLine(*ANN_IN).when(Join("ann"), policy=ONE, at=T0 + 1).refused("already_queued")
    lined_up("ann", "bob").when(Join("bob"), policy=CLOSED).refused("already_queued")


def test_a_repeated_attempt_gets_the_same_place() -> None:
    given = GivenLine(Joined("ann", 1, T0, "try1"), Joined("bob", 2, T0, "try2"))
    given.when(Join("bob", "try2"), policy=CLOSED, at=T0 + 9).then(reply=Place("bob", 2, T0, 1, 0))
    given.when(Join("bob", "try1"), policy=CLOSED).refused("already_queued")
    given.when(Join("bob", ""), policy=CLOSED).refused("already_queued")


def test_an_empty_attempt_is_never_the_same() -> None:
    lined_up("ann").when(Join("ann", ""), policy=CLOSED).refused("already_queued")


def test_a_place_from_before_a_restore_is_given_out_again() -> None:
    """The restore has ended its token, and its user would stand in their own way."""
    place = Place("ann", 1, T0, 0, 0)
    given = lined_up("ann")
    given.when(Join("ann", "", T0 + 1), policy=CLOSED).then(reply=place)
    given.when(Join("ann", "", T0), policy=CLOSED).refused("already_queued")


def test_a_repeated_attempt_learns_that_it_has_come_in_meanwhile() -> None:
    given = GivenLine(Joined("ann", 1, T0, "try"), Admitted(1, 1, 1, T0, END))
    given.when(Join("ann", "try"), policy=ONE, at=END - 1).then(reply=Place("ann", 1, T0, 0, END))


def test_a_full_queue_takes_nobody_more() -> None:
    policy = replace(CLOSED, max_waiting=2)
    given = lined_up("ann", "bob")
    given.when(Join("cid"), policy=policy).refused("queue_full")
    given.when(Leave("ann", 1), policy=policy)
    given.when(Join("cid"), policy=policy).then(
        Joined("cid", 3, T0), reply=Place("cid", 3, T0, 1, 0)
    )


def test_who_has_ended_lines_up_again_at_the_end() -> None:
    given = GivenLine(*ANN_IN, Joined("bob", 2, T0))
    outcome = given.when(Join("ann"), policy=ONE, at=END)
    outcome.then(
        TokensExpired((1,)),
        Admitted(2, 2, 1, END, END + ACTIVE_MS),
        Joined("ann", 3, END),
        reply=Place("ann", 3, END, 0, 0),
    )


# -- leave and use ---------------------------------------------------------------------------------


def test_a_place_given_up_moves_those_behind_one_on() -> None:
    given = lined_up("ann", "bob", "cid")
    given.when(Leave("bob", 2), policy=CLOSED).then(Left("bob", 2), reply=TokenEnded(2))
    assert place_of(given.line, "cid") == Place("cid", 3, T0, 1, 0)
    assert place_of(given.line, "bob") is None
    assert given.line.waiting == 2


@pytest.mark.parametrize(
    ("command", "event"),
    [(Leave("ann", 1), Left("ann", 1)), (UseToken("ann", 1), TokenUsed("ann", 1))],
)
def test_a_freed_slot_admits_the_next_in_the_same_decision(
    command: Leave | UseToken, event: QueueEvent
) -> None:
    given = GivenLine(*ANN_IN, Joined("bob", 2, T0))
    given.when(command, policy=ONE, at=T0 + 5).then(
        event, Admitted(2, 2, 1, T0 + 5, END + 5), reply=TokenEnded(1)
    )
    given.when(command, policy=ONE, at=T0 + 6).then(reply=TokenEnded(1))


def test_a_place_in_the_line_cannot_be_used_up_only_given_up() -> None:
    lined_up("ann").when(UseToken("ann", 1), policy=CLOSED).then(
        Left("ann", 1), reply=TokenEnded(1)
    )


@pytest.mark.parametrize("make", [Leave, UseToken])
def test_a_number_that_is_not_this_users_ends_nothing(make: type[Leave | UseToken]) -> None:
    given = GivenLine(*ANN_IN, Joined("bob", 2, T0))
    for user, number in [("bob", 1), ("cid", 2), ("ann", 3), ("ann", 0), ("ann", -1)]:
        given.when(make(user, number), policy=ONE).refused("not_queued")


def test_an_old_number_of_a_user_who_came_back_ends_nothing() -> None:
    given = GivenLine(*ANN_IN, TokenUsed("ann", 1), Joined("ann", 2, T0))
    given.when(Leave("ann", 1), policy=CLOSED).then(reply=TokenEnded(1))
    assert place_of(given.line, "ann") == Place("ann", 2, T0, 0, 0)


def test_a_slot_whose_time_is_over_has_ended_whoever_asks() -> None:
    given = GivenLine(*ANN_IN)
    given.when(UseToken("ann", 1), policy=ONE, at=END).then(
        TokensExpired((1,)), reply=TokenEnded(1)
    )


# -- admission -------------------------------------------------------------------------------------


def test_one_event_fills_the_room_and_skips_those_who_left() -> None:
    given = lined_up("ann", "bob", "cid", "dan", "eve")
    given.when(Leave("bob", 2), policy=CLOSED)
    outcome = given.when(Admit(), policy=replace(ONE, max_active=3))
    outcome.then(Admitted(1, 4, 3, T0, END), reply=AdmissionsDone())
    assert {number: until for until, number in given.line.active} == {1: END, 3: END, 4: END}
    assert list(given.line.left) == []
    assert place_of(given.line, "eve") == Place("eve", 5, T0, 0, 0)


def test_those_at_the_front_who_left_are_passed_over() -> None:
    given = lined_up("ann", "bob", "cid")
    given.when(Leave("ann", 1), policy=CLOSED)
    assert list(given.line.left) == [1]
    given.when(Admit(), policy=ONE).then(Admitted(2, 2, 1, T0, END), reply=AdmissionsDone())


def test_a_lowered_limit_throws_nobody_out_and_admits_nobody() -> None:
    given = lined_up("ann", "bob", "cid")
    given.when(Admit(), policy=replace(ONE, max_active=2))
    given.when(Admit(), policy=ONE).then(reply=AdmissionsDone())
    given.when(UseToken("ann", 1), policy=ONE).then(TokenUsed("ann", 1), reply=TokenEnded(1))
    given.when(UseToken("bob", 2), policy=ONE).then(
        TokenUsed("bob", 2), Admitted(3, 3, 1, T0, END), reply=TokenEnded(2)
    )


def test_a_shortened_time_ends_those_who_came_later_first() -> None:
    given = GivenLine(*ANN_IN)
    brief = replace(ONE, max_active=2, active_ms=1000)
    given.when(Join("bob"), policy=brief)
    assert queue_next_wake(given.line, brief) == T0 + 1000
    given.when(Admit(), policy=brief, at=T0 + 1000).then(
        TokensExpired((2,)), reply=AdmissionsDone()
    )


def test_one_decision_is_bounded_and_the_timer_does_the_rest() -> None:
    """Both ends and admissions are bounded."""
    users = [f"u{n}" for n in range(1, 1201)]
    given = lined_up(*users)
    wide = replace(ONE, max_active=1200)
    for _ in range(3):
        wake = queue_next_wake(given.line, wide)
        assert wake is not None
        assert wake <= T0
        given.when(Admit(), policy=wide)
    assert len(given.line.active) == 1200
    outcome = given.when(Admit(), policy=wide, at=END)
    assert len(outcome.events[0].numbers) == EXPIRED_TOGETHER_MAX
    assert ADMITTED_TOGETHER_MAX < 1200
    # A user whose own time is over does not have to wait for a later turn.
    late = given.when(Leave("u1200", 1200), policy=wide, at=END)
    assert TokensExpired((1200,)) in late.events
    assert late.reply == TokenEnded(1200)


def test_nothing_to_wait_for_is_no_wake() -> None:
    assert queue_next_wake(Line(), ONE) is None
    assert queue_next_wake(lined_up("ann").line, CLOSED) is None
    assert queue_next_wake(GivenLine(*ANN_IN, Joined("bob", 2, T0)).line, ONE) == END


# -- rate ------------------------------------------------------------------------------------------


def test_a_rate_lets_people_in_one_by_one_at_even_steps() -> None:
    policy = Policy(max_active=100, admit_per_interval=6, active_ms=ACTIVE_MS)
    given = lined_up(*"abcdefgh")
    at, admissions = T0, []
    for _ in range(8):
        outcome = given.when(Admit(), policy=policy, at=at)
        admissions += [(event.at_ms - T0, event.count) for event in outcome.events]
        at = queue_next_wake(given.line, policy) or 0
    assert admissions == [(10_000 * i, 1) for i in range(8)]


def test_the_wake_is_the_first_moment_at_which_the_rate_admits() -> None:
    policy = Policy(max_active=100, admit_per_interval=7, active_ms=ACTIVE_MS)
    given = lined_up(*"abc")
    given.when(Admit(), policy=policy)
    wake = queue_next_wake(given.line, policy)
    assert wake == T0 + 8572  # 60,000 / 7, rounded up
    given.when(Admit(), policy=policy, at=wake - 1).then(reply=AdmissionsDone())
    assert given.when(Admit(), policy=policy, at=wake).events[0].count == 1


def test_a_fast_rate_wakes_on_a_grid_and_loses_nothing_by_it() -> None:
    policy = Policy(max_active=10_000, admit_per_interval=6000, active_ms=ACTIVE_MS)
    given = lined_up(*(f"u{n}" for n in range(200)))
    assert given.when(Admit(), policy=policy, at=T0).events[0].count == 1
    for step in range(1, 41):
        assert queue_next_wake(given.line, policy) == T0 + step * 25
        given.when(Admit(), policy=policy, at=T0 + step * 25)
    assert len(given.line.active) == 1 + 100


def test_nobody_comes_in_between_two_steps_of_the_grid() -> None:
    policy = Policy(max_active=10_000, admit_per_interval=6000, active_ms=ACTIVE_MS)
    given = lined_up(*(f"u{n}" for n in range(200)))
    given.when(Admit(), policy=policy)
    given.when(Join("zoe"), policy=policy, at=T0 + 24).then(
        Joined("zoe", 201, T0 + 24), reply=Place("zoe", 201, T0 + 24, 199, 0)
    )
    assert len(given.when(Join("yan"), policy=policy, at=T0 + 25).events) == 2


def test_a_silence_earns_nobody_a_burst() -> None:
    policy = Policy(max_active=10_000, admit_per_interval=6000, active_ms=ACTIVE_MS)
    given = lined_up(*(f"u{n}" for n in range(200)))
    assert given.when(Admit(), policy=policy, at=T0).events[0].count == 1
    assert given.when(Admit(), policy=policy, at=T0 + 250).events[0].count == 25
    assert given.when(Admit(), policy=policy, at=T0 + 30_000).events[0].count == 1
    assert given.when(Admit(), policy=policy, at=T0 + 30_025).events[0].count == 2


def test_a_rate_set_anew_counts_the_last_minute_and_starts_even_steps() -> None:
    given = lined_up(*"abcdef")
    given.when(Admit(), policy=replace(ONE, max_active=3), at=T0)
    rated = Policy(max_active=100, admit_per_interval=4, active_ms=ACTIVE_MS)
    given.when(Admit(), policy=rated, at=T0 + 14_999).then(reply=AdmissionsDone())
    first = given.when(Admit(), policy=rated, at=T0 + 15_000).events[0]
    assert (first.first, first.count) == (4, 1)
    # Four in the last minute: the next waits for the first three to be a minute ago.
    wake = queue_next_wake(given.line, rated)
    assert wake is not None
    assert T0 + 60_000 <= wake <= T0 + 61_000
    assert given.when(Admit(), policy=rated, at=wake).events[0].count == 1


def test_a_raised_rate_takes_effect_at_once() -> None:
    slow = Policy(max_active=100, admit_per_interval=1, active_ms=ACTIVE_MS)
    fast = replace(slow, admit_per_interval=600)
    given = lined_up(*"abc")
    given.when(Admit(), policy=slow)
    assert queue_next_wake(given.line, slow) == T0 + 60_000
    assert queue_next_wake(given.line, fast) == T0 + 100
    assert queue_next_wake(given.line, replace(fast, mode="paused")) == END


def _in_any_minute(admissions: list[tuple[int, int]]) -> int:
    """The most admissions in any window of 60 s, counted the plain way."""
    window: deque[tuple[int, int]] = deque()
    inside = most = 0
    for at_ms, count in admissions:
        window.append((at_ms, count))
        inside += count
        while window[0][0] <= at_ms - 60_000:
            inside -= window.popleft()[1]
        most = max(most, inside)
    return most


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(1, 3000),
    steps_ms=st.lists(
        st.one_of(st.integers(0, 400), st.integers(0, 30_000), st.just(-1)), max_size=60
    ),
)
def test_no_minute_ever_has_more_admissions_than_the_rate(rate: int, steps_ms: list[int]) -> None:
    """A step of -1 jumps to the queue's own next wake, where somebody has to come in."""
    policy = Policy(max_active=10**6, admit_per_interval=rate, active_ms=10**9)
    given_line = lined_up(*(f"u{n}" for n in range(400)))
    now, admissions = T0, []
    for step_ms in steps_ms:
        wake = queue_next_wake(given_line.line, policy)
        assert wake is not None
        now = max(now, wake) if step_ms < 0 else now + step_ms
        events = given_line.when(Admit(), policy=policy, at=now).events
        admissions += [(e.at_ms, e.count) for e in events if isinstance(e, Admitted)]
        if wake <= now:
            assert events
        elif rate <= 600:  # faster ones are not woken for each single admission
            assert not events
        if not given_line.line.waiting:
            break
    assert _in_any_minute(admissions) <= rate


# -- state -----------------------------------------------------------------------------------------


def _busy() -> Line:
    given_line = lined_up(*(f"u{n}" for n in range(1, 31)))
    policy = Policy(max_active=10, admit_per_interval=100, active_ms=ACTIVE_MS)
    for at in range(T0, T0 + 10_000, 500):
        given_line.when(Admit(), policy=policy, at=at)
    given_line.when(UseToken("u3", 3), policy=replace(policy, mode="paused"), at=T0 + 10_000)
    for number in (15, 20, 21):
        given_line.when(Leave(f"u{number}", number), policy=CLOSED, at=T0 + 10_000)
    return given_line.line


def test_a_line_survives_its_snapshot() -> None:
    line = _busy()
    again = taken_up(stored(line))
    assert again == line
    assert again.waiting == line.waiting == 17
    assert list(again.left) == [15, 20, 21]
    assert len(again.active) == 9


def test_a_place_is_exact_among_those_who_left() -> None:
    line = _busy()
    waiting = [n for n in range(11, 31) if n not in (15, 20, 21)]
    for ahead, number in enumerate(waiting):
        place = place_of(line, f"u{number}")
        assert place is not None
        assert (place.ahead, place.until_ms) == (ahead, 0)


def test_thousands_who_left_are_skipped_by_the_chunk_and_forgotten() -> None:
    users = [f"u{n}" for n in range(1, 20_001)]
    line = fold(evolve_queue, Line(), (Joined(u, n, T0) for n, u in enumerate(users, 1)))
    for number in range(2, 15_000):
        line = evolve_queue(line, Left(f"u{number}", number))
    decided = decide_queue(line, Admit(), replace(ONE, max_active=2), T0)
    assert decided.events[1:] == (Admitted(1, 15_000, 2, T0, END),)
    line = fold(evolve_queue, line, decided.events)
    assert line.waiting == 5_000
    assert len(list(line.left.chunks())) <= 1


@pytest.mark.parametrize(
    "event",
    [
        Joined("ann", 4, T0),
        Joined("dan", 5, T0),
        Joined("dan", 3, T0),
        Entered("dan", 4, T0, END),
        Entered("ann", 4, T0, END),
        Admitted(1, 1, 1, T0, END),
        Admitted(2, 3, 1, T0, END),
        Admitted(2, 4, 3, T0, END),
        Admitted(2, 2, 0, T0, END),
        Left("bob", 3),
        Left("zoe", 4),
        TokenUsed("bob", 2),
        TokenUsed("bob", 1),
        TokensExpired((2,)),
        TokensExpired((1, 1)),
    ],
)
def test_an_event_that_cannot_follow_crashes(event: QueueEvent) -> None:
    line = GivenLine(*ANN_IN, Joined("bob", 2, T0), Joined("cid", 3, T0)).line
    with pytest.raises(BrokenInvariantError):
        evolve_queue(line, event)
