"""Drives scenarios over a pool of connections, in a closed or an open loop."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from typing import Literal, Self

from bench.client import Connection, Response, Target
from bench.record import SAMPLES_MAX, Recorder
from bench.scenario import KEY_FIELD, Scenario, Supply, UnmetError

Kind = Literal["poisson", "even"]
"""How the units of an open loop arrive."""

TIMEOUT_S = 10.0
"""An answer later than this is a failure: the service's own deadline is 5 s or less."""
DRAIN_S_MAX = 15.0
"""After the end of a run, scenarios under way may finish for this long; one answer's timeout and
half as much again."""
CONNECT_TRIES_MAX = 5
BACKLOG_S_MAX = 2.0
"""Open loop: units that wait longer than this for a free connection are given up and counted."""
_BURST_S_MAX = 600.0


def arrivals(rate: float, seconds: float, kind: Kind, rng: random.Random) -> Iterator[float]:
    """Offsets in seconds, rising, below ``seconds``: ``poisson`` for many independent users,
    ``even`` to show a server's own jitter best."""
    if rate <= 0 or seconds <= 0:
        raise ValueError("rate and seconds must be positive")
    if kind == "even":
        for number in range(int(rate * seconds) + 1):
            offset = number / rate
            if offset < seconds:
                yield offset
        return
    offset = rng.expovariate(rate)
    while offset < seconds:
        yield offset
        offset += rng.expovariate(rate)


class Worker:
    """One connection and the scenario that runs over it."""

    __slots__ = ("_began", "_connection", "_pool", "_scenario", "_sent", "_step", "recorder")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection = Connection(self)
        self._scenario: Scenario | None = None
        self._step = ""
        self._sent = 0.0
        self._began = 0.0
        self.recorder = pool.recorder

    @property
    def busy(self) -> bool:
        """Whether a scenario is under way."""
        return self._scenario is not None

    @property
    def connected(self) -> bool:
        """Whether a scenario can be run."""
        return self._connection.open

    async def connect(self) -> None:
        """Raises ``OSError`` when the target cannot be reached."""
        self._connection = Connection(self)
        loop = asyncio.get_running_loop()
        target = self._pool.target
        await loop.create_connection(lambda: self._connection, target.host, target.port)

    def run(self, scenario: Scenario, began: float, now: float) -> None:
        """Start a scenario that was meant to begin at ``began``."""
        self._scenario = scenario
        self._began = began
        self._step, request = next(scenario)
        self._sent = now
        self._connection.send(self._pool.keyed(request))

    def close(self) -> None:
        """Drop the connection."""
        self._connection.abort("closed")

    def check(self, now: float, timeout_s: float) -> None:
        """Give up on an answer that is too late."""
        if self._scenario is not None and now - self._sent > timeout_s:
            self._connection.abort(f"{self._step}:timeout")

    def answered(self, response: Response) -> None:
        """Tell the scenario, and send its next request."""
        now = time.perf_counter()
        scenario = self._scenario
        if scenario is None:
            self._connection.abort("answer_without_request")
            return
        self.recorder.request(self._step, response.status, self._sent, now)
        try:
            self._step, request = scenario.send(response)
        except (StopIteration, UnmetError) as end:
            self._scenario = None
            if isinstance(end, UnmetError):
                self.recorder.failed(str(end))
            else:
                self.recorder.unit(self._began, now)
            self._pool.idle(self, now)
        else:
            self._sent = time.perf_counter()
            self._connection.send(self._pool.keyed(request))

    def lost(self, reason: str) -> None:
        """Count the scenario under way as failed, and have the pool connect again."""
        scenario, self._scenario = self._scenario, None
        if scenario is not None:
            scenario.close()
            self.recorder.failed(reason)
        self._pool.lost(self)


class Pool:
    """Connections to one target, kept open between runs. Every POST over them carries an
    ``Idempotency-Key`` of its own, as real clients send it, unless ``keys`` is false."""

    recorder_type: type[Recorder] = Recorder
    """What each run is recorded with."""

    def __init__(self, target: Target, connections: int, *, keys: bool = True) -> None:
        self.target = target
        self.keys = keys
        self._key_format = b"Idempotency-Key: %b-%%015x\r\n" % secrets.token_hex(8).encode()
        self._keys_given = count()
        self.connections = connections
        self.recorder = Recorder(0.0, 0.0)
        self._workers = [Worker(self) for _ in range(connections)]
        self._supply: Supply = _nothing
        self._backlog: deque[float] = deque()
        self._free: list[Worker] = []
        self._open_loop = False
        self._stop_at = 0.0
        self._started = 0
        self._reconnects: set[asyncio.Task[None]] = set()
        self._closing = False
        self._change = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def keyed(self, request: bytes) -> bytes:
        """The request as it is sent: with a key that no other has, or with none."""
        field = self._key_format % next(self._keys_given) if self.keys else b""
        return request.replace(KEY_FIELD, field, 1)

    async def open(self) -> None:
        """Connect what is not connected. Raises ``OSError``."""
        await asyncio.gather(*self._reconnects)
        missing = [worker for worker in self._workers if not worker.connected]
        for first in range(0, len(missing), 50):  # a listen backlog holds 128
            await asyncio.gather(*(worker.connect() for worker in missing[first : first + 50]))

    async def close(self) -> None:
        """Drop every connection."""
        self._closing = True
        for task in self._reconnects:
            task.cancel()
        await asyncio.gather(*self._reconnects, return_exceptions=True)
        for worker in self._workers:
            worker.close()
        await asyncio.sleep(0)

    async def closed_loop(self, supply: Supply, warmup_s: float, seconds: float) -> Recorder:
        """Each connection runs one scenario after the other; what ends in ``seconds`` counts."""
        await self._begin(supply, warmup_s, seconds)
        now = time.perf_counter()
        for worker in self._workers:
            self._next(worker, now)
        await self._until(self._stop_at)
        return await self._drained()

    async def burst(self, supply: Supply) -> tuple[Recorder, float]:
        """Run the supply to its end, as fast as can be; with the seconds it took."""
        recorder = await self.closed_loop(supply, 0.0, _BURST_S_MAX)
        return recorder, recorder.last - recorder.start

    async def open_loop(
        self, supply: Supply, offsets: Iterator[float], warmup_s: float, seconds: float, rate: float
    ) -> Recorder:
        """Units begin when the schedule says, whether or not earlier ones are answered, and their
        latency counts from that moment. A unit that finds no free connection waits in line, and
        its wait counts; a line longer than :data:`BACKLOG_S_MAX` is cut and the loss counted."""
        await self._begin(supply, warmup_s, seconds, by_begin=True)
        self._open_loop = True
        self._free = list(self._workers)
        backlog_max = max(1, int(rate * BACKLOG_S_MAX))
        start = time.perf_counter()
        for number, offset in enumerate(offsets):
            due = start + offset
            wait = due - time.perf_counter()
            if wait > 0 or number % 32 == 31:  # when behind, still let answers in
                await asyncio.sleep(max(0.0, wait))
            if len(self._backlog) >= backlog_max:
                self.recorder.failed("generator:backlog_full")
                continue
            self._backlog.append(due)
            self._dispatch(time.perf_counter())
        await self._until(self._stop_at)
        return await self._drained()

    async def _begin(
        self, supply: Supply, warmup_s: float, seconds: float, by_begin: bool = False
    ) -> None:
        await self.open()
        self._supply = supply
        self._open_loop = False
        self._free.clear()
        self._backlog.clear()
        self._started = 0
        start = time.perf_counter() + warmup_s
        self._stop_at = start + seconds
        self.recorder = self.recorder_type(start, self._stop_at, by_begin)
        for worker in self._workers:
            worker.recorder = self.recorder

    async def _until(self, moment: float) -> None:
        """Wait for this moment, or for the end of the supply, and look after late answers."""
        while (left := moment - time.perf_counter()) > 0 and not self._finished():
            self._change.clear()
            try:
                async with asyncio.timeout(min(left, 0.5)):
                    await self._change.wait()
            except TimeoutError:
                self._check()

    async def _drained(self) -> Recorder:
        self._supply = _nothing
        for _ in self._backlog:
            self.recorder.failed("generator:not_begun")
        self._backlog.clear()
        deadline = time.perf_counter() + DRAIN_S_MAX
        while any(worker.busy for worker in self._workers):
            self._check(TIMEOUT_S if time.perf_counter() < deadline else 0.0)
            await asyncio.sleep(0.005)
        return self.recorder

    def _check(self, timeout_s: float = TIMEOUT_S) -> None:
        now = time.perf_counter()
        for worker in self._workers:
            worker.check(now, timeout_s)

    def _finished(self) -> bool:
        if any(worker.busy for worker in self._workers) or self._reconnects:
            return False
        return self._supply is _nothing or not any(worker.connected for worker in self._workers)

    def idle(self, worker: Worker, now: float) -> None:
        """Give a worker that has nothing to do its next scenario."""
        if self._open_loop:
            self._free.append(worker)
            if self._backlog:
                self._dispatch(now)
        else:
            self._next(worker, now)

    def lost(self, worker: Worker) -> None:
        """Connect a worker again whose connection ended."""
        if self._closing:
            return
        if worker in self._free:
            self._free.remove(worker)
        task = asyncio.get_running_loop().create_task(self._reconnect(worker))
        self._reconnects.add(task)
        task.add_done_callback(self._reconnects.discard)

    async def _reconnect(self, worker: Worker) -> None:
        for number in range(CONNECT_TRIES_MAX):
            try:
                await worker.connect()
            except OSError:
                self.recorder.failed("connect_failed")
                await asyncio.sleep(0.05 * 2**number)
            else:
                self.idle(worker, time.perf_counter())
                return

    def _next(self, worker: Worker, now: float) -> None:
        if now >= self._stop_at:
            return
        scenario = self._supply() if self._started < SAMPLES_MAX else None
        if scenario is None:
            self._supply = _nothing
            self._change.set()
            return
        self._started += 1
        worker.run(scenario, now, now)

    def _dispatch(self, now: float) -> None:
        while self._backlog and self._free:
            worker = self._free.pop()
            scenario = self._supply() if self._started < SAMPLES_MAX else None
            if scenario is None:
                self._free.append(worker)
                self._backlog.clear()
                return
            self._started += 1
            due = self._backlog.popleft()
            self.recorder.send_lags.append(max(0.0, now - due))
            worker.run(scenario, due, now)


def _nothing() -> Scenario | None:
    return None
