"""Work dealt out over a time."""

from __future__ import annotations

from booking_http.sockets.limits import BATCH_MAX
from booking_http.sockets.spread import Spread

TICK_S = 0.025


def ticks(spread: Spread[int], start: float, step: float) -> list[list[int]]:
    dealt, now = [], start
    while not spread.done:
        dealt.append(spread.due(now))
        now += step
    return dealt


def test_everybody_gets_one_turn_in_order_and_evenly() -> None:
    spread: Spread[int] = Spread(1.0, TICK_S, batch_min=0)
    spread.begin(range(4_000), 10.0)
    dealt = ticks(spread, 10.0, TICK_S)
    assert [each for batch in dealt for each in batch] == list(range(4_000))
    assert len(dealt) == 40
    assert {len(batch) for batch in dealt} <= {99, 100, 101}


def test_a_few_are_not_kept_waiting() -> None:
    spread: Spread[int] = Spread(1.0, TICK_S, batch_min=100)
    spread.begin(range(80), 0.0)
    assert spread.due(0.0) == list(range(80))
    assert spread.done
    assert spread.due(0.1) == []


def test_with_no_least_batch_the_turns_wait_for_their_time() -> None:
    spread: Spread[int] = Spread(1.0, TICK_S, batch_min=0)
    spread.begin(range(4), 0.0)
    assert [spread.due(at) for at in (0.0, 0.1, 0.5, 0.5, 1.0)] == [[0], [], [1, 2], [], [3]]


def test_what_is_late_is_caught_up_in_batches_that_hold_up_nobody_for_long() -> None:
    spread: Spread[int] = Spread(1.0, TICK_S)
    spread.begin(range(10_000), 0.0)
    assert len(spread.due(5.0)) == BATCH_MAX
    assert sum(len(batch) for batch in ticks(spread, 5.0, TICK_S)) == 10_000 - BATCH_MAX


def test_a_new_beginning_forgets_the_rest() -> None:
    spread: Spread[int] = Spread(1.0, TICK_S, batch_min=1)
    spread.begin(range(1_000), 0.0)
    spread.due(0.0)
    spread.begin([7, 8], 1.0)
    assert spread.due(2.0) == [7, 8]
