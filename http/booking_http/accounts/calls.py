"""A user's money: charge, balance, history."""

from __future__ import annotations

from booking.accounts.service import Charged, HistoryItem
from booking.domain.decision import Rejected
from booking.services import Services
from booking_http.bodies import BodyReader, attempt_of
from booking_http.dispatch import data_reply
from booking_http.identity import Identity
from booking_http.params import AFTER, LIMIT, USER
from booking_http.problems import RejectedError
from booking_http.reply import NO_STORE, REPLAYED, Reply
from booking_http.routes import Answer, Call, Route
from booking_http.schemas import BalanceData, ChargeBody, HistoryEntry, HistoryPage
from booking_http.settings import EdgeSettings
from booking_http.times import rfc3339


class UserCalls:
    def __init__(self, services: Services, settings: EdgeSettings, identity: Identity) -> None:
        self._services = services
        self._identity = identity
        self._body = BodyReader(ChargeBody, settings.body_timeout_s)

    async def charge(self, call: Call) -> Reply:
        body = await self._body.read(call.request)
        self._identity.check(call.request, body.userId)
        attempt = attempt_of(call.request, body)
        outcome = await self._services.accounts.charge(body.userId, body.amount, attempt)
        if isinstance(outcome.value, Rejected):
            raise RejectedError(outcome.value, outcome.replayed)
        assert isinstance(outcome.value, Charged)
        headers = NO_STORE + REPLAYED if outcome.replayed else NO_STORE
        return data_reply(BalanceData(outcome.value.balance), 200, headers)

    async def balance(self, call: Call) -> Reply:
        user = call.params["userId"]
        self._identity.check(call.request, user)
        return data_reply(BalanceData(await self._services.accounts.balance(user)))

    async def history(self, call: Call) -> Reply:
        params = call.params
        user = params["userId"]
        self._identity.check(call.request, user)
        page = await self._services.accounts.history(
            user, params["limit"], params["starting_after"]
        )
        return data_reply(HistoryPage([_entry(item) for item in page.items], page.has_more))

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                "/user/charge",
                self.charge,
                "charge",
                "Charge a balance",
                Answer(200, BalanceData, "The balance after it."),
                "user",
                gate="optional",
                body=ChargeBody,
                idempotent=True,
                problems=("not_found", "balance_limit"),
            ),
            Route(
                "GET",
                "/user/check",
                self.balance,
                "balance",
                "A balance",
                Answer(200, BalanceData, "0 for a user never seen."),
                "user",
                gate="optional",
                params=(USER,),
                problems=("not_found",),
            ),
            Route(
                "GET",
                "/user/history",
                self.history,
                "history",
                "Charges and uses",
                Answer(200, HistoryPage, "Newest first."),
                "user",
                gate="optional",
                params=(USER, LIMIT, AFTER),
                problems=("not_found",),
            ),
        )


def _entry(item: object) -> HistoryEntry:
    assert isinstance(item, HistoryItem)
    return HistoryEntry(item.id, item.type, item.amount, item.balance, rfc3339(item.at_ms))
