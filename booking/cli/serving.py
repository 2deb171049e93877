"""One instance from its start to its end: signals, drain, exit status."""

import asyncio
import errno
import gc
import logging
import resource
import socket

import uvloop

from actors.journal.contract import JournalError
from booking.cli.outcome import DATABASE_ERRORS, DONE, fail, words
from booking.cli.stopping import StopRequest
from booking.schema import migrate
from booking.server import Server
from booking.settings import Settings

log = logging.getLogger(__name__)

DRAIN_MAX_S = 25.0
"""Of the 30 s a platform gives between SIGTERM and SIGKILL, with some left for the exit."""
_STOP_MAX_S = DRAIN_MAX_S + 3.0

GC_ALLOCATIONS = 10_000
"""Net allocations between two looks of the garbage collector at the young objects: a fifth of a
second of full load, where the default of 700 means many looks a second. A look takes some
milliseconds at most, also where each of the objects leads to thirty others."""
GC_LOOK_S = 1.0
"""Between two looks whatever the count says: entities that come into memory as others leave it
never add up to a net allocation, and would all be looked at together one day."""

OPEN_FILES_WANTED = 32_768
"""10,000 connections, 20,000 websockets, and room for the rest; a login often allows 1,024."""

_EXPECTED = (*DATABASE_ERRORS, JournalError, migrate.SchemaMismatch)
"""What can be wrong outside when an instance starts; anything else is a bug and shows where."""


def run_instance(
    settings: Settings, *, exit_with_stdin: bool, shared: socket.socket | None = None
) -> int:
    """Run until a signal or a failure. ``shared`` is a listening socket of several instances.
    Exit status 0 after a drain, 1 after a failure."""
    allow_open_files()
    calm_collector()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, exit_with_stdin=exit_with_stdin, shared=shared))


async def _serve(settings: Settings, *, exit_with_stdin: bool, shared: socket.socket | None) -> int:
    stop = StopRequest()
    if exit_with_stdin:
        stop.watch_stdin()
    _look_at_young()
    try:
        server = await Server.start(settings, shared)
    except asyncio.CancelledError:
        log.info("stopped before it was ready")
        return DONE
    except _EXPECTED as error:
        return fail(_why_not(error, settings))
    stop.started()
    gc.freeze()  # Without a look, which would stop the loop of an instance that serves.
    log.info("serving on %s:%d as %s", settings.host, server.port, settings.instance)
    failure = await _run_until_stopped(server, stop)
    log.info("draining")
    try:
        async with asyncio.timeout(_STOP_MAX_S):
            await server.stop(DRAIN_MAX_S)
    except TimeoutError:
        return fail(f"the drain did not end within {_STOP_MAX_S:.0f} s")
    if failure is not None:
        return fail(failure)
    log.info("stopped")
    return DONE


def allow_open_files(wanted: int = OPEN_FILES_WANTED) -> int:
    """Raise this process's limit as far as the system allows, up to ``wanted``; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError) as error:  # macOS has a lower limit that it does not tell
        log.warning("open files stay limited to %d: %s", soft, error)
        return soft
    return most


def calm_collector() -> None:
    """What is there now stays for good, and reference counts free nearly all that comes: each look
    at tens of thousands of entities would hold up every caller for milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)


def _look_at_young() -> None:
    gc.collect(1)
    asyncio.get_running_loop().call_later(GC_LOOK_S, _look_at_young)


async def _run_until_stopped(server: Server, stop: StopRequest) -> str | None:
    """Wait for a stop request (``None``) or a fatal failure (what it was)."""
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(_failure_of(server))
        stopping = group.create_task(stop.wait())
        await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if failing.done():
            return failing.result()
        failing.cancel()
        return None


async def _failure_of(server: Server) -> str:
    error = await server.failed()
    return f"stopped by a failure: {type(error).__name__}: {error}"


def _why_not(error: Exception, settings: Settings) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use"
    return f"cannot start: {words(error)}"
