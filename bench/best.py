"""How long it takes to decide an order of the best seats left: ``python -m bench.best``.

A hall of 1,350 is sold out in pairs, with the whole decision of each; of an arena of 12,000 the
choice of four is timed, when it is empty and as it fills.
"""

from __future__ import annotations

import time

from booking.domain.persistent import Prices
from booking.domain.plan import Category, Row, Section, Venue, plan_of
from booking.seats.domain.best import Hall, seating_of
from booking.seats.domain.ledger import EMPTY_LEDGER, Ledger
from booking.seats.domain.order import OrderPlaced, PlaceOrder, Wish, decide_order
from booking.seats.domain.seat import FREE, Terms

_TERMS = Terms(1_000, 0, 10**9, 300_000, 10)


def house(rows: int, width: int) -> tuple[Hall, float]:
    """A house of three categories with an aisle in the middle, and how long it took to lay out."""
    categories = tuple(Category(name, name, "#000000") for name in "abc")
    made = [
        Row(
            section=0, name=str(at), numbers=range(at * width + 1, (at + 1) * width + 1),
            labels=range(1, width + 1), categories=bytes([3 * at // rows]) * width,
            flags=bytes(width), aisles=(width // 2,),
        )
        for at in range(rows)
    ]  # fmt: skip
    plan = plan_of(categories, (Section("hall"),), made)
    prices = Prices((number, 1_000) for number in range(1, plan.seats + 1))
    began = time.process_time()
    hall = Hall(seating_of(Venue("v", "v", "v", "UTC", plan, "m"), prices), prices)
    hall.best(EMPTY_LEDGER, Wish(2), "nobody", 0)
    return hall, time.process_time() - began


def sell(hall: Hall, size: int, limit: int) -> tuple[list[float], list[float], Ledger]:
    """Place orders until nothing is left: seconds of each choice, and of each decision with it."""
    ledger, choices, decisions = EMPTY_LEDGER, list[float](), list[float]()
    for number in range(limit):
        user, order = f"{number:08x}-0000-4000-8000-000000000000", f"ord_{number:028x}"
        command = PlaceOrder(user, order, wish=Wish(size))
        began = time.process_time()
        chosen = hall.best(ledger, Wish(size), user, 1)
        choices.append(time.process_time() - began)
        seats = dict.fromkeys(chosen, FREE)
        decided = decide_order(seats, ledger, command, lambda _: _TERMS, 0, 1)
        decisions.append(time.process_time() - began)
        if not isinstance(decided.reply, OrderPlaced):
            break
        ledger = decided.ledger
    return choices, decisions, ledger


def main() -> None:
    """Print it."""
    for name, rows, width, size in (("hall", 27, 50, 2), ("arena", 200, 60, 4)):
        hall, laid_out_s = house(rows, width)
        choices, decisions, ledger = sell(hall, size, rows * width)
        total = sum(decisions)
        print(
            f"{name} of {rows * width:,}, {size} together: {len(decisions) / total:,.0f} decisions"
            f"/s; a choice takes {1e3 * sum(choices) / len(choices):.3f} ms, at most"
            f" {1e3 * max(choices):.3f} ms; {ledger.held / (rows * width):.1%} held;"
            f" laid out in {1e3 * laid_out_s:.1f} ms"
        )


if __name__ == "__main__":
    main()
