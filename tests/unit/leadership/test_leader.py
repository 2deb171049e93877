"""The loop under faults. Everywhere: never two who believe that they lead, unless a test says so,
and then only the later term can write."""

from __future__ import annotations

import asyncio

import pytest

from actors.election.candidacy import Times
from actors.election.leadership import Leader
from tests.support.candidates import House
from tests.support.faulty import FaultyElection
from tests.support.virtual_time import VirtualTimeLoop


async def test_one_of_three_is_elected_and_stays(house: House) -> None:
    for name in ("anna", "bert", "cleo"):
        house.candidate(name)
    took_s = await house.until(lambda: len(house.leaders()) == 1)
    assert took_s < 1.0
    assert len(await house.pass_time(120)) == 1
    assert house.tables.leadership.term == 1
    assert [one.told for one in house.candidates].count([1]) == 1
    [winner] = [one for one in house.candidates if one.term]
    others = [one.leader.view() for one in house.candidates if one is not winner]
    assert {(view.holder, view.term, view.mine) for view in others} == {(winner.name, 1, False)}
    assert winner.leader.view().mine


async def test_a_leader_that_stops_lets_the_next_one_in_within_a_renewal(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(5)
    anna.leader.stop()
    assert await house.until(lambda: bert.term == 2) <= 1.7
    assert anna.told == [1, None]
    await asyncio.wait_for(anna.task, 30)


async def test_a_leader_that_dies_is_followed_when_its_key_is_over(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(5)
    await anna.crash()
    assert anna.told == [1, None], "no farewell, but no illusion either"
    assert await house.until(lambda: bert.term == 2) < 7.7


async def test_who_is_not_fit_to_lead_lets_another_lead(house: House) -> None:
    """It reaches both stores of the election, but not the journal that others reach."""
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(5)
    anna.fit = False
    assert await house.until(lambda: bert.term == 2) <= 3.5
    assert anna.told == [1, None]
    await bert.crash()
    assert await house.pass_time(30) <= {"bert"}, "nobody is better than one who is not fit"
    anna.fit = True
    await house.until(lambda: anna.term == 3)


async def test_redis_that_grants_everybody_makes_no_second_leader(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    house.candidate("bert")
    house.ballot.grants_everybody = True
    assert await house.pass_time(60) == {"anna"}
    assert house.tables.leadership.term == 1


async def test_redis_that_grants_two_newcomers_at_once_makes_one_leader(house: House) -> None:
    house.ballot.grants_everybody = True
    house.candidate("anna")
    house.candidate("bert")
    await house.until(lambda: bool(house.leaders()))
    assert len(await house.pass_time(60)) == 1
    assert house.tables.leadership.term == 1


async def test_redis_that_forgets_the_leader_changes_nothing(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    house.candidate("bert")
    for _ in range(10):
        house.ballot.forget()
        assert await house.pass_time(3.1) == {"anna"}
    assert house.tables.leadership.term == 1


async def test_a_key_that_redis_gave_to_another_ends_it_at_once(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    house.ballot.hold("somebody", 6.0)
    assert await house.until(lambda: anna.term is None) <= 1.6
    assert await house.until(lambda: anna.term == 2) <= 8.0


async def test_a_leader_cut_off_from_both_gives_up_by_itself(house: House) -> None:
    """Its later writes are refused."""
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(3)
    anna.election.pause()
    anna.store.pause()
    assert await house.until(lambda: anna.term is None) <= 4.1
    await house.until(lambda: bert.term == 2, limit_s=5)
    anna.election.resume()
    anna.store.resume()

    late = await anna.plan(1)
    assert (late.current, late.shards) == (False, frozenset())
    assert (await bert.plan(2)).shards == {0}
    assert (await bert.store.shards())[0].desired == "bert"
    assert await house.pass_time(30) == {"bert"}


async def test_a_process_that_was_stopped_leads_no_more_before_it_does_anything(
    house: House,
) -> None:
    """The time passes with no turn of the event loop in it, as between SIGSTOP and SIGCONT."""
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._jumping.now += 10.0
    assert anna.term is None
    assert anna.told == [1], "the loop had no turn yet"
    house.ballot.hold("bert", 6.0)
    seen = await anna.store.leadership()
    assert await anna.store.raise_term("bert", "redis", 5.0, seen) == 2

    assert not (await anna.plan(1)).current
    await house.until(lambda: anna.told == [1, None])
    assert anna.term is None


async def test_an_answer_that_comes_after_the_pause_does_not_lengthen_it(house: House) -> None:
    """The renewal counts from when it was sent."""
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    anna.election.pause()
    anna.store.pause()
    await house.pass_time(1.6)  # a renewal is on its way
    anna.election.resume()
    anna.store.resume()
    loop._jumping.now += 10.0
    await asyncio.sleep(0)
    assert anna.term is None
    await house.until(lambda: anna.told == [1, None, 2])


async def test_a_leader_by_the_row_stays_when_redis_is_back_empty(house: House) -> None:
    anna, bert = house.candidate("anna"), house.candidate("bert")
    await house.until(lambda: bool(house.leaders()))
    house.ballot.away = True
    house.ballot.forget()
    assert await house.until(lambda: not house.leaders()) <= 4.1
    assert 9.0 < await house.until(lambda: bool(house.leaders())) < 14.0
    [winner] = [one for one in (anna, bert) if one.term]
    assert (winner.leader.view().via, winner.term) == ("postgres", 2)
    assert (await winner.plan(2)).current
    await house.pass_time(12)

    house.ballot.away = False
    assert await house.until(lambda: winner.leader.view().via == "redis") <= 1.6
    assert await house.pass_time(30) == {winner.name}
    assert house.tables.leadership.term == 2, "back to Redis in the same term"
    assert house.tables.leadership.via == "redis"
    assert house.ballot.holder == winner.name


async def test_one_that_alone_lost_redis_does_not_take_the_row(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    bert.election.go_away()
    assert await house.pass_time(60) == {"anna"}
    assert house.tables.leadership.term == 1


async def test_a_leader_that_alone_lost_redis_is_followed_by_one_that_reaches_it(
    house: House,
) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(3)
    anna.election.go_away()
    assert await house.until(lambda: bert.term == 2) < 8.0
    assert await house.pass_time(60) == {"bert"}


async def test_a_leader_that_alone_lost_the_database_gives_the_key_back(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(3)
    anna.store.go_away()
    assert await house.until(lambda: bert.term == 2) < 8.0
    assert await house.pass_time(60) == {"bert"}
    assert (anna.leader.view().journal_reached, anna.leader.view().redis_reached) == (False, True)


async def test_a_database_away_for_a_moment_deposes_nobody(house: House) -> None:
    anna = house.candidate("anna")
    house.candidate("bert")
    await house.until(lambda: anna.term == 1)
    house.tables.away = True
    await house.pass_time(2)
    house.tables.away = False
    assert await house.pass_time(30) == {"anna"}
    assert anna.told == [1]


async def test_after_a_long_outage_of_the_database_there_is_a_leader_again(house: House) -> None:
    house.candidate("anna")
    house.candidate("bert")
    await house.until(lambda: bool(house.leaders()))
    house.tables.away = True
    await house.until(lambda: not house.leaders(), limit_s=5)
    assert await house.pass_time(60) == set()
    house.tables.away = False
    assert await house.until(lambda: bool(house.leaders())) < 8.0
    assert house.tables.leadership.term == 2
    assert house.tables.leadership.via == "redis", "Redis was there all the time"


async def test_both_stores_away_and_back_is_an_election_like_the_first(house: House) -> None:
    house.candidate("anna")
    house.candidate("bert")
    await house.until(lambda: bool(house.leaders()))
    house.ballot.away = house.tables.away = True
    assert await house.pass_time(40) != {"anna", "bert"}
    house.ballot.away = house.tables.away = False
    assert await house.until(lambda: bool(house.leaders())) < 8.0


async def test_a_database_clock_that_jumps_ahead_deposes_nobody_who_has_the_key(
    house: House,
) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    house.candidate("bert")
    for _ in range(5):
        house.database_clock.wall_offset_ms += 3_600_000
        assert await house.pass_time(7) == {"anna"}
    assert house.tables.leadership.term == 1


async def test_a_clock_that_jumps_ahead_lets_only_the_later_leader_write(house: House) -> None:
    house.ballot.away = True
    anna = house.candidate("anna")
    await house.pass_time(0.5)  # half a second after anna's rounds come bert's
    bert = house.candidate("bert")
    await house.until(lambda: anna.term == 1)
    await house.pass_time(5)
    renewed = house.tables.leadership.expires_at
    await house.until(lambda: house.tables.leadership.expires_at != renewed)
    house.database_clock.wall_offset_ms += 3_600_000
    await house.pass_time(0.8, leaders_max=2)

    assert house.leaders() == ["anna", "bert"], "both believe it for a moment"
    assert not (await anna.plan(1)).current
    assert (await bert.plan(2)).shards == {0}
    await house.pass_time(1, leaders_max=2)
    assert anna.told == [1, None]
    assert await house.pass_time(30) == {"bert"}


async def test_a_clock_that_jumps_back_keeps_no_dead_leader_alive(house: House) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    bert = house.candidate("bert")
    await house.pass_time(5)
    house.database_clock.wall_offset_ms -= 3_600_000
    await anna.crash()
    assert await house.until(lambda: bert.term == 2) < 8.0


async def test_a_raised_term_whose_answer_was_lost_is_followed_by_the_next(house: House) -> None:
    anna = house.candidate("anna")
    anna.store.lose_answers()
    assert await house.until(lambda: anna.term == 2) < 2.0
    assert anna.told == [2]


async def test_a_call_that_hangs_does_not_keep_the_leader_from_giving_up_on_time(
    house: House,
) -> None:
    anna = house.candidate("anna")
    await house.until(lambda: anna.term == 1)
    anna.election.pause()
    assert await house.until(lambda: anna.told == [1, None]) <= 4.2


async def test_a_leader_that_counts_on_another_ttl_is_refused(house: House) -> None:
    anna = house.candidate("anna")
    with pytest.raises(ValueError, match=r"grants 60.0 s"):
        Leader(
            FaultyElection(house.ballot, ttl_s=60.0),
            anna.store,
            "anna",
            house.clock,
            on_elected=print,
            on_deposed=print,
            times=Times(),
        )
