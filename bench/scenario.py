"""A *scenario* is the story of one user, told as a generator.

It yields a request and is sent the answer, until it returns. Running one costs no task and no
future, which is what lets one process ask faster than the service can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from bench.client import Response

Call = tuple[str, bytes]
"""The name of the step, and the request."""
Scenario = Generator[Call, Response, str | None]
"""Returns ``None`` if all went as meant, else a short reason for counting."""
Supply = Callable[[], Scenario | None]
"""Makes the next scenario, or ``None`` when there is nothing left to do."""
