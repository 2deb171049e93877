"""``python -m bench.trace``: the files of ours that a reservation passes through.

``sys.setprofile`` records every call from the request's bytes to the statement that appends to the
journal. A file counts if all reservations pass through it. Exit status 1: there are too many.
"""

import asyncio
import sys
import threading
from collections import Counter
from types import FrameType

import uvloop

from bench.client import Target
from bench.load import Pool
from bench.rig import ROOT, Rig, Setup
from bench.run import interruptible, say
from bench.scenario import hold
from bench.world import World
from booking.server import Server
from booking.settings import Settings

FILES_MAX = 30
RESERVATIONS = 12
WARM_UP = 2
"""Reservations that fill caches and are left out."""
SETTLE_S = 0.1
"""Between two reservations, for all that follows the first one."""
OURS = tuple(f"{ROOT}/{folder}/" for folder in ("booking", "actors", "http"))


class _Recorder:
    """A profile function that counts calls by file until the journal is asked to append."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.is_on = self._is_appending = False

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or not self.is_on:
            return
        file = frame.f_code.co_filename
        if file.startswith(OURS):
            self.calls[file.removeprefix(f"{ROOT}/")] += 1
            self._is_appending |= frame.f_code.co_name == "append"
        elif "/asyncpg/" in file and self._is_appending:
            self.is_on = self._is_appending = False  # the statement is on its way


class _Servers(Rig):
    """Servers with schema and catalogue; the service runs in this process."""

    def start_service(self) -> float:
        return 0.0


async def trace(settings: Settings) -> Counter[str]:
    """The calls of a reservation by file, in the order of the first call."""
    recorder, traces = _Recorder(), []
    threading.setprofile(recorder)
    sys.setprofile(recorder)
    server = await Server.start(settings)
    try:
        async with Pool(Target("127.0.0.1", server.port), 1, keys=False) as pool:
            world = World(pool)
            tokens = await world.tokens(world.users.take(RESERVATIONS))
            date = (await world.dates(tokens[0]))[0].id
            for seat, token in enumerate(tokens, 1):
                await asyncio.sleep(SETTLE_S)
                recorder.calls, recorder.is_on = Counter(), True
                await world.ask("hold", hold(date, seat, token), 201)
                traces.append(recorder.calls)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        await server.stop(5.0)
    first, *others = traces[WARM_UP:]
    return Counter({file: n for file, n in first.items() if all(file in each for each in others)})


def main() -> int:
    """Print the files, and how many there are."""
    with interruptible(), _Servers(Setup(dates=1), {"BOOKING_PORT": "0"}, say) as rig:
        calls = uvloop.run(trace(Settings.from_env(rig.settings)))
    for file, count in calls.items():
        print(f"{count:5}  {file}")
    print(f"{calls.total():5}  calls in {len(calls)} files (limit {FILES_MAX})")
    return 0 if len(calls) <= FILES_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
