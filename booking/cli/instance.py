"""One `booking serve` as a child process of `booking up`: started, watched, started again."""

import http.client
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from booking.cli.serve import LISTEN_FD
from booking.cli.stopping import EXIT_WITH_STDIN

DEATHS_MAX = 5
"""Deaths within the window that mean a crash loop."""
DEATHS_WINDOW_S = 30.0
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 4.0
"""0.5 + 1 + 2 + 4 s of waiting between five deaths: still within the window."""

_PROBE_TIMEOUT_S = 1.0

DRAINED = 0
"""Exit status of an instance that was told to end, and did so in order."""
_NOT_LOADED_YET = -signal.SIGTERM
"""And of one that was told so while it was still being loaded: it had begun nothing."""

_BOOKING = (sys.executable, "-P", "-m", "booking.cli.main")
"""-P: what lies in the current directory is not ours to import."""
SERVE = (*_BOOKING, "serve", EXIT_WITH_STDIN)
RELAY = (*_BOOKING, "relay", EXIT_WITH_STDIN)


class InstanceError(Exception):
    """The instance cannot be kept running. ``str()`` is one line."""


@dataclass(frozen=True)
class Place:
    """Where an instance listens, and what it is told in its environment."""

    host: str
    port: int
    environ: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where others reach it, without a final slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Instance:
    """The child process. Its standard input is a pipe whose end tells it that we are gone."""

    def __init__(
        self,
        title: str,
        find_place: Callable[[], Place],
        say: Callable[[str], None],
        shared_fd: int | None = None,
        command: Sequence[str] = SERVE,
    ) -> None:
        """``find_place`` is asked at every start: a port may have been taken meanwhile.
        ``shared_fd`` is a listening socket of several instances."""
        self.title = title
        self.place = find_place()
        self._find_place = find_place
        self._say = say
        self._shared = () if shared_fd is None else (shared_fd,)
        self._command = [*command, *(part for fd in self._shared for part in (LISTEN_FD, str(fd)))]
        self._deaths: deque[float] = deque(maxlen=DEATHS_MAX)
        self.was_ready = False
        """Whether it has served at least once."""
        self._start_at_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """0 between a death and the next start."""
        return self._process.pid if self._process is not None else 0

    def tend(self, now_s: float) -> None:
        """Start it if it is due, notice its end. :class:`InstanceError` when it is hopeless."""
        if self._process is None:
            if now_s >= self._start_at_s:
                self._start()
            return
        status = self._process.poll()
        if status is None:
            return
        self._forget()
        if not self.was_ready:
            raise InstanceError(f"{self.title} did not start; its last lines say why")
        if status == DRAINED:
            self._start_at_s = now_s
            self._say(f"{self.title} was told to end and has drained, starting it again")
            return
        self._died(status, now_s)

    def _died(self, status: int, now_s: float) -> None:
        self._deaths.append(now_s)
        if len(self._deaths) == DEATHS_MAX and now_s - self._deaths[0] <= DEATHS_WINDOW_S:
            raise InstanceError(
                f"{self.title} died {DEATHS_MAX} times in {DEATHS_WINDOW_S:.0f} s, giving up"
            )
        recent = sum(1 for at_s in self._deaths if now_s - at_s <= DEATHS_WINDOW_S)
        wait_s = min(BACKOFF_FIRST_S * 2 ** (recent - 1), BACKOFF_MAX_S)
        self._start_at_s = now_s + wait_s
        self._say(f"{self.title} ended with status {status}, starting it again in {wait_s:g} s")

    def ready(self) -> bool:
        """Ask ``/readyz``."""
        if self._process is None:
            return False
        place = self.place
        client = http.client.HTTPConnection(place.host, place.port, timeout=_PROBE_TIMEOUT_S)
        try:
            client.request("GET", "/readyz")
            is_ready = client.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()
        self.was_ready = self.was_ready or is_ready
        return is_ready

    def ask_to_end(self) -> None:
        """Begin its drain."""
        if self._process is not None:
            self._process.terminate()

    def ended(self, within_s: float) -> bool:
        """Wait for its end after :meth:`ask_to_end`; False when it had to be killed or failed."""
        process = self._process
        if process is None:
            return True
        try:
            clean = process.wait(within_s) in (DRAINED, _NOT_LOADED_YET)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            clean = False
        self._forget()
        return clean

    def kill(self) -> None:
        """At once, without waiting."""
        if self._process is not None:
            self._process.kill()

    def age_s(self) -> float:
        """Seconds since the present process was started."""
        return time.monotonic() - self._start_at_s

    def _start(self) -> None:
        if self.was_ready:
            self.place = self._find_place()
        self._start_at_s = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self._command,
            stdin=subprocess.PIPE,
            env=dict(self.place.environ),
            pass_fds=self._shared,
            start_new_session=True,  # Ctrl-C is for us: we decide in which order things stop
        )
        if self.was_ready:
            self._say(f"{self.title} is started again as pid {self.pid}")

    def _forget(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None
