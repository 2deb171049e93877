"""Processes that the bench starts: begun, waited for, measured and ended by their own id."""

import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

RUN_S_MAX = 1800.0
"""Of one command: the audit of 10,000,000 events takes two minutes on an idle machine."""
STOP_S_MAX = 35.0
"""The service promises to be gone 30 s after SIGTERM."""


class ProcessFailedError(Exception):
    """A process ended, or did not get ready in time."""


class Child:
    """One process in its own session, so that Ctrl-C reaches the bench alone, which then ends it
    in order. Its standard input is a pipe: end of file tells it that the bench is gone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        before: Callable[[], object] | None = None,
    ) -> None:
        """``before`` runs in the new process, ahead of the command."""
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own command lines
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=before,  # noqa: PLW1509 - only runs that start no thread give one
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raises :class:`ProcessFailedError` if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProcessFailedError(f"{self.name} ended with {code}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End it, and return how many seconds that took; killed if it takes too long."""
        began = time.monotonic()
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return time.monotonic() - began


def run_to_end(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout_s: float = RUN_S_MAX,
    *,
    well: Collection[int] = (0,),
) -> str:
    """Run a command and return what it printed; :class:`ProcessFailedError` if its exit status is
    none of ``well``."""
    done = subprocess.run(  # noqa: S603 - our own command lines
        list(command),
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode not in well:
        raise ProcessFailedError(
            f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return done.stdout


def cpu_seconds(pid: int | None) -> float:
    """CPU time a process has used so far, in steps of 10 ms; 0 for one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return 0.0 if pid is None else float(sum(psutil.Process(pid).cpu_times()[:2]))
    return 0.0


def family_cpu_seconds(pid: int | None) -> float:
    """CPU time of a process and its children, living or ended: of PostgreSQL, all its backends."""
    with suppress(psutil.NoSuchProcess):
        if pid is not None:
            process = psutil.Process(pid)
            own = float(sum(process.cpu_times()[:4]))
            return own + sum(cpu_seconds(child.pid) for child in process.children())
    return 0.0


def memory_mb(pid: int | None) -> float:
    """Resident memory of a process in units of 10^6 bytes; 0 for one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return 0.0 if pid is None else float(psutil.Process(pid).memory_info().rss / 1e6)
    return 0.0
