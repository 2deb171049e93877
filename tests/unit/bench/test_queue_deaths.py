"""What became of people, counted from who was let in."""

from __future__ import annotations

from bench.methods.queues.measure import Death, count


def test_nobody_is_harmed_when_all_come_in_once_and_in_order() -> None:
    assert count("there", [1, 2, 4], [1, 2, 4]) == Death("there", 3, 0, 0, 0)


def test_who_never_comes_in_is_lost() -> None:
    assert count("there", [1, 2, 3, 4], [1, 4]).lost == 2


def test_who_comes_in_again_is_doubled_but_not_out_of_order() -> None:
    death = count("there", [1, 2, 3], [1, 2, 1, 2, 2, 3])
    assert (death.lost, death.doubled, death.out_of_order) == (0, 3, 0)


def test_who_comes_in_after_somebody_behind_is_out_of_order() -> None:
    death = count("there", [3, 1, 2, 4], [3, 4, 1, 2])
    assert (death.lost, death.doubled, death.out_of_order) == (0, 0, 2)
