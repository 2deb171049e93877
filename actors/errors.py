"""Why an ask got no reply, and whether anything may have been done. An outcome is a reply."""


class UnavailableError(Exception):
    """Not now; try again after ``retry_after_s`` seconds with the same key."""

    reason = "unavailable"

    def __init__(self, detail: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail or self.reason)
        self.retry_after_s = retry_after_s


class OverloadedError(UnavailableError):
    """A mailbox or buffer is full. Nothing was done."""

    reason = "overloaded"


class NotOwnedError(UnavailableError):
    """This instance does not own the entity's slot now. Nothing was done."""

    reason = "moved"


class JournalUnavailableError(UnavailableError):
    """The journal is out of reach. Nothing was done."""

    reason = "journal_unavailable"


class PastLostError(UnavailableError):
    """The journal has lost rows of this shard, which no operator has accepted. Nothing was done."""

    reason = "past_lost"

    def __init__(self, detail: str = "", retry_after_s: float = 10.0) -> None:
        super().__init__(detail, retry_after_s)


class OutcomeUnknownError(UnavailableError):
    """The journal did not say whether the events were written. A repeat with the key tells."""

    reason = "outcome_unknown"


class DeadlineExceededError(UnavailableError):
    """No answer in time. Whether something was done, a repeat with the same key tells."""

    reason = "deadline_exceeded"


class StoppingError(UnavailableError):
    """The instance is going away. Nothing was done."""

    reason = "stopping"


class StaleError(UnavailableError):
    """The view replica is too old to be served."""

    reason = "stale"


class EntityCrashedError(Exception):
    """A broken invariant, logged where it happened. Nothing was done."""


class KeyReusedError(Exception):
    """The key was used before with another content."""


class KeyInFlightError(Exception):
    """The first command with this key has not been answered yet."""
