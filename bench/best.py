"""How long it takes to decide an order of the best seats left: ``python -m bench.best``.

A hall of 1,350 sells in pairs and an arena of 12,000 in fours until no group is left. Seconds are
those of a core, and a decision has its choice in it.
"""

from __future__ import annotations

import time

from booking.domain.persistent import Prices
from booking.domain.plan import Category, Row, Section, Venue, plan_of
from booking.seats.domain.best import Hall, seating_of
from booking.seats.domain.ledger import EMPTY_LEDGER
from booking.seats.domain.order import OrderPlaced, PlaceOrder, Wish, decide_order
from booking.seats.domain.seat import FREE, Terms


def house(rows: int, width: int) -> Hall:
    """A house of three categories with an aisle in the middle."""
    made = [
        Row(
            section=0, name=str(at), numbers=range(at * width + 1, (at + 1) * width + 1),
            labels=range(1, width + 1), categories=bytes([3 * at // rows]) * width,
            flags=bytes(width), aisles=(width // 2,),
        )
        for at in range(rows)
    ]  # fmt: skip
    plan = plan_of([Category(name, name, "") for name in "abc"], [Section("hall")], made)
    prices = Prices((number, 1_000) for number in range(1, plan.seats + 1))
    return Hall(seating_of(Venue("v", "v", "v", "UTC", plan, "m"), prices), prices)


def main() -> None:
    """Print it."""
    terms = Terms(1_000, 0, 10**9, 300_000, 10)
    for name, rows, width, size in (("hall", 27, 50, 2), ("arena", 200, 60, 4)):
        hall, ledger, choices = house(rows, width), EMPTY_LEDGER, list[float]()
        began = time.process_time()
        while True:
            order = f"ord_{len(choices):028x}"
            command, asked = PlaceOrder(order, order, wish=Wish(size)), time.process_time()
            seats = dict.fromkeys(hall.best(ledger, Wish(size), order, 1), FREE)
            choices.append(time.process_time() - asked)
            decided = decide_order(seats, ledger, command, lambda _: terms, 0, 1)
            if not isinstance(decided.reply, OrderPlaced):
                break
            ledger = decided.ledger
        rate = len(choices) / (time.process_time() - began)
        print(
            f"{name} of {rows * width:,}, {size} together: {rate:,.0f} decisions/s; a choice takes"
            f" {1e3 * sum(choices) / len(choices):.3f} ms, the first {1e3 * choices[0]:.1f} ms;"
            f" {ledger.held / (rows * width):.1%} held"
        )


if __name__ == "__main__":
    main()
