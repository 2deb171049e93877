"""What a database that restarts or is out of reach does to whoever asks it something."""

from __future__ import annotations

import asyncpg

DATABASE_TROUBLE: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # The server said goodbye while nothing was asked, and the end of the stream is not here yet:
    # the driver finds itself in an "operation in progress".
    asyncpg.InternalClientError,
)
"""To be caught by what runs in the background and tries again."""
