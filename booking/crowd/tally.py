"""What the fans are doing, as numbers."""

from __future__ import annotations

from collections import Counter
from typing import Literal

Doing = Literal["away", "waiting", "inside", "holding"]


class Tally:
    """Counts for one crowd."""

    def __init__(self) -> None:
        self._doing: Counter[str] = Counter()
        self.paid = 0
        self.gave_up = 0
        self.beaten = 0
        """Somebody else was faster with the seat."""
        self.refused = 0
        """Answers 429 and 503, and requests without an answer."""
        self.ever_waited = False

    def change(self, before: Doing, after: Doing) -> None:
        """One fan does something else now."""
        self._doing[before] -= 1
        self._doing[after] += 1
        self.ever_waited = self.ever_waited or after == "waiting"

    def line(self, left_s: float) -> str:
        """One line for the terminal."""
        inside, holding = self._doing["inside"], self._doing["holding"]
        return (
            f"waiting {self._doing['waiting']}, inside {inside + holding}, of them holding "
            f"{holding}; paid {self.paid}, gave up {self.gave_up}, beaten to a seat "
            f"{self.beaten}, refused {self.refused}; {max(0, round(left_s))} s left"
        )
