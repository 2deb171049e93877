"""``python -m bench sockets``: how late a push is, and what a listening client costs.

All listen in one queue and move up by one, again and again; then some stop reading.
"""

import argparse
import asyncio
import resource
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence

import msgspec
import uvloop

from bench.client import TargetError
from bench.listener import Listener, Moves, connect
from bench.load import Pool
from bench.processes import cpu_seconds, memory_mb
from bench.record import Latencies, latencies
from bench.report import conclude, machine
from bench.rig import Rig, Setup
from bench.run import add_common_options, interruptible, say
from bench.scenario import get, request
from bench.world import UnexpectedAnswerError, World

LATENESS_MS_MAX = 1_000.0
MEMORY_KB_MAX = 30.0
"""The claims that are checked."""
CLIENTS_MAX = 20_000
SPARE_FILES = 300
"""Files that service and generator have open besides their clients."""
SETTLE_S = 3.0
"""After the last change of a phase, for everybody to be told."""
SETTLE_STEP_S = 0.02
PROBE_EVERY_S = 0.05


class Phase(msgspec.Struct, frozen=True):
    """One stretch of changes."""

    name: str
    reading: int
    changes: int
    lateness: Latencies
    """From asking for a change to a client's knowing of it, each client and each change."""
    untold: int
    """Clients that read and were not told of the last change in time."""
    frames_per_s: float
    """Of each reading client."""
    probe: Latencies
    """``GET /queue/status`` meanwhile, one after the other."""
    server_cpu: float
    """Share of one core."""


class Finding(msgspec.Struct):
    """What was measured."""

    machine: str
    clients: int
    connect_s: float = 0.0
    memory_before_mb: float = 0.0
    memory_mb: float = 0.0
    """Resident memory of the service, with all clients connected; before, without them."""
    memory_after_mb: float = 0.0
    """At the end, after some had not read for a while."""
    phases: list[Phase] = []
    closes: dict[int, int] = {}
    numbers: dict[str, float] = {}
    """The service's own."""

    @property
    def kb_per_client(self) -> float:
        """Memory of a client that has just connected."""
        return (self.memory_mb - self.memory_before_mb) * 1_000 / self.clients

    @property
    def kb_per_client_after(self) -> float:
        """The same at the end."""
        return (self.memory_after_mb - self.memory_before_mb) * 1_000 / self.clients

    def verdicts(self) -> list[tuple[str, bool]]:
        """Each claim in words, and whether it holds."""
        late_ms = max(phase.lateness.p99_ms for phase in self.phases)
        memory_kb = max(self.kb_per_client, self.kb_per_client_after)
        told = all(phase.lateness.count and not phase.untold for phase in self.phases)
        late = f"push lateness p99 {late_ms:.0f} ms, below {LATENESS_MS_MAX:g} ms"
        memory = f"memory {memory_kb:.1f} kB a client, below {MEMORY_KB_MAX:g} kB"
        return [
            (late, late_ms < LATENESS_MS_MAX),
            (memory, memory_kb < MEMORY_KB_MAX),
            ("everybody who reads was told of every change", told),
            ("nobody was closed", not self.closes),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every claim holds; 1: one does not; 2: it could not be measured."""
    parse = argparse.ArgumentParser(
        prog="python -m bench sockets", description="Push lateness and memory of websockets."
    )
    parse.add_argument("--clients", type=int, default=2_000, help="all in one queue, listening")
    parse.add_argument("--unread", type=float, default=0.5, help="share that stops reading")
    parse.add_argument("--seconds", type=float, default=10.0, help="of each of the two phases")
    parse.add_argument("--changes", type=float, default=2.0, help="a second")
    add_common_options(parse)
    options = parse.parse_args(arguments)
    if not 0 < options.clients <= CLIENTS_MAX or not 0 <= options.unread < 1:
        parse.error(f"1 to {CLIENTS_MAX} clients, of whom some go on reading")
    if not 0 < options.seconds <= 600 or not 0 < options.changes <= 50:
        parse.error("up to 600 seconds with up to 50 changes each")
    with interruptible():
        allow_files(options.clients + SPARE_FILES)
        finding = measure(options)
    return conclude(finding, "sockets.txt", as_json=options.json)


def allow_files(count: int) -> None:
    """Let this process, and those it starts, have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise TargetError(f"{count} files are needed, and {hard} allowed (ulimit -Hn)")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def measure(options: argparse.Namespace) -> Finding:
    """Start a service and measure it."""
    # One may be inside: each one that leaves admits the next, and everybody moves up.
    setup = Setup(20, 1, options.database_url, options.redis_url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, Rig(setup, {}, say) as rig:
        return runner.run(_Run(rig, options).measure())


class _Run:
    """One measurement, from the tokens to the finding."""

    def __init__(self, rig: Rig, options: argparse.Namespace) -> None:
        self._rig = rig
        self._pid = rig.running.pid
        self._options = options
        self._moves = Moves()
        self._closes: Counter[int] = Counter()
        self._tokens: list[str] = []
        self._leaving: list[str] = []

    async def measure(self) -> Finding:
        options, clients = self._options, self._options.clients
        found = Finding(machine(), clients)
        per_phase = round(options.seconds * options.changes)
        async with Pool(self._rig.target, 32) as pool, Pool(self._rig.target, 1) as probes:
            self._world, self._probes = World(pool), World(probes)
            say(f"lining up {clients} users")
            users = self._world.users
            # One by one: they are in front, in this order.
            for user in users.take(2 * per_phase):
                self._leaving += await self._world.tokens([user])
            self._tokens = await self._world.tokens(users.take(clients))
            found.memory_before_mb = memory_mb(self._pid)
            say("connecting")
            began = time.perf_counter()
            readers, others = await self._connect(round(clients * options.unread))
            found.connect_s = time.perf_counter() - began
            found.memory_mb = memory_mb(self._pid)
            found.phases.append(await self._phase("all read", readers + others, per_phase))
            for each in others:
                if each.transport is not None:
                    each.transport.pause_reading()
            found.phases.append(await self._phase("some stopped reading", readers, per_phase))
            found.memory_after_mb = memory_mb(self._pid)
            found.closes = dict(self._closes)
            found.numbers = await self._numbers()
        return found

    async def _connect(self, others: int) -> tuple[list[Listener], list[Listener]]:
        target, moves, closes = self._rig.target, self._moves, self._closes
        reading = await connect(target, self._tokens[others:], moves, closes, small=False)
        stopping = await connect(target, self._tokens[:others], moves, closes, small=True)
        if self._closes:
            raise UnexpectedAnswerError(f"websockets failed: {dict(self._closes)}")
        return reading, stopping

    async def _phase(self, name: str, reading: list[Listener], changes: int) -> Phase:
        say(f"{name}: {changes} changes")
        moves = self._moves
        moves.lateness = array("d")
        moves.frames = 0
        cpu_s = cpu_seconds(self._pid)
        began = time.perf_counter()
        probing = asyncio.ensure_future(self._probe())
        for number in range(changes):
            await asyncio.sleep(began + number / self._options.changes - time.perf_counter())
            moves.begun()
            await self._world.ask("leave", request("DELETE", "/queue", self._leaving.pop(0)), 204)
        total = len(moves.at)
        for _ in range(round(SETTLE_S / SETTLE_STEP_S)):
            if all(listener.known == total for listener in reading):
                break
            await asyncio.sleep(SETTLE_STEP_S)
        seconds = time.perf_counter() - began
        probing.cancel()
        probe = await asyncio.gather(probing, return_exceptions=True)
        if isinstance(probe[0], Exception):
            raise probe[0]
        return Phase(
            name=name,
            reading=len(reading),
            changes=changes,
            lateness=latencies(moves.lateness),
            untold=sum(listener.known < total for listener in reading),
            frames_per_s=moves.frames / seconds / len(reading),
            probe=latencies(self._probed),
            server_cpu=(cpu_seconds(self._pid) - cpu_s) / seconds,
        )

    async def _probe(self) -> None:
        self._probed = array("d")
        ask = get("/queue/status", self._tokens[-1])
        while True:
            began = time.perf_counter()
            await self._probes.ask("status", ask)
            self._probed.append(time.perf_counter() - began)
            await asyncio.sleep(PROBE_EVERY_S)

    async def _numbers(self) -> dict[str, float]:
        text = (await self._world.ask("metrics", get("/metrics"))).body.decode()
        lines = (line.rsplit(" ", 1) for line in text.splitlines())
        return {name: float(value) for name, value in lines if name.startswith("booking_socket")}


if __name__ == "__main__":
    sys.exit(main())
