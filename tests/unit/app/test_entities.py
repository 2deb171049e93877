"""The domain as actors: what the wrapping adds to it."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.address import Address
from actors.behaviour import TIMER_FIRED, Ask, Tell
from booking.accounts.domain.account import Account, PendingPayment, Reservation, SettlePayment
from booking.accounts.entity import AccountBehaviour
from booking.catalogue.domain import Catalogue
from booking.domain.decision import Code, Rejected
from booking.entities import Codec, ledger_address, queue_address, seat_address
from booking.queue.domain.events import Joined, Left, Policy
from booking.queue.domain.line import Line, evolve_queue
from booking.queue.domain.members import PAGE_NUMBERS as PAGE_KEYS
from booking.queue.domain.queue import TokenEnded, UseToken
from booking.queue.entity import WHOLE_BYTES_MAX, QueueBehaviour
from booking.seats.domain.ledger import EMPTY_LEDGER, HoldCounted, SaleCounted, evolve_ledger
from booking.seats.domain.seat import FREE, ConfirmSale, SaleConfirmed
from booking.seats.entity import HoldRules, LedgerBehaviour, SeatBehaviour
from tests.support.lines import stored, taken_up

T0 = 1_800_000_000_000
RULES = HoldRules(hold_ms=300_000, max_holds=4, cool_down_ms=30_000)
SEATS = SeatBehaviour(lambda: Catalogue({}), RULES)


HELD = Reservation("r1", "d", 7, 1_000, T0, T0 + 300_000, payment="p1")
PENDING = PendingPayment("p1", "r1", 1_000, T0 + 5, "main", 3)
PAYING = Account(500, {"r1": HELD}, {"p1": PENDING}, user="ann")


def steps(state: Account, saga: str, *answers: Any) -> list[Ask | Tell | None]:
    behaviour = AccountBehaviour()
    return [behaviour.step(state, saga, answers[:count]) for count in range(len(answers) + 1)]


def test_a_payment_asks_the_seat_then_settles() -> None:
    assert steps(PAYING, "p1", SaleConfirmed("r1", "p1")) == [
        Ask(seat_address("d", 7), ConfirmSale("ann", "r1", "p1")),
        Tell(SettlePayment("p1")),
    ]


def test_a_spent_token_is_ended_as_a_follow_up() -> None:
    paid = Account(500, spent={"main": 3, "a queue": 4}, user="ann")
    follow_ups = list(AccountBehaviour().follow_ups(paid))
    assert [steps(paid, name, TokenEnded(0)) for name in follow_ups] == [
        [Ask(queue_address("main"), UseToken("ann", 3)), None],
        [Ask(queue_address("a queue"), UseToken("ann", 4)), None],
    ]


def test_a_refused_sale_is_settled_with_the_refusal() -> None:
    refused = Rejected(Code.HOLD_EXPIRED, "too late")
    assert steps(PAYING, "p1", refused)[-1] == Tell(
        SettlePayment("p1", Code.HOLD_EXPIRED, "too late")
    )


def test_a_queue_is_replayed_where_its_snapshot_is_of_an_older_shape() -> None:
    behaviour = QueueBehaviour(lambda: Policy(1, 0, 600_000))
    before = [2, 1, [["ann", 2, T0, "", 0]], [], [[T0, 1]], 0, 0, T0]
    assert behaviour.decode_state(msgspec.msgpack.encode(before)) is None
    line = Line(last_number=7, watermark=7)
    assert behaviour.decode_state(behaviour.encode_state(line)) == line


def whole_line(members: int) -> bytes:
    """A snapshot of the release before: the first of so many is inside."""
    users = [f"user-{n}" for n in range(1, members + 1)]
    ones, attempts = [1] * members, ["a" * 32] * members
    steps = [T0, *[1] * (members - 1)]
    parts: list[Any] = ["line-2", members, 1, users, ones, steps, attempts, [(T0 + 5, 1)], []]
    return msgspec.msgpack.encode([*parts, [], 0, 60_000, 0, 0, None, "settings", 0, []])


def test_a_queue_of_the_release_before_is_read_and_stored_in_pages() -> None:
    behaviour = QueueBehaviour(lambda: Policy(1, 0, 600_000))
    line = behaviour.decode_state(whole_line(2_000))
    assert line is not None
    assert len(line.members) == 2_000
    first, last = line.members.at(1), line.members.get("user-2000")
    assert first is not None
    assert last is not None
    assert (first.user, first.until_ms, list(line.active)) == ("user-1", T0 + 5, [(T0 + 5, 1)])
    assert (last.number, last.joined_ms, last.until_ms) == (2_000, T0 + 1_999, 0)
    assert taken_up(stored(line)) == line
    assert list(behaviour.pages(line)) == [0, 1]


def test_a_large_queue_of_the_release_before_is_replayed_from_its_journal() -> None:
    behaviour = QueueBehaviour(lambda: Policy(1, 0, 600_000))
    assert len(whole_line(30_000)) > WHOLE_BYTES_MAX
    assert behaviour.decode_state(whole_line(30_000)) is None


def test_a_change_of_one_member_changes_one_page_of_a_queue() -> None:
    behaviour = QueueBehaviour(lambda: Policy(1, 0, 600_000))
    line = Line()
    for number in range(1, 5_001):
        line = evolve_queue(line, Joined(f"user-{number}", number, T0))
    before = behaviour.pages(line)
    line = evolve_queue(line, Left("user-3000", 3_000))
    line = evolve_queue(line, Joined("late", 5_001, T0))
    after = behaviour.pages(line)
    changed = [number for number, page in after.items() if before.get(number) is not page]
    assert changed == [3_000 // PAGE_KEYS, 5_001 // PAGE_KEYS]
    assert all(len(behaviour.encode_page(page)) < 100 * 1024 for page in after.values())


def test_numbers_that_have_ended_leave_no_page_of_a_queue() -> None:
    behaviour = QueueBehaviour(lambda: Policy(1, 0, 600_000))
    line = Line()
    for number in range(1, 3_001):
        line = evolve_queue(line, Joined(f"user-{number}", number, T0))
    for number in range(1, 2_500):
        line = evolve_queue(line, Left(f"user-{number}", number))
    assert list(behaviour.pages(line)) == [2_500 // PAGE_KEYS]
    assert len(line.members) == 501


def test_a_seat_is_known_to_be_free_from_its_ledger_alone() -> None:
    ledger = evolve_ledger(EMPTY_LEDGER, HoldCounted(1, "r1", "ann", T0))
    ledger = evolve_ledger(ledger, HoldCounted(2, "r2", "ann", T0))
    ledger = evolve_ledger(ledger, SaleCounted(2, "r2"))
    states: dict[Address, Any] = {ledger_address("d"): ledger}
    inferred = [SEATS.infer(seat_address("d", number), states.get) for number in (1, 2, 3)]
    assert inferred == [None, None, FREE]
    assert SEATS.infer(seat_address("e", 3), states.get) is None


def test_the_ledgers_timer_looks_only_at_the_seats_that_end_next() -> None:
    ledger = EMPTY_LEDGER
    for number, end in ((1, 0), (2, 10), (3, 10_000)):
        ledger = evolve_ledger(ledger, HoldCounted(number, f"r{number}", "ann", T0 + end))
    behaviour = LedgerBehaviour(lambda: Catalogue({}), RULES)
    assert behaviour.next_timer_ms(ledger) == T0
    assert behaviour.companions(ledger_address("d"), ledger, TIMER_FIRED, T0) == [
        seat_address("d", 1),
        seat_address("d", 2),
    ]


class Grown(msgspec.Struct, frozen=True, tag=True):
    amount: int
    unit: str


def test_events_of_older_versions_are_brought_up_to_date_step_by_step() -> None:
    codec = Codec(
        states=None,
        events=Grown,
        commands=None,
        replies=None,
        upcasters={
            ("Grown", 1): lambda old: {"type": "Grown", "amount": old["size"]},
            ("Grown", 2): lambda old: {**old, "unit": "won"},
        },
    )
    assert codec.encode_event(Grown(5, "won"))[:2] == ("Grown", 3)
    for version, payload in ((1, b'{"size":5}'), (2, b'{"type":"Grown","amount":5}')):
        assert codec.decode_event("Grown", version, payload) == Grown(5, "won")
    assert codec.decode_event(*codec.encode_event(Grown(5, "won"))) == Grown(5, "won")


def test_an_unreadable_snapshot_is_left_aside() -> None:
    for behaviour in (AccountBehaviour(), SEATS, LedgerBehaviour(lambda: Catalogue({}), RULES)):
        assert behaviour.decode_state(msgspec.msgpack.encode("of another shape")) is None
