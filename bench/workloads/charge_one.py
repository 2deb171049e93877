"""All charges for one account: what one mailbox can do."""

from __future__ import annotations

import msgspec

from bench.record import Side
from bench.scenario import Scenario
from bench.target import get
from bench.workloads.base import Workload
from bench.world import World, charge

AMOUNT = 1_000


class _Balance(msgspec.Struct):
    balance: int


class _BalanceAnswer(msgspec.Struct):
    data: _Balance


class ChargeOne(Workload):
    name = "charge-one"
    title = "POST /user/charge for one user"

    def __init__(self) -> None:
        self._done = 0
        self._unclear = 0

    async def prepare(self, world: World) -> None:
        self._user = world.users.fresh()
        self._request = charge(self._user, AMOUNT)

    def scenario(self) -> Scenario:
        self._unclear += 1  # until answered, it may or may not have been done
        response = yield "charge", self._request
        self._unclear -= 1
        if response.status != 200:
            return f"charge:{response.status}"
        self._done += 1
        return None

    def bare_scenario(self) -> Scenario:
        response = yield "charge", self._request
        return None if response.status == 200 else f"charge:{response.status}"

    async def verify(self, world: World, service: Side) -> list[str]:
        """Every acknowledged charge is in the balance, and nothing else."""
        answer = await world.ask("balance", get(f"/user/check?userId={self._user}"))
        balance = msgspec.json.decode(answer.body, type=_BalanceAnswer).data.balance
        least = self._done * AMOUNT
        most = least + self._unclear * AMOUNT
        if least <= balance <= most:
            return []
        return [f"balance is {balance}, but {self._done} charges make {least} (at most {most})"]
