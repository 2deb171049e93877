"""Members, packed and as they are, against plain dicts."""

from __future__ import annotations

import uuid

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.queue.domain.blocks import WIDTH, Member
from booking.queue.domain.events import Joined, Policy
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.members import PAGE_NUMBERS, Members, joined_in
from booking.queue.entity import QueueBehaviour
from tests.support.lines import stored, taken_up

IDS = [str(uuid.UUID(int=n << 60 | 7)) for n in range(1, 6)]
USERS = st.one_of(
    st.sampled_from(IDS), st.sampled_from([IDS[0].upper(), IDS[0].replace("-", ""), "ann", "", "é"])
)
ATTEMPTS = st.sampled_from(["", "0" * 32, "ab" * 16, "AB" * 16, "try 1", "ab" * 15])
NUMBERS = st.one_of(st.integers(1, 70), st.integers(PAGE_NUMBERS - 3, PAGE_NUMBERS + 3))
TIMES = st.integers(1, 2**53)
STEPS = st.lists(
    st.one_of(
        st.builds(Member, USERS, NUMBERS, TIMES, ATTEMPTS),
        st.tuples(st.just("admit"), st.lists(NUMBERS, max_size=5), TIMES),
        st.tuples(st.just("remove"), NUMBERS, TIMES),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_they_are_what_was_put_in(steps: list[Member | tuple[str, int | list[int], int]]) -> None:
    """Whatever form a user's name and a try's have, packed or not, and before and after they were
    stored; and an older version stays as it was."""
    model: dict[int, Member] = {}
    versions = [(Members(), dict(model))]
    for step in steps:
        made = versions[-1][0]
        if isinstance(step, Member):
            if step.user in made or step.number in model:
                continue
            made, model = made.add(step), {**model, step.number: step}
        elif isinstance(step[1], list):
            numbers = sorted(set(step[1]) & model.keys())
            made = made.admit(numbers, step[2])
            inside = [Member(m.user, n, m.joined_ms, m.attempt, step[2]) for n, m in model.items()]
            model = model | {member.number: member for member in inside if member.number in numbers}
        elif step[1] in model:
            made = made.remove(model[step[1]])
            model = {n: member for n, member in model.items() if n != step[1]}
        versions.append((made, model))
    for made, model in versions:
        assert list(made) == [model[number] for number in sorted(model)]
        assert len(made) == len(model)
        assert all(made.get(member.user) == member for member in model.values())
        assert all(made.at(number) == model.get(number) for number in range(1, 2 * WIDTH))
    line = Line(last_number=2 * PAGE_NUMBERS, members=versions[-1][0])
    read = taken_up(stored(line))
    assert read.members == line.members
    assert [read.members.get(m.user) for m in line.members] == list(line.members)
    assert list(read.active) == sorted((m.until_ms, m.number) for m in line.members if m.until_ms)


def test_who_is_not_there_cannot_be_admitted() -> None:
    for user in (IDS[0], "ann"):
        some = Members().add(Member(user, 1, 5, ""))
        with pytest.raises(KeyError):
            some.admit([1, 2], 9)


def test_pages_of_the_release_before_are_read() -> None:
    """Given pages of columns, when they are read, then all is as if they were of today."""
    line = Line()
    for number in range(1, PAGE_NUMBERS + 50):
        line = evolve_queue(line, Joined(str(uuid.UUID(int=number)), number, 7 + number, "ab" * 16))
    head, _ = stored(line)
    pages = {}
    for at in range(2):
        some = [one for one in line.members if one.number // PAGE_NUMBERS == at]
        numbers = [some[0].number, *[1] * (len(some) - 1)]
        times = [some[0].joined_ms, *[1] * (len(some) - 1)]
        columns = [[m.user for m in some], numbers, times, ["ab" * 16] * len(some), [0] * len(some)]
        pages[at] = msgspec.msgpack.encode(columns)
    assert taken_up((head.replace(b"line-4", b"line-3"), pages)) == line


def test_a_member_takes_half_of_a_hundred_bytes_in_a_snapshot() -> None:
    """Given users and tries of the usual form, a page is packed: nothing of it has to be made
    anew member by member when it is stored, read or dropped."""
    behaviour, line = QueueBehaviour(lambda: Policy(1, 0, 600_000)), Line()
    for number in range(1, 2 * PAGE_NUMBERS):
        line = evolve_queue(line, Joined(str(uuid.uuid4()), number, 7, uuid.uuid4().hex))
    for page in behaviour.pages(line).values():
        assert all(isinstance(block, bytes) for block in page)
        assert len(behaviour.encode_page(page)) <= 50 * PAGE_NUMBERS


def test_no_part_of_a_line_that_is_handled_at_once_grows_with_it() -> None:
    """Pages are read, written and dropped one at a time, and so is what finds users."""
    most = []
    for count in (PAGE_NUMBERS, 20 * PAGE_NUMBERS):
        members = Members()
        for number in range(1, count + 1):
            members = members.add(Member(str(uuid.UUID(int=number)), number, 7, ""))
        pages = members.pages()
        of_page = max(sum(1 for _ in joined_in(page)) for page in pages.values())
        tables = [piece for piece in members.pieces() if isinstance(piece, dict)]
        assert len(pages) + len(tables) == len(members.pieces())
        assert sum(map(len, tables)) == count
        most.append((of_page, max(map(len, tables)) < 4 * count / len(tables) + 16))
    assert most == [(PAGE_NUMBERS, True)] * 2
