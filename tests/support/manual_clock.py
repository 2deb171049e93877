"""A clock that stands still until a test moves it."""


class ManualClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._start_ms = now_ms
        self._passed_ms = 0

    def now_ms(self) -> int:
        """The time to which a test has moved the clock, in milliseconds since the epoch."""
        return self._start_ms + self._passed_ms

    def monotonic(self) -> float:
        """Seconds that a test has let pass."""
        return self._passed_ms / 1000

    def advance(self, ms: int) -> None:
        """Let milliseconds pass."""
        if ms < 0:
            raise ValueError("time does not run backwards")
        self._passed_ms += ms
