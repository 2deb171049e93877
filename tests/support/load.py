"""The load of the cluster's tests: the whole booking flow, each request to whoever is in rotation.

The clients of a :class:`~tests.support.storm.Storm`, but paced, as fault tests want a steady stream
of requests and not the last drop of the machine; each request goes to a random instance, as through
a load balancer; ``Retry-After`` is obeyed; and what failed at the first try is kept with its time,
to be counted and to see how long clients were without service.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from booking_client import Unreachable
from tests.support.api_client import Api
from tests.support.storm import OUTCOME_MAX_S, Call, Storm, Try

CLIENTS = 24
"""With the pause below some 80 requests a second: one for each shard while one is away. Each costs
clients, instances and PostgreSQL 6 ms together, and a test measures faults, not how it shares a
busy machine with its own load."""
THINK_MAX_S = 0.5
"""The longest pause of a client between two calls."""
RETRY_AFTER_MAX_S = 2.0
"""The longest that a client waits because it is told to."""
CALL_MAX_S = 6.0
"""For one attempt: longer than any deadline of the service, so it ends first."""
WINDOW_GAP_S = 1.0
"""Failures further apart than this are of different windows."""


@dataclass(frozen=True)
class Felt:
    """What the clients felt of a fault."""

    calls: int
    failed_first: Sequence[Try]
    """First tries that were refused, cut off, or answered with a 5xx."""
    longest_window_s: float
    """From the first to the last failed try of those close together in time."""
    slowest_call_s: float
    """From its first try to its outcome."""
    try_p99_s: float
    """How long an attempt takes at most, the slowest of a hundred left out."""

    def __str__(self) -> str:
        kinds = Counter(one.code or str(one.status) for one in self.failed_first)
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        return (
            f"{self.calls} calls, {len(self.failed_first)} failed at the first try"
            f"{f' ({said})' if said else ''}, longest window {self.longest_window_s:.2f} s, "
            f"slowest call {self.slowest_call_s:.2f} s, p99 of a try {self.try_p99_s * 1000:.0f} ms"
        )


class Load(Storm):
    """Clients who book until :meth:`settle`. ``in_rotation`` names the URLs that get requests."""

    def __init__(
        self,
        in_rotation: Callable[[], Sequence[str]],
        seats: Sequence[str],
        *,
        seed: int,
        clients: int = CLIENTS,
        meters: Sequence[str] = (),
        outcome_max_s: float = OUTCOME_MAX_S,
    ) -> None:
        """``meters`` are further users who only charge, always by 1: see :meth:`read_meter`."""
        super().__init__(
            [],
            seats,
            clients=clients,
            seed=seed,
            request_timeout_s=CALL_MAX_S,
            outcome_max_s=outcome_max_s,
        )
        self.meters = list(meters)
        self._sent: dict[str, int] = dict.fromkeys(meters, 0)
        self._in_rotation = in_rotation
        self._by_url: dict[str, Api] = {}
        self._draw = Random(seed)

    async def __aenter__(self) -> Load:
        await super().__aenter__()
        self._running += [asyncio.create_task(self._run_meter(user)) for user in self.meters]
        return self

    async def _run_meter(self, user: str) -> None:
        account = self.accounts[user]
        while not self._over:
            self._sent[user] = account.balance + 1
            call = await self._keyed(user, "/user/charge", {"userId": user, "amount": 1})
            assert call.reply.data == {"balance": account.balance + 1}, call
            account.charged.append(1)

    async def read_meter(self, url: str, user: str) -> bool:
        """Read a balance that is being charged, and fail if it is one from the past: it has to
        have what was acknowledged before the read was sent, and nothing that was not sent yet.
        False if there was no answer to judge."""
        acknowledged = self.accounts[user].balance
        try:
            reply = await self._api_of(url).call("GET", f"/user/check?userId={user}")
        except Unreachable:
            return False
        if reply.status == 503:
            return False
        assert acknowledged <= reply.data["balance"] <= self._sent[user], (
            f"a stale read of {user} at {url}: {reply.data['balance']}, though {acknowledged} "
            f"was acknowledged before, and {self._sent[user]} sent until after"
        )
        return True

    def felt(self, since_s: float = 0.0) -> Felt:
        """Of the calls first sent since this moment of the monotonic clock."""
        calls = [call for call in self.calls if call.tries and call.tries[0].at_s >= since_s]
        ends = [call.tries[-1].at_s + call.tries[-1].took_s for call in calls]
        lasted = [end_s - call.tries[0].at_s for call, end_s in zip(calls, ends, strict=True)]
        failed = [one for call in calls for one in call.tries if one.failed]
        return Felt(
            calls=len(calls),
            failed_first=[call.tries[0] for call in calls if call.tries[0].failed],
            longest_window_s=longest_window_s(failed),
            slowest_call_s=max(lasted, default=0.0),
            try_p99_s=quantile([one.took_s for call in calls for one in call.tries], 0.99),
        )

    def _choose(self, call: Call) -> Api:
        return self._api_of(self._draw.choice(self._in_rotation()))

    def _api_of(self, url: str) -> Api:
        if url not in self._by_url:
            self._by_url[url] = Api(url, fresh=True)
            self._apis.append(self._by_url[url])
        return self._by_url[url]

    def _pause_s(self, call: Call, wanted_s: float) -> float:
        told = call.tries[-1].retry_after
        return wanted_s if told is None else min(float(told), RETRY_AFTER_MAX_S)

    def _is_left_behind(self, api: Api) -> bool:
        """Nobody is: what one of them says is so everywhere."""
        return False

    async def _ask(self, call: Call) -> Call:
        await asyncio.sleep(self._draw.uniform(0, THINK_MAX_S))
        return await super()._ask(call)


def quantile(values: Sequence[float], share: float) -> float:
    """Of a hundred values, ``0.99`` gives the second largest; 0 of none."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


def longest_window_s(failed: Sequence[Try]) -> float:
    """Seconds between the first and the last of failures that follow each other closely."""
    longest_s = began_s = ended_s = 0.0
    for one in sorted(failed, key=lambda one: one.at_s):
        if one.at_s - ended_s > WINDOW_GAP_S:
            began_s = one.at_s
        ended_s = max(ended_s, one.at_s + one.took_s)
        longest_s = max(longest_s, ended_s - began_s)
    return longest_s
