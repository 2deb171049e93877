"""Double entry: each movement of money takes from one account what it adds to another.

So all accounts always sum to zero. What came in is below zero, as it is owed to users and dates:

============================  ==================================================================
``cash_in``                   the outside, from which users charge
``wallet/<user>``             a user's balance
``payment/<id>``              money of a payment under way
``revenue/<date>``            what the seats of a date were sold for
============================  ==================================================================
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

CASH_IN: Final = "cash_in"


class Transfer(NamedTuple):
    """So much won out of one account into another."""

    source: str
    target: str
    amount: int


def wallet(user: str) -> str:
    """The account of a user's balance."""
    return f"wallet/{user}"


def in_flight(payment: str) -> str:
    """The account of a payment under way."""
    return f"payment/{payment}"


def revenue(date: str) -> str:
    """The account of what a date brought."""
    return f"revenue/{date}"


def transfers(user: str, event: Any) -> tuple[Transfer, ...]:
    """What an event of this user's account moves. Of the event only its type's name and the amounts
    and ids count, so that other readers of the journal can ask with theirs."""
    return MOVEMENTS[type(event).__name__](user, event)


_Movement = Callable[[str, Any], tuple[Transfer, ...]]

MOVEMENTS: Final[Mapping[str, _Movement]] = {
    "Charged": lambda user, event: (Transfer(CASH_IN, wallet(user), event.amount),),
    "PaymentStarted": lambda user, event: (
        Transfer(wallet(user), in_flight(event.id), event.amount),
    ),
    "PaymentCompleted": lambda user, event: (
        Transfer(in_flight(event.id), revenue(event.schedule), event.amount),
    ),
    "PaymentRefunded": lambda user, event: (
        Transfer(in_flight(event.id), wallet(user), event.amount),
    ),
}
"""Each type of event that moves money, with its transfers."""
