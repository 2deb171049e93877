"""Logging to standard output, a line a record, as JSON or text, without secrets."""

import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import IO, Any, Literal

import msgspec

REDACTED = "[redacted]"

_PATTERNS = (
    # Bearer and the queue-token header, however a header happens to be printed.
    re.compile(r"(?i)(\bbearer\s+)[^\s\"',;]+"),
    re.compile(r"(?i)(\bqueue-token[\"']?\s*[:=,]\s*[\"']?)[^\s\"',;)]+"),
    # Tokens and secrets in a query string or an environment dump.
    re.compile(r"(?i)((?:\btoken|_token|_secret|\bsecret|password)=)[^\s&\"',;]+"),
    # The password in postgresql://user:password@host and redis://:password@host.
    re.compile(r"(\b[a-z]+://[^\s:/@]*:)[^\s/@]+(?=@)"),
    # A queue token anywhere else: 48 bytes and more of URL-safe base64 have no other use here.
    re.compile(r"()(?<![\w-])[\w-]{64,}(?![\w-])"),
)

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""Attributes every record has; what is beyond them came in ``extra`` and is logged as fields."""


class _Redaction:
    """Blanks secrets in a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        longest_first = sorted((secret for secret in secrets if secret), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\g<1>{REDACTED}", text)
        return text


class _Formatter(logging.Formatter):
    def __init__(self, redact: _Redaction) -> None:
        super().__init__()
        self._redact = redact

    def _trouble(self, record: logging.LogRecord) -> str:
        """Traceback and stack, if the record has them."""
        parts = []
        if record.exc_info:
            parts.append(self.formatException(record.exc_info))
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return "\n".join(parts)


class _TextFormatter(_Formatter):
    """``12:30:01.123 INFO booking.app: message key=value``, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {name}={value}" for name, value in _extras(record).items())
        line = f"{at} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        trouble = self._trouble(record)
        return self._redact(f"{line}\n{trouble}" if trouble else line)


class _JsonFormatter(_Formatter):
    """One JSON object a line: ``time, level, logger, message``, the extras, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        for name, value in _extras(record).items():
            plain = isinstance(value, int | float | bool | None)
            fields.setdefault(name, value if plain else self._redact(str(value)))
        trouble = self._trouble(record)
        if trouble:
            fields["exception"] = self._redact(trouble)
        return msgspec.json.encode(fields).decode()


def configure(
    kind: Literal["json", "text"],
    secrets: Iterable[str] = (),
    stream: IO[str] | None = None,
    *,
    traced: bool = False,
) -> None:
    """Log from INFO up to ``stream`` (standard output); ``traced``: with the ids of the span."""
    redact = _Redaction(secrets)
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    if traced:
        from booking.observability.tracing import TraceIds

        handler.addFilter(TraceIds())
    handler.setFormatter(_JsonFormatter(redact) if kind == "json" else _TextFormatter(redact))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Requests are counted and timed by /metrics; a line for each would be most of the CPU.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
