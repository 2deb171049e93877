"""Notes what became of each request and each booking, and when: phases are cut out afterwards."""

from __future__ import annotations

import asyncio
import time
from array import array

from bench.load import Pool, Worker
from bench.record import Recorder

RECONNECT_EVERY_S = 0.02
"""A client that lost its connection tries again this soon, as long as the run lasts."""


class Timeline(Recorder):
    """Everything of one run, with times in seconds from its start."""

    def __init__(self, start: float, end: float, by_begin: bool = False) -> None:
        super().__init__(start, end, by_begin)
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self.request_steps = array("B")
        self.request_statuses = array("H")
        self.request_at = array("d")
        self.request_s = array("d")
        self.booked_at = array("d")
        self.booked_s = array("d")
        self.failed_at = array("d")
        self.reasons: list[str] = []

    def request(self, step: str, status: int, sent: float, now: float) -> None:
        self.answered += 1
        number = self._numbers.get(step)
        if number is None:
            number = self._numbers[step] = len(self.names)
            self.names.append(step)
        self.request_steps.append(number)
        self.request_statuses.append(status)
        self.request_at.append(sent - self.start)
        self.request_s.append(now - sent)

    def unit(self, began: float, now: float) -> None:
        self.booked_at.append(began - self.start)
        self.booked_s.append(now - began)
        self.last = now

    def failed(self, reason: str) -> None:
        super().failed(reason)
        self.failed_at.append(time.perf_counter() - self.start)
        self.reasons.append(reason)


class PatientPool(Pool):
    """Connections that come back for as long as it takes, and a :class:`Timeline`."""

    async def _begin(
        self, supply: object, warmup_s: float, seconds: float, by_begin: bool = False
    ) -> None:
        await super()._begin(supply, warmup_s, seconds, by_begin)  # type: ignore[arg-type]  # passed on
        self.recorder = Timeline(self.recorder.start, self.recorder.end, by_begin)
        for worker in self._workers:
            worker.recorder = self.recorder

    async def _reconnect(self, worker: Worker) -> None:
        while not self._closing:
            try:
                await worker.connect()
            except OSError:
                await asyncio.sleep(RECONNECT_EVERY_S)
            else:
                self.idle(worker, time.perf_counter())
                return
