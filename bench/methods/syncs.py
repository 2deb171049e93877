"""How often servers asked the disk to keep what they wrote, as the kernel counts for root."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

TRACING = Path("/sys/kernel/tracing")
CALLS = ("fsync", "fdatasync")


class SyncCounter:
    """Counts ``fsync`` and ``fdatasync`` of some processes with their threads and children."""

    def __init__(self, instance: Path | None) -> None:
        self._instance = instance

    def watch(self, pids: Iterable[int]) -> None:
        """Count these from now on, and all that they fork. Each write costs the kernel tens of
        milliseconds, so it is one for all, and once more if one of them has ended meanwhile."""
        while self._instance is not None:
            family = {each for pid in pids for each in _family(pid)}
            with suppress(ProcessLookupError):
                (self._instance / "set_event_pid").write_text(" ".join(map(str, family)))
                return

    def count(self) -> int | None:
        """How many there were so far; ``None`` where the kernel does not say."""
        if self._instance is None:
            return None
        stats = [path.read_text() for path in self._instance.glob("per_cpu/cpu*/stats")]
        found = re.findall(r"^(?:entries|overrun): (\d+)$", "\n".join(stats), re.MULTILINE)
        return sum(map(int, found))


@contextmanager
def counting() -> Iterator[SyncCounter]:
    """A counter; without root, or without this part of the kernel, one that does not know."""
    instance = TRACING / "instances" / f"ways-{os.getpid()}"
    try:
        instance.mkdir()
    except OSError:
        yield SyncCounter(None)
        return
    try:
        (instance / "options" / "event-fork").write_text("1")
        for call in CALLS:
            (instance / "events" / "syscalls" / f"sys_enter_{call}" / "enable").write_text("1")
        yield SyncCounter(instance)
    finally:
        instance.rmdir()


def _family(pid: int) -> Iterator[int]:
    """Threads of a process and of its children; some may end meanwhile."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                yield from (thread.id for thread in each.threads())
