"""Users: each enters the queue, waits, holds seats, lets some go or expire, charges and pays, and
asks again for what got no answer. What a user does next depends on what the answers are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from booking.accounts.domain.account import OrderRecord, PaymentDone, ReservationRecord
from booking.calls import Attempt, TokenError, UnknownError
from booking.catalogue.domain import MAIN_QUEUE
from booking.domain.decision import Code, Rejected
from booking.domain.orders import order_of
from booking.queue.view import QueueStatus
from booking.seats.domain.order import Wish
from booking.seats.service import Wanted
from booking.services import Services
from tests.simulation import calls
from tests.simulation.calls import Ask, Call
from tests.simulation.plan import STORY_S
from tests.support.journals import user_id

if TYPE_CHECKING:
    from tests.simulation.story import Story

PATIENCE_S = (0.4, 2.0, 6.0)
"""How long a user waits for an answer before asking once more, elsewhere."""
TRIES_MAX = 6


class User:
    """One of them."""

    def __init__(self, story: Story, number: int) -> None:
        self.number = number
        self.id = user_id(number)
        self.name = f"user {number}"
        self._story = story
        self._random: Random = story.plan.random("user", number)
        self._asked = 0
        self._token = ""
        self._old_tokens: list[str] = []
        self._held: dict[str, ReservationRecord] = {}

    async def act(self) -> None:
        """Until the story is over."""
        await self._pause(1.0)
        while self._story.now_s < STORY_S:
            if not self._token:
                await self._enter()
            elif self._random.random() < 0.15:
                await self._look_around()
            else:
                await self._buy()
            await self._pause(0.5)

    async def _pause(self, about_s: float) -> None:
        await asyncio.sleep(self._random.uniform(0.02, 2 * about_s))

    # -- asking --------------------------------------------------------------------------------

    def _attempt(self, content: str, *, always: bool = False) -> Attempt | None:
        """A key for what is asked next; one in five goes without."""
        self._asked += 1
        if not always and self._random.random() < 0.2:
            return None
        return Attempt(f"{self.number}-{self._asked}", content.encode().ljust(16, b".")[:16])

    async def _ask(self, ask: Ask) -> Call:
        """Once, or again and again while there is no outcome and asking again does no harm."""
        call = await self._once(ask)
        for _ in range(TRIES_MAX if ask.attempt else 1):
            again = call.ended_s is None or call.error is not None
            if isinstance(call.error, TokenError) or not again or self._story.broken:
                break
            await self._pause(0.2)
            call = await self._once(ask)
        if call.final and ask.attempt and self._random.random() < 0.25:
            await self._once(ask)
        return call

    async def _once(self, ask: Ask) -> Call:
        instance = await self._story.reached(self._random)
        return await self._story.call(self.name, ask, instance, self._random.choice(PATIENCE_S))

    # -- the queue -----------------------------------------------------------------------------

    async def _enter(self) -> None:
        attempt = self._attempt("join")
        ask = Ask(
            "issue",
            "joins",
            lambda services: services.queue.issue(self.id, MAIN_QUEUE, attempt),
            3,
            attempt,
        )
        call = await self._ask(ask)
        if isinstance(call.value, QueueStatus):
            self._token = call.value.token
            await self._wait_in_line()
        elif isinstance(call.value, Rejected) and call.value.code == Code.ALREADY_QUEUED:
            # The answer that had the token was lost: the place ends by itself.
            await self._pause(2.0)

    async def _wait_in_line(self) -> None:
        while self._story.now_s < STORY_S and (token := self._token):
            call = await self._once(
                Ask("status", "polls", lambda s: calls.status(s, token), 1, token=token)
            )
            if isinstance(call.error, TokenError):
                self._lose_token()
            elif isinstance(call.value, QueueStatus) and call.value.active:
                return
            elif self._random.random() < 0.05:
                await self._leave()
            await self._pause(0.4)

    def _lose_token(self) -> None:
        if self._token:
            self._old_tokens.append(self._token)
        self._token = ""
        self._held.clear()

    async def _leave(self) -> None:
        token = self._token
        call = await self._once(
            Ask("leave", "leaves", lambda services: calls.leave(services, token), 1)
        )
        if call.final:
            self._lose_token()

    # -- inside --------------------------------------------------------------------------------

    async def _buy(self) -> None:
        """One step of a visit."""
        chance = self._random.random()
        if not self._held or chance < 0.25:
            await (self._order() if self._random.random() < 0.4 else self._hold())
        elif chance < 0.4:
            await self._let_go()
        elif chance < 0.5:
            await self._pause(2.0)  # perhaps until it has expired
        elif chance < 0.57:
            await self._leave()
        else:
            await self._charge()
            await self._pay()

    async def _hold(self) -> None:
        dates = self._story.catalogue.schedules
        date = self._random.choice(sorted(dates))
        seat = self._random.choice(sorted(dates[date].prices))
        attempt = self._attempt(f"hold {date} {seat}")
        run = partial(calls.reserve, date=date, seat=seat, attempt=attempt)
        call = await self._take("reservation", f"holds {date}-{seat}", run, attempt)
        if isinstance(call.value, ReservationRecord):
            self._held[call.value.reservation.id] = call.value

    async def _take(
        self, route: str, words: str, run: Callable[..., Any], attempt: Attempt | None
    ) -> Call:
        """Ask for seats with the token."""
        run = partial(run, text=self._token)
        call = await self._ask(Ask(route, words, run, 5, attempt, token=self._token))
        self._heed(call)
        return call

    async def _order(self) -> None:
        """Two or three seats at once: some that are named, or the best that are left."""
        dates = self._story.catalogue.schedules
        date, count = self._random.choice(sorted(dates)), self._random.choice((2, 2, 3))
        seats = sorted(dates[date].prices)
        numbers = tuple(self._random.sample(seats, min(count, len(seats))))
        wishes = Wish(count), Wish(count, together="prefer"), Wish(count, together=False)
        wanted: Wanted = self._random.choice((numbers, self._random.choice(wishes)))
        attempt = self._attempt(f"order {date} {wanted}")
        run = partial(calls.place, date=date, wanted=wanted, attempt=attempt)
        words = f"orders {numbers if wanted is numbers else count} of {date}"
        call = await self._take("order", words, run, attempt)
        if isinstance(call.value, OrderRecord):
            self._held |= {r.reservation.id: r for r in call.value.reservations}

    def _with(self, reservation: str) -> list[str]:
        """What is held under the same order."""
        return [each for each in self._held if order_of(each) == order_of(reservation)]

    async def _let_go(self) -> None:
        reservation = self._random.choice(list(self._held))
        token, given = self._token, [reservation]
        run = partial(calls.release, text=token, reservation=reservation)
        if len(self._with(reservation)) > 1 and self._random.random() < 0.7:
            given = self._with(reservation)
            run = partial(calls.release_order, text=token, order=order_of(reservation))
        call = await self._once(
            Ask("release", f"releases {reservation[-6:]}", run, 4 + 2 * len(given))
        )
        if call.final:
            for each in given:
                del self._held[each]
        self._heed(call)

    async def _charge(self) -> None:
        amount = self._story.new_amount(self._random)
        attempt = self._attempt(f"charge {amount}")
        ask = Ask(
            "charge",
            f"charges {amount}",
            lambda services: services.accounts.charge(self.id, amount, attempt),
            1,
            attempt,
            amount,
        )
        await self._ask(ask)

    async def _pay(self) -> None:
        hold = self._held[self._random.choice(list(self._held))].reservation
        attempt, token = self._attempt(f"pay {hold.schedule} {hold.seat}"), self._token
        run = partial(calls.pay, text=token, date=hold.schedule, seat=hold.seat, attempt=attempt)
        paid = [hold.id]
        if len(self._with(hold.id)) > 1 and self._random.random() < 0.7:
            paid, order = self._with(hold.id), order_of(hold.id)
            attempt = self._attempt(f"pay {order}")
            run = partial(calls.pay_order, text=token, order=order, attempt=attempt)
        words = f"pays for {hold.schedule}-{hold.seat}" + " and others" * (len(paid) > 1)
        call = await self._ask(Ask("payment", words, run, 3 + len(paid), attempt, token=token))
        if isinstance(call.value, PaymentDone | Rejected) or isinstance(call.error, UnknownError):
            for each in paid:
                self._held.pop(each, None)
        self._heed(call)

    def _heed(self, call: Call) -> None:
        if isinstance(call.error, TokenError):
            self._lose_token()

    async def _look_around(self) -> None:
        """Reads the balance or a date's seats, or tries a token that has to open nothing."""
        chance = self._random.random()
        if chance < 0.4:
            await self._once(
                Ask("balance", "asks", lambda services: services.accounts.balance(self.id), 1)
            )
        elif chance < 0.7:
            date = self._random.choice(sorted(self._story.catalogue.schedules))
            await self._once(Ask("seats", f"looks at {date}", lambda s: _seats(s, date), 1))
        elif self._old_tokens:
            old = self._random.choice(self._old_tokens)
            await self._once(Ask("gate", "tries an old token", lambda s: calls.gate(s, old), 1))


async def _seats(services: Services, date: str) -> dict[int, str]:
    return calls.seat_states(services.seats.seat_map(date))
