"""Rules that change while the queue runs, openings with a draw, and users who go silent."""

from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from booking.domain.decision import BrokenInvariantError
from booking.queue.domain.events import (
    SETTINGS,
    Admitted,
    Drawn,
    Entered,
    Joined,
    Left,
    Policy,
    PolicyChanged,
    TokensExpired,
    TokenUsed,
    WentSilent,
)
from booking.queue.domain.line import Line, Place, evolve_queue, place_of
from booking.queue.domain.lots import draw
from booking.queue.domain.queue import (
    DRAWS_MAX,
    AdmissionsDone,
    Admit,
    ChangePolicy,
    DrawPlaces,
    DropSilent,
    Join,
    Leave,
    QueueCommand,
    RulesRefused,
    RulesSet,
    TokenEnded,
    UseToken,
    decide_queue,
    queue_next_wake,
)
from tests.support.lines import stored, taken_up, user_of
from tests.support.scenario import T0, GivenLine, fold

ACTIVE_MS = 600_000
END = T0 + ACTIVE_MS
ONE = Policy(max_active=1, admit_per_interval=0, active_ms=ACTIVE_MS)
PAUSED = replace(ONE, mode="paused")
OPENS = T0 + 60_000


def place_in(line: Line, user: str) -> Place:
    """The place of somebody who has one."""
    place = place_of(line, user)
    assert place is not None
    return place


def lined_up(*users: str, policy: Policy = PAUSED) -> GivenLine:
    """Waiting under the settings' rules, which an operator has not touched."""
    joined = [Joined(user, n, T0) for n, user in enumerate(users, 1)]
    return GivenLine(PolicyChanged(policy, SETTINGS, T0), *joined)


# -- rules in force --------------------------------------------------------------------------------


def test_the_settings_are_written_down_as_rules_with_the_first_decision() -> None:
    given = GivenLine()
    given.then_when(Join("ann"), policy=ONE).then(
        PolicyChanged(ONE, SETTINGS, T0),
        Entered("ann", 1, T0, END),
        reply=Place("ann", 1, T0, 0, END),
    )
    assert given.then_when(Admit(), policy=ONE).events == ()


def test_changed_settings_are_in_force_with_the_next_decision() -> None:
    two = replace(ONE, max_active=2)
    given = lined_up("ann", "bob")
    given.then_when(Admit(), policy=two).then(
        PolicyChanged(two, SETTINGS, T0), Admitted(1, 2, 2, T0, END), reply=AdmissionsDone()
    )


def test_an_operators_rules_stand_whatever_the_settings_say() -> None:
    given = lined_up("ann", "bob", "cid")
    two = replace(PAUSED, mode="open", max_active=2)
    given.then_when(ChangePolicy("eve", mode="open", max_active=2), policy=PAUSED).then(
        PolicyChanged(two, "eve", T0), Admitted(1, 2, 2, T0, END), reply=RulesSet(two)
    )
    assert queue_next_wake(given.line, PAUSED) == END
    given.then_when(UseToken("ann", 1), policy=PAUSED).then(
        TokenUsed("ann", 1), Admitted(3, 3, 1, T0, END), reply=TokenEnded(1)
    )


def test_a_change_that_changes_nothing_is_none() -> None:
    given = lined_up("ann")
    given.then_when(ChangePolicy("eve", max_active=1), policy=PAUSED).then(reply=RulesSet(PAUSED))
    assert given.line.ruled_by == SETTINGS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_active": -1}, "maxActive has to be from 0 to 1000000"),
        ({"admit_per_interval": 1_000_001}, "admitPerInterval has to be from 0 to 1000000"),
        ({"interval_ms": 0}, "intervalS has to be from 1 to 3600"),
        ({"active_ms": 86_401_000}, "activeS has to be from 1 to 86400"),
        ({"max_waiting": -1}, "maxWaiting has to be from 0 to 10000000"),
        ({"admit_per_interval": 20_001, "interval_ms": 1_000}, "more than 20000 a second"),
        ({"mode": "queue_all"}, "by the rate alone"),
        ({"opens_ms": T0}, "opensAt has to be in the future"),
        ({"opens_ms": 10**15}, "opensAt has to be in the future"),
        ({"who": SETTINGS, "max_active": 3}, "cannot be an operator's name"),
    ],
)
def test_rules_that_contradict_each_other_are_refused_in_words(
    change: dict[str, Any], words: str
) -> None:
    given = lined_up("ann")
    outcome = given.then_when(ChangePolicy(**{"who": "eve", **change}), policy=PAUSED)
    assert isinstance(outcome.reply, RulesRefused)
    assert words in outcome.reply.detail
    assert outcome.events == ()


# -- strategies ------------------------------------------------------------------------------------


def test_without_any_limit_everybody_passes_through() -> None:
    free = replace(ONE, max_active=0)
    given = GivenLine()
    for n in range(1, 40):
        given.when(Join(f"u{n}"), policy=free).then(
            Entered(f"u{n}", n, T0, END),
            reply=Place(f"u{n}", n, T0, 0, END),
        )
    assert queue_next_wake(given.line, free) == END


def test_of_limit_and_rate_the_smaller_wins() -> None:
    both = Policy(max_active=3, admit_per_interval=6, active_ms=25_000)
    given = lined_up(*"abcdefgh", policy=both)
    at, inside, admitted = T0, [], []
    while given.line.waiting:
        outcome = given.when(Admit(), policy=both, at=at)
        admitted += [event.at_ms for event in outcome.events if isinstance(event, Admitted)]
        inside.append(len(given.line.active))
        at = queue_next_wake(given.line, both)  # type: ignore[assignment]  # somebody waits
    assert max(inside) == 3
    # Every 10 s by the rate; with 25 s inside, three are never reached, so the rate wins.
    assert {after - before for before, after in pairwise(admitted)} == {10_000}
    long = replace(both, active_ms=100_000)
    given = lined_up(*"abcdefgh", policy=long)
    for at in range(T0, T0 + 100_000, 1_000):
        given.when(Admit(), policy=long, at=at)
    assert len(given.line.active) == 3  # now the limit wins
    given.when(Admit(), policy=long, at=T0 + 100_000).then(
        TokensExpired((1,)),
        Admitted(4, 4, 1, T0 + 100_000, T0 + 200_000, 6, T0 * 1000 + 110 * 10**6),
        reply=AdmissionsDone(),
    )


def test_in_a_pause_nobody_comes_in_and_times_still_end() -> None:
    given = lined_up("ann", "bob", policy=ONE)
    given.when(Admit(), policy=ONE)
    assert queue_next_wake(given.line, PAUSED) == END
    given.when(UseToken("ann", 1), policy=PAUSED).then(TokenUsed("ann", 1), reply=TokenEnded(1))
    given.when(Join("cid"), policy=PAUSED).then(
        Joined("cid", 3, T0), reply=Place("cid", 3, T0, 1, 0)
    )
    assert queue_next_wake(given.line, PAUSED) is None
    given.when(Admit(), policy=ONE, at=T0 + 1).then(
        Admitted(2, 2, 1, T0 + 1, END + 1), reply=AdmissionsDone()
    )


def test_where_all_line_up_everybody_waits_for_the_timer() -> None:
    """Also when there is room."""
    all_line_up = Policy(0, 600, ACTIVE_MS, mode="queue_all")
    given = GivenLine()
    given.when(Join("ann"), policy=all_line_up).then(
        Joined("ann", 1, T0), reply=Place("ann", 1, T0, 0, 0)
    )
    wake_ms = queue_next_wake(given.line, all_line_up)
    assert wake_ms is not None
    assert wake_ms <= T0
    assert given.when(Admit(), policy=all_line_up).events[0].count == 1


def test_nobody_may_wait_where_the_cap_is_zero_but_who_finds_room_comes_in() -> None:
    policy = replace(ONE, max_waiting=0)
    given = GivenLine()
    given.when(Join("ann"), policy=policy).refused("queue_full")
    policy = replace(ONE, max_waiting=1)
    given.when(Join("ann"), policy=policy)
    given.when(Join("bob"), policy=policy)
    given.when(Join("cid"), policy=policy).refused("queue_full")


def test_a_rate_by_the_second_and_by_the_hour() -> None:
    for interval_ms, rate, step_ms in [(1_000, 4, 250), (3_600_000, 36, 100_000)]:
        policy = Policy(0, rate, ACTIVE_MS, interval_ms=interval_ms)
        given = lined_up(*"abc", policy=policy)
        given.when(Admit(), policy=policy)
        assert queue_next_wake(given.line, policy) == min(T0 + step_ms, END)


# -- silence ---------------------------------------------------------------------------------------


def test_who_went_silent_blocks_nobody() -> None:
    given = lined_up("ann", "bob", "cid", "dan")
    given.when(DropSilent((3, 1, 3, 9)), policy=PAUSED, at=T0 + 7).then(
        WentSilent((1, 3), T0 + 7), reply=AdmissionsDone()
    )
    assert place_of(given.line, "dan") == Place("dan", 4, T0, 1, 0)
    given.when(Admit(), policy=ONE, at=T0 + 8).then(
        Admitted(2, 2, 1, T0 + 8, END + 8), reply=AdmissionsDone()
    )


def test_a_slot_of_somebody_silent_goes_to_the_next_at_once() -> None:
    given = lined_up("ann", "bob", policy=ONE)
    given.when(Admit(), policy=ONE)
    given.when(DropSilent((1,)), policy=ONE, at=T0 + 5).then(
        WentSilent((1,), T0 + 5), Admitted(2, 2, 1, T0 + 5, END + 5), reply=AdmissionsDone()
    )
    given.when(Leave("ann", 1), policy=ONE, at=T0 + 6).then(reply=TokenEnded(1))


def test_those_who_have_ended_are_passed_over() -> None:
    given = lined_up("ann", "bob")
    given.when(Leave("ann", 1), policy=PAUSED)
    given.when(DropSilent((1, 2**40)), policy=PAUSED).then(reply=AdmissionsDone())


# -- openings --------------------------------------------------------------------------------------


def scheduled(*users: str, before: tuple[str, ...] = ()) -> GivenLine:
    given = lined_up(*before, policy=ONE) if before else GivenLine()
    given.then_when(ChangePolicy("eve", opens_ms=OPENS), policy=ONE)
    for user in users:
        given.then_when(Join(user), policy=ONE)
    return given


USERS = [f"u{n}" for n in range(1, 21)]


def test_nobody_comes_in_before_the_opening_and_everybody_may_be_ahead() -> None:
    given = scheduled("ann", "bob", "cid")
    assert queue_next_wake(given.line, ONE) is None
    assert not given.line.active
    for user, number in [("ann", 1), ("bob", 2), ("cid", 3)]:
        assert place_of(given.line, user) == Place(user, number, T0, 2, 0)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS - 1).then(reply=AdmissionsDone())


def test_at_the_opening_places_are_drawn_once_and_the_first_comes_in() -> None:
    given = scheduled(*USERS)
    lots = draw("seed", 1, 20)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS).then(
        Drawn("seed", 1, 20, OPENS),
        Admitted(1, 1, 1, OPENS, OPENS + ACTIVE_MS),
        reply=AdmissionsDone(),
    )
    winner = f"u{lots.number(1)}"
    assert place_in(given.line, winner).until_ms == OPENS + ACTIVE_MS
    for number in range(1, 21):
        assert given.line.place(number) == lots.place(number)
    given.then_when(DrawPlaces("other"), policy=ONE, at=OPENS + 1).then(reply=AdmissionsDone())


def test_all_come_in_by_their_drawn_places_and_later_ones_behind() -> None:
    given = scheduled(*USERS)
    given.then_when(Join("late"), policy=ONE, at=OPENS)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS + 40)
    assert given.line.draws[0].last == 20
    assert place_of(given.line, "late") == Place("late", 21, OPENS, 19, 0)
    came, at = [], OPENS + 40
    while True:
        [(_, number)] = given.line.active
        came.append(number)
        if len(came) == 21:
            break
        at += 1
        user = user_of(given.line, number)
        given.then_when(UseToken(user, number), policy=ONE, at=at)
    lots = draw("seed", 1, 20)
    assert came == [*(lots.number(place) for place in range(1, 21)), 21]
    assert given.line.draws == ()


def test_who_leaves_before_or_after_the_draw_is_passed_over() -> None:
    given = scheduled(*USERS)
    given.then_when(Leave("u5", 5), policy=ONE)
    given.then_when(DropSilent((6,)), policy=ONE)
    given.then_when(ChangePolicy("eve", mode="paused"), policy=ONE)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS)
    given.then_when(Leave("u7", 7), policy=ONE, at=OPENS)
    lots = draw("seed", 1, 20)
    assert set(given.line.left) == {lots.place(number) for number in (5, 6, 7)}
    order = [n for n in map(lots.number, range(1, 21)) if n not in (5, 6, 7)]
    for ahead, number in enumerate(order):
        assert place_in(given.line, f"u{number}").ahead == ahead
    change = ChangePolicy("eve", mode="open", max_active=4)
    given.then_when(change, policy=ONE, at=OPENS)
    assert {number for _, number in given.line.active} == set(order[:4])


def test_who_waited_before_an_opening_stays_ahead_of_the_draw() -> None:
    given = scheduled(*USERS, before=("ann", "bob", "cid"))
    assert place_of(given.line, "bob") == Place("bob", 2, T0, 0, 0)  # ann is inside
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS)
    assert given.line.draws[0].first == 4
    assert [place_in(given.line, user).ahead for user in ("bob", "cid")] == [0, 1]


def test_calling_an_opening_off_restores_the_order() -> None:
    """Moving an opening keeps everybody's part in the draw."""
    given = scheduled("ann", "bob")
    given.then_when(ChangePolicy("eve", opens_ms=OPENS + 5_000), policy=ONE)
    given.then_when(Join("cid"), policy=ONE, at=OPENS + 1)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS + 4_999).then(reply=AdmissionsDone())
    moved = GivenLine()
    moved.line = given.line
    moved.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS + 5_000)
    assert (moved.line.draws[0].first, moved.line.draws[0].last) == (1, 3)
    given.then_when(ChangePolicy("eve", opens_ms=0), policy=ONE, at=OPENS + 2)
    assert [number for _, number in given.line.active] == [1]
    assert place_of(given.line, "cid") == Place("cid", 3, OPENS + 1, 1, 0)


def test_an_opening_that_nobody_waited_for_just_opens() -> None:
    given = scheduled()
    given.then_when(Join("ann"), policy=ONE, at=OPENS + 3).then(
        Joined("ann", 1, OPENS + 3),
        Drawn("", 1, 0, OPENS + 3),
        Admitted(1, 1, 1, OPENS + 3, END + 60_003),
        reply=Place("ann", 1, OPENS + 3, 0, END + 60_003),
    )
    given = scheduled("bob")
    given.then_when(Leave("bob", 1), policy=ONE)
    given.then_when(Join("ann"), policy=ONE, at=OPENS + 3)
    given.then_when(DrawPlaces("seed"), policy=ONE, at=OPENS + 50).then(
        Drawn("", 1, 0, OPENS + 50),
        Admitted(2, 2, 1, OPENS + 50, OPENS + 50 + ACTIVE_MS),
        reply=AdmissionsDone(),
    )


def test_a_second_opening_draws_the_later_ones_behind_the_first() -> None:
    given = scheduled(*USERS)
    given.then_when(DrawPlaces("one"), policy=ONE, at=OPENS)
    later = OPENS + 60_000
    given.then_when(ChangePolicy("eve", opens_ms=later), policy=ONE, at=OPENS)
    for n in range(21, 31):
        given.then_when(Join(f"u{n}"), policy=ONE, at=OPENS)
    given.then_when(DrawPlaces("two"), policy=ONE, at=later)
    assert [(lots.seed, lots.first, lots.last) for lots in given.line.draws] == [
        ("one", 1, 20),
        ("two", 21, 30),
    ]
    second = draw("two", 21, 30)
    for number in range(21, 31):
        assert place_in(given.line, f"u{number}").ahead == second.place(number) - 2
    again = taken_up(stored(given.line))
    assert again == given.line


def test_openings_whose_people_still_wait_are_few() -> None:
    given = scheduled("u0", "v0")
    at = OPENS
    for n in range(DRAWS_MAX):
        given.then_when(DrawPlaces(f"seed {n}"), policy=ONE, at=at)
        change = ChangePolicy("eve", opens_ms=at + 1_000)
        outcome = given.then_when(change, policy=ONE, at=at)
        given.then_when(Join(f"u{n + 1}"), policy=ONE, at=at)
        at += 1_000
    assert isinstance(outcome.reply, RulesRefused)
    assert len(given.line.draws) == DRAWS_MAX


@pytest.mark.parametrize(
    "event", [Drawn("s", 1, 3, OPENS), Drawn("s", 2, 1, OPENS), Drawn("s", 2, 2, OPENS)]
)
def test_a_draw_of_others_than_those_who_gathered_crashes(event: Drawn) -> None:
    line = scheduled("ann", "bob").line
    with pytest.raises(BrokenInvariantError):
        evolve_queue(line, event)


# -- over time -------------------------------------------------------------------------------------


def test_every_tenth_vanishes_without_a_word_and_the_queue_keeps_its_rate() -> None:
    """10,000 wait, at 20,000 a minute; every tenth is noticed as silent after a minute, and until
    then counts as there."""
    policy = Policy(max_active=0, admit_per_interval=20_000, active_ms=10**9)
    line = fold(
        evolve_queue,
        Line(policy=policy),
        (Joined(f"u{n}", n, T0) for n in range(1, 30_001)),
    )
    silent = [n for n in range(1, 30_001) if n % 10 == 0]
    admitted: dict[int, int] = {}
    at, dropped = T0, False
    while line.waiting:
        command: QueueCommand = Admit()
        if not dropped and at >= T0 + 30_000:
            command, dropped = DropSilent(tuple(silent)), True
        decided = decide_queue(line, command, policy, at)
        for event in decided.events:
            if isinstance(event, Admitted):
                second = (at - T0) // 1000
                admitted[second] = admitted.get(second, 0) + event.count
        line = decided.line
        at = queue_next_wake(line, policy) or at
    full = [count for second, count in admitted.items() if second < max(admitted)]
    assert all(abs(count - 20_000 / 60) <= 0.05 * 20_000 / 60 for count in full)
    # 10,000 in 30 s with the silent, then 18,000 of the 20,000 that are left.
    assert sum(admitted.values()) == pytest.approx(28_000, rel=0.01)
    assert max(admitted) == pytest.approx(84, abs=1)


def test_left_and_went_silent_are_the_same_for_those_behind() -> None:
    events = [Joined(f"u{n}", n, T0) for n in range(1, 6)]
    left = fold(evolve_queue, Line(), [*events, Left("u2", 2), Left("u4", 4)])
    silent = fold(evolve_queue, Line(), [*events, WentSilent((2, 4), T0)])
    assert left == silent
