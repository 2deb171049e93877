"""When the units of an open loop are meant to begin."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

Kind = Literal["poisson", "even"]


def arrivals(rate: float, seconds: float, kind: Kind, rng: random.Random) -> Iterator[float]:
    """Offsets in seconds from the start, rising, all below ``seconds``.

    ``poisson`` is what many independent users do (exponential gaps, mean ``1/rate``); ``even`` has
    equal gaps and shows a server's own jitter best.
    """
    if rate <= 0 or seconds <= 0:
        raise ValueError("rate and seconds must be positive")
    if kind == "even":
        for number in range(int(rate * seconds) + 1):
            offset = number / rate
            if offset < seconds:
                yield offset
        return
    offset = rng.expovariate(rate)
    while offset < seconds:
        yield offset
        offset += rng.expovariate(rate)
