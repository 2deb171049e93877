"""``booking crowd``: simulated fans, so that a visitor alone sees the queue and the seats move."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time

from booking.cli.outcome import DONE, WRONG_USAGE, fail
from booking.crowd.run import FANS_MAX, SECONDS_MAX, CrowdError, loopback_url, run

FANS = 1_500
"""Half again as many as places inside by default: some 500 wait, for about 20 s each."""
SECONDS = 300
TELL_FILE_EVERY_S = 10.0
"""Where the line cannot be written over, it comes less often."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the grammar of ``booking``."""
    text = "send simulated fans to a service on this machine, to see the queue and the seats move"
    parser = subparsers.add_parser(
        "crowd", help=text, description=f"{text}. Ctrl-C calls them back."
    )
    parser.add_argument(
        "--fans", type=_within(FANS_MAX), default=FANS, metavar="N", help=f"default: {FANS}"
    )
    parser.add_argument("--url", metavar="URL", help="default: http://127.0.0.1:8080")
    parser.add_argument(
        "--seconds",
        type=_within(SECONDS_MAX),
        default=SECONDS,
        metavar="S",
        help=f"default: {SECONDS}",
    )
    parser.set_defaults(run=_crowd)


def _crowd(args: argparse.Namespace) -> int:
    port = os.environ.get("BOOKING_PORT") or os.environ.get("PORT") or "8080"
    try:
        url = loopback_url(args.url or f"http://127.0.0.1:{port}")
    except CrowdError as error:
        return fail(str(error), WRONG_USAGE)
    print(f"{args.fans} fans go to {url} for {args.seconds} s; look at {url}/ in a browser")
    screen = _Screen()
    going = run(url, fans=args.fans, seconds=args.seconds, tell=screen.tell, hint=screen.say)
    try:
        asyncio.run(going)
    except CrowdError as error:
        screen.end()
        return fail(str(error))
    except KeyboardInterrupt:
        screen.say("called back: everybody has left")
        return DONE
    screen.say("over: everybody has left")
    return DONE


class _Screen:
    """One line that is written over, or now and then a line of a file."""

    def __init__(self) -> None:
        self._over = sys.stdout.isatty()
        self._width = 0
        self._next_s = 0.0

    def tell(self, line: str) -> None:
        if self._over:
            print("\r" + line.ljust(self._width), end="", flush=True)
            self._width = len(line)
        elif time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + TELL_FILE_EVERY_S
            print(line, flush=True)

    def say(self, line: str) -> None:
        self.end()
        print(line, flush=True)

    def end(self) -> None:
        if self._width:
            print(flush=True)
            self._width = 0


def _within(most: int) -> argparse._ActionType:
    def parse(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"has to be from 1 to {most}")
        return number

    parse.__name__ = "number"
    return parse
