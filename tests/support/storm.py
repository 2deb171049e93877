"""A storm of clients that book, and remember what they were told.

Every call that changes something is repeated, with its Idempotency-Key, until it has an outcome: a
refused connection, a lost one, a 503 and a key still in flight are none. So at the end nothing is
uncertain, and :mod:`tests.support.verdict` can demand that all of it is exactly true.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from booking_client import Unreachable
from tests.support.api_client import Api, Reply, eventually, new_user

OUTCOME_MAX_S = 25.0
"""Until a call has its outcome: the longest outage of a test is a few seconds."""
RETRY_FIRST_S, RETRY_MAX_S = 0.01, 0.25
SEATS_TRIED_MAX = 3
HOLDS_REFUSED = {
    "seat_unavailable",
    "hold_limit_reached",
    "purchase_limit_reached",
    "hold_cooling_down",
}


@dataclass(frozen=True)
class Try:
    """One attempt at a call. ``status`` 0: no answer came, ``code`` says why."""

    url: str
    status: int
    code: str
    retry_after: str | None = None
    at_s: float = 0.0
    """When it was sent, on the monotonic clock."""
    took_s: float = 0.0
    detail: str = ""
    """What a refusal says to people."""

    @property
    def failed(self) -> bool:
        """No answer, or one that is the service's fault."""
        return self.status == 0 or self.status >= 500


@dataclass
class Call:
    """One call with all its attempts."""

    user: str
    method: str
    path: str
    body: dict[str, Any] | None = None
    token: str | None = None
    key: str | None = None
    twin: bool = False
    """Sent twice at once."""
    tries: list[Try] = field(default_factory=list, repr=False)
    outcome: Reply | None = None

    @property
    def reply(self) -> Reply:
        assert self.outcome is not None, self
        return self.outcome

    @property
    def to_be_repeated(self) -> bool:
        """Refused with what is no outcome: the same may be answered differently in a moment."""
        return self.reply.status == 429 and self.reply.code == "hold_cooling_down"

    @property
    def replayed(self) -> bool:
        return bool(self.reply.headers.get("Idempotent-Replayed") == "true")


@dataclass
class Account:
    """What one user has been told for certain."""

    charged: list[int] = field(default_factory=list)
    paid: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Payment id to seat id and amount."""
    held: dict[str, str] = field(default_factory=dict)
    """Reservation id to seat id, of holds neither paid nor released."""
    token: str | None = None
    """Of a place in the queue not given back yet."""

    @property
    def balance(self) -> int:
        return sum(self.charged) - sum(amount for _, amount in self.paid.values())


class Storm:
    """``clients`` users who book as fast as they are answered, until :meth:`settle`.

    Clients begin at the first URL and go on at the next when one refuses them ``patience`` times
    in a row; the last is never left.
    """

    def __init__(
        self,
        urls: Sequence[str],
        seats: Sequence[str],
        *,
        clients: int,
        seed: int,
        patience: int = 1,
        request_timeout_s: float = 20.0,
        outcome_max_s: float = OUTCOME_MAX_S,
    ) -> None:
        self.calls: list[Call] = []
        self.accounts: dict[str, Account] = defaultdict(Account)
        self.answered = 0
        self._seats = list(seats)
        self._patience = patience
        self._request_timeout_s = request_timeout_s
        self._outcome_max_s = outcome_max_s
        self._apis = [Api(url) for url in urls]
        self._at: dict[str, int] = defaultdict(int)
        self._random = Random(seed)
        self._over = False
        self._clients = clients
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Storm:
        for _ in range(self._clients):
            client = self._client(new_user(), Random(self._random.random()))
            self._running.append(asyncio.create_task(client))
        return self

    async def __aexit__(self, *raised: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for api in self._apis:
            await api.__aexit__(None, None, None)

    async def answers(self, more: int, within_s: float = 30.0) -> None:
        """Wait until the clients have had so many more outcomes."""
        wanted = self.answered + more

        async def enough() -> bool:
            self._raise_failures()
            return self.answered >= wanted

        await eventually(enough, within_s=within_s)

    async def settle(self) -> None:
        """No new visits; wait until each call under way has its outcome."""
        self._over = True
        await asyncio.gather(*self._running)

    def add_url(self, url: str) -> None:
        """Somewhere to go on when the URLs so far refuse."""
        self._apis.append(Api(url))

    @property
    def tries(self) -> Counter[tuple[int, str]]:
        """How often each status and code was met."""
        return Counter((one.status, one.code) for call in self.calls for one in call.tries)

    @property
    def failures(self) -> list[Try]:
        """Attempts that had no answer or a 5xx."""
        tries = (one for call in self.calls for one in call.tries)
        return [one for one in tries if one.failed]

    def _raise_failures(self) -> None:
        for task in self._running:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # -- one client -------------------------------------------------------------------------------

    async def _client(self, user: str, random: Random) -> None:
        while not self._over:
            await self._visit(user, random)

    async def _visit(self, user: str, random: Random) -> None:
        """Line up, charge, hold a seat, then pay, release or just leave."""
        account = self.accounts[user]
        token = account.token = await self._line_up(user)
        await self._charge(user, random)
        held = await self._hold(user, token, random)
        if held is not None:
            reservation, seat = held
            match random.choices(("pay", "release", "keep"), (6, 2, 1))[0]:
                case "pay":
                    await self._pay(user, token, reservation, seat, random)
                case "release":
                    await self._release(user, token, reservation)
        if account.held and random.random() < 0.2:
            await self._release(user, token, random.choice(sorted(account.held)))
        left = await self._ask(Call(user, "DELETE", "/queue", token=token))
        # Used up by a payment, or an earlier attempt was obeyed though its answer was lost.
        assert left.reply.status == 204 or left.reply.code == "token_expired", left
        account.token = None

    async def _line_up(self, user: str) -> str:
        """Being told of a payment comes first, the queue hears of it a moment later."""
        while True:
            call = await self._keyed(user, "/queue/issue", {"userId": user})
            if call.reply.status == 201:
                return str(call.reply.data["token"])
            assert call.reply.code == "already_queued", call

    async def _charge(self, user: str, random: Random) -> None:
        amount = random.randint(1, 3_000)
        body = {"userId": user, "amount": amount}
        call = await self._keyed(user, "/user/charge", body, twice=random.random() < 0.1)
        assert call.reply.status == 200, call
        account = self.accounts[user]
        account.charged.append(amount)
        assert call.reply.data == {"balance": account.balance}, call

    async def _hold(self, user: str, token: str, random: Random) -> tuple[str, str] | None:
        for _ in range(SEATS_TRIED_MAX):
            seat = random.choice(self._seats)
            call = await self._keyed(
                user, "/reservation", {"seatId": seat}, token, twice=random.random() < 0.1
            )
            if call.reply.status == 201:
                reservation = str(call.reply.data["id"])
                assert reservation not in self.accounts[user].held
                self.accounts[user].held[reservation] = seat
                return reservation, seat
            assert call.reply.code in HOLDS_REFUSED, call
        return None

    async def _pay(
        self, user: str, token: str, reservation: str, seat: str, random: Random
    ) -> None:
        call = await self._keyed(
            user, "/payment", {"seatId": seat}, token, twice=random.random() < 0.2
        )
        account = self.accounts[user]
        if call.reply.status == 201:
            paid = call.reply.data
            assert paid["id"] not in account.paid, call
            assert paid["seatId"] == seat, call
            account.paid[paid["id"]] = (seat, paid["totalAmount"])
            del account.held[reservation]
        else:
            assert call.reply.code == "insufficient_balance", call

    async def _release(self, user: str, token: str, reservation: str) -> None:
        call = Call(user, "DELETE", f"/reservation/{reservation}", token=token)
        await self._ask(call)
        if call.reply.status == 401:
            return  # a payment has used the token up
        assert call.reply.status == 204, call
        del self.accounts[user].held[reservation]

    # -- one call ---------------------------------------------------------------------------------

    async def _keyed(
        self,
        user: str,
        path: str,
        body: dict[str, Any],
        token: str | None = None,
        *,
        twice: bool = False,
    ) -> Call:
        """A call with a key of its own; ``twice``: sent two times at once, as impatient clients
        do, who have to be told the same."""
        key = str(uuid.UUID(int=self._random.getrandbits(128)))
        calls = [
            Call(user, "POST", path, body, token, key, twin=twice) for _ in range(2 if twice else 1)
        ]
        await asyncio.gather(*(self._ask(call) for call in calls))
        ended = [call for call in calls if not call.to_be_repeated]
        assert len({str(told(call.reply)) for call in ended}) <= 1, calls
        return ended[0] if ended else calls[0]

    async def _ask(self, call: Call) -> Call:
        """Repeat it until it has an outcome."""
        self.calls.append(call)
        pause_s = RETRY_FIRST_S
        end = time.monotonic() + self._outcome_max_s
        while not await self._try(call):
            assert time.monotonic() < end, (call, Counter(call.tries))
            await asyncio.sleep(self._pause_s(call, pause_s))
            pause_s = min(pause_s * 2, RETRY_MAX_S)
        self.answered += 1
        return call

    def _pause_s(self, call: Call, wanted_s: float) -> float:
        """Until the next attempt."""
        return wanted_s

    def _choose(self, call: Call) -> Api:
        """Whom to ask this time."""
        return self._apis[self._at[call.user]]

    async def _try(self, call: Call) -> bool:
        api = self._choose(call)
        url, began = api.url, time.monotonic()

        def tried(status: int, code: str, retry_after: str | None, detail: str) -> None:
            took_s = time.monotonic() - began
            call.tries.append(Try(url, status, code, retry_after, began, took_s, detail))

        try:
            async with asyncio.timeout(self._request_timeout_s):
                reply = await api.call(
                    call.method, call.path, body=call.body, token=call.token, key=call.key
                )
        except (Unreachable, TimeoutError) as error:
            why = error.__cause__ if isinstance(error, Unreachable) else error
            tried(0, type(why).__name__, None, str(error))
            self._turn_away(call, api)
            return False
        code = "" if reply.status < 400 else reply.code
        retry_after = reply.headers.get("Retry-After")
        tried(reply.status, code, retry_after, reply.body["detail"] if code else "")
        assert reply.status != 500, (call, reply)
        if reply.status == 503:
            assert retry_after is not None, reply
            self._turn_away(call, api)
            return False
        if code == "idempotency_key_in_flight":
            return False
        if reply.status == 401 and self._is_left_behind(api):
            # Tokens given elsewhere since may be unknown to it.
            self._at[call.user] = self._apis.index(api) + 1
            return False
        call.outcome = reply
        return True

    def _is_left_behind(self, api: Api) -> bool:
        """Whether clients go on from this instance to another one."""
        return api is not self._apis[-1]

    def _turn_away(self, call: Call, api: Api) -> None:
        refused = sum(1 for one in call.tries if one.url == api.url)
        if refused >= self._patience and self._is_left_behind(api):
            self._at[call.user] = self._apis.index(api) + 1


def told(reply: Reply) -> Any:
    """What an answer says, without what names the request."""
    if not isinstance(reply.body, dict):
        return reply.status, reply.body
    return reply.status, {name: said for name, said in reply.body.items() if name != "request_id"}
