"""The parent of the private servers: stops them when the application is gone, however it died.

A script of the standard library alone, in a session of its own. Its input is one line of JSON that
says what to run; the end of the input means that the application is gone. Its output is a line an
event: ``started NAME PID``, ``exited NAME STATUS``, ``gave-up NAME``. A server that dies is started
again, at most :data:`DEATHS_MAX` times in :data:`DEATHS_WINDOW_S`.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

DEATHS_MAX = 5
"""Deaths of one server within the window before giving up: a crash loop, not an accident."""
DEATHS_WINDOW_S = 30.0
RESTART_DELAY_S = 0.5
"""PostgreSQL's own children need a moment to notice that their parent died."""
_POLL_S = 0.01
_PR_SET_PDEATHSIG = 1


class Server:
    """One server process and how to stop it. ``stages`` are (signal name, seconds to wait)."""

    def __init__(self, spec: dict[str, Any], lock_fd: int) -> None:
        self.name: str = spec["name"]
        self.stages: list[tuple[str, float]] = [(name, wait_s) for name, wait_s in spec["stages"]]
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at_s = 0.0
        self.deaths: deque[float] = deque(maxlen=DEATHS_MAX)
        self._spec = spec
        self._lock_fd = lock_fd

    def start(self) -> None:
        """Start the process and tell its pid."""
        identity = self._spec["identity"]
        with open(self._spec["log"], "ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - what our own application asked for
                self._spec["argv"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=self._spec["env"],
                pass_fds=(self._lock_fd,),
                preexec_fn=die_with_parent(self.stages[0][0]),  # noqa: PLW1509 - one thread only
                **identity,
            )
        tell(f"started {self.name} {self.process.pid}")

    def reap(self, now_s: float) -> bool:
        """Notice a death and plan the next start. False: it died too often."""
        if self.process is None or self.process.poll() is None:
            return True
        tell(f"exited {self.name} {self.process.returncode}")
        self.process = None
        self.deaths.append(now_s)
        self.start_at_s = now_s + RESTART_DELAY_S
        return len(self.deaths) < DEATHS_MAX or now_s - self.deaths[0] > DEATHS_WINDOW_S


def die_with_parent(signal_name: str) -> Callable[[], None] | None:
    """A second belt where Linux offers it: the signal also comes when this guardian is killed."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    number = int(getattr(signal, signal_name))
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def tell(event: str) -> None:
    """Tell the application, if it still listens."""
    # A broken pipe means it is gone: the end of standard input, seen next, stops everything.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{event}\n".encode())


def read_spec() -> dict[str, Any]:
    """The first line of standard input; nobody left to serve if it ends before that."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 65_536)
        if not part:
            sys.exit(0)
        line += part
    spec: dict[str, Any] = json.loads(line)
    return spec


def watch(servers: list[Server], woken: int) -> bool:
    """Keep the servers running until the application is gone. True: stop them quickly."""
    quick = False
    while True:
        now_s = time.monotonic()
        for server in servers:
            if not server.reap(now_s):
                tell(f"gave-up {server.name}")
                return quick
            if server.process is None and server.start_at_s <= now_s:
                server.start()
        due = [server.start_at_s for server in servers if server.process is None]
        wait_s = max(0.0, min(due) - now_s) if due else None
        ready, _, _ = select.select([0, woken], [], [], wait_s)
        if woken in ready and signal.SIGTERM in os.read(woken, 4096):
            return quick
        if 0 in ready:
            said = os.read(0, 4096)
            if not said:
                return quick
            quick = quick or b"quick" in said


class Stopping:
    """One server on its way out: a signal, some time, then the next signal."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], quick: bool) -> None:
        self._name = server.name
        self._process = process
        self._stages = deque(server.stages[1:] if quick else server.stages)
        self._until_s = 0.0

    def over(self, now_s: float) -> bool:
        """Send the next signal if it is time. True: it has ended, or nothing is left to try."""
        if self._process.poll() is not None:
            tell(f"exited {self._name} {self._process.returncode}")
            return True
        if now_s >= self._until_s:
            if not self._stages:
                tell(f"gave-up {self._name}")
                return True
            signal_name, wait_s = self._stages.popleft()
            self._process.send_signal(getattr(signal, signal_name))
            self._until_s = now_s + wait_s
        return False


def stop(servers: list[Server], quick: bool) -> None:
    """Stop all at the same time; ``quick`` skips the gentlest signal of each."""
    left = [Stopping(each, each.process, quick) for each in servers if each.process is not None]
    while left:
        left = [stopping for stopping in left if not stopping.over(time.monotonic())]
        time.sleep(_POLL_S)


def main() -> None:
    """Run until standard input ends."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for noticed in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(noticed, lambda number, frame: None)
    os.umask(0o077)
    spec = read_spec()
    servers = [Server(each, spec["lock_fd"]) for each in spec["servers"]]
    quick = False
    try:
        quick = watch(servers, woken)
    finally:
        stop(servers, quick)
        for directory in spec["remove"]:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
