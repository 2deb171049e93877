"""How often one user, or one address, may ask: a token bucket each, in this instance's memory.

The answers carry the fields of draft-ietf-httpapi-ratelimit-headers: the policy, what is left of
it, and when it is whole again. Limits are meant for scripts: fans and their pages stay far
below them, and a client that polls as told is never refused. A load test from one address is why
the limit for addresses is off by default.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address
from math import ceil
from time import monotonic
from typing import Final

from aiohttp import web
from multidict import istr

from booking_http.problems import RefusedError, retry_after
from booking_http.reply import header

WINDOW_S = 60.0
"""A bucket that was emptied is full again after this time, and then it may be forgotten."""
KEYS_MAX = 100_000
"""Buckets of the last minute, about 15 MB; beyond it the older half of them is forgotten early,
which is in favour of those who ask."""
FORWARDED_FOR: Final = istr("X-Forwarded-For")


class RateLimit:
    """``quota`` requests a minute for each key, all at once if it likes (GCRA: a bucket is one
    number, the time when it will be full)."""

    def __init__(
        self,
        name: str,
        quota: int,
        clock: Callable[[], float] = monotonic,
        keys_max: int = KEYS_MAX,
    ) -> None:
        assert quota > 0
        self._keys_max = keys_max
        self._clock = clock
        self._name = name
        self._cost_s = WINDOW_S / quota
        self._policy = header("RateLimit-Policy", f'"{name}";q={quota};w={WINDOW_S:.0f}')
        self._head = self._policy + b'RateLimit: "%b";r=' % name.encode()
        self._full_at: dict[str, float] = {}
        self._older: dict[str, float] = {}
        self._turned_at = clock()

    def take(self, key: str) -> bytes:
        """The header lines of an answer to this request; :class:`RefusedError` (429) when the
        bucket is empty."""
        now = self._clock()
        if now - self._turned_at >= WINDOW_S or len(self._full_at) >= self._keys_max // 2:
            # Whatever is only in the older half was not used for a window, so it is full again.
            self._older, self._full_at, self._turned_at = self._full_at, {}, now
        full_at = self._full_at.get(key) or self._older.get(key, 0.0)
        missing_s = (full_at - now if full_at > now else 0.0) + self._cost_s
        if missing_s > WINDOW_S + 1e-9:
            raise self._refusal(missing_s - WINDOW_S)
        self._full_at[key] = now + missing_s
        left = int((WINDOW_S - missing_s) / self._cost_s + 1e-6)
        return self._head + b"%d;t=%d\r\n" % (left, ceil(missing_s))

    def _refusal(self, wait_s: float) -> RefusedError:
        name, value = self._policy.decode().rstrip().split(": ", 1)
        after = retry_after(wait_s)
        left = f'"{self._name}";r=0;t={after["Retry-After"]}'
        words = f"Too many requests of this {self._name}; wait as Retry-After says."
        return RefusedError("rate_limited", words, {name: value, "RateLimit": left, **after})


class Addresses:
    """Whose request it is: the peer, or whom a trusted proxy names."""

    def __init__(self, trusted: tuple[IPv4Network | IPv6Network, ...]) -> None:
        self._trusted = trusted

    def of(self, request: web.BaseRequest) -> str:
        """The nearest address that is not a trusted proxy's: what lies beyond it is hearsay."""
        address = request.remote or ""
        if not self._trusted or not self._is_trusted(address):
            return address
        hops = ",".join(request.headers.getall(FORWARDED_FOR, [])).split(",")
        for hop in reversed(hops):
            named = hop.strip()
            if not named:
                break
            address = named
            if not self._is_trusted(address):
                break
        return address[:64]

    def _is_trusted(self, address: str) -> bool:
        try:
            known = ip_address(address)
        except ValueError:
            return False
        return any(known in network for network in self._trusted)
