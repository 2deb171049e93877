"""Time that goes by for a running event loop at once: whatever has to happen may have a long limit
in a test, which still sees what happens when a limit is over."""

from __future__ import annotations

import asyncio


def time_passes(seconds: float) -> None:
    """The running loop's clock is so much later, and what is due by then runs next."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]
