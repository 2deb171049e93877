"""Lines of waiting users as snapshots have them."""

from __future__ import annotations

from booking.queue.domain.events import Policy
from booking.queue.domain.line import Line
from booking.queue.entity import QueueBehaviour

BEHAVIOUR = QueueBehaviour(lambda: Policy(1, 0, 600_000))

Stored = tuple[bytes, dict[int, bytes]]
"""The head of a snapshot and its pages."""


def stored(line: Line) -> Stored:
    pages = {n: BEHAVIOUR.encode_page(page) for n, page in BEHAVIOUR.pages(line).items()}
    return BEHAVIOUR.encode_state(line), pages


def taken_up(snapshot: Stored) -> Line:
    head, pages = snapshot
    line = BEHAVIOUR.decode_state(head)
    assert line is not None
    for number, data in sorted(pages.items()):
        line = BEHAVIOUR.with_page(line, number, data)
        assert line is not None
    return line


def user_of(line: Line, number: int) -> str:
    member = line.members.at(number)
    assert member is not None, number
    return member.user
