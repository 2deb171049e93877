"""Reads headers and query strings. A refusal names what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import count
from typing import Final
from urllib.parse import unquote_plus

from multidict import CIMultiDictProxy, istr

from booking.queue.tokens import TokenError
from booking_http.problems import malformed
from booking_http.schemas import UUID_PATTERN

QUEUE_TOKEN: Final = istr("queue-token")
AUTHORIZATION: Final = istr("Authorization")
IDEMPOTENCY_KEY: Final = istr("Idempotency-Key")
REQUEST_ID: Final = istr("X-Request-Id")

KEY_LENGTH_MAX = 255
REQUEST_ID_LENGTH_MAX = 128
TOKEN_LENGTH_MAX = 1024
"""Characters. Ours are about 100; what is longer is not worth decoding."""
QUERY_PARAMETERS_MAX = 16
"""Above the largest number of parameters of any call, so that garbage costs little."""

USER_ID_WORDS = "a UUID in canonical lower-case form is expected"

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPE = re.compile(r'\\(["\\])')
_UUID = re.compile(UUID_PATTERN[1:-1])
_ID = re.compile(r"[\x21-\x7e]{1,128}")

Headers = CIMultiDictProxy[str]


class RequestIds:
    """Takes the client's request id, or makes one of eight random bytes and a number."""

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._numbers = count(1)

    def of(self, headers: Headers) -> str:
        """The id that the client sent, if it is one, else a new one."""
        given = headers.get(REQUEST_ID)
        if (
            given is not None
            and len(given) <= REQUEST_ID_LENGTH_MAX
            and _PRINTABLE.fullmatch(given) is not None
        ):
            return given
        return self.new()

    def new(self) -> str:
        """An id that no other request has."""
        return f"{self._prefix}-{next(self._numbers):x}"


def token_text(headers: Headers) -> str | None:
    """The queue token as sent, ``None`` without one. :class:`TokenError` for several."""
    sent = headers.getall(QUEUE_TOKEN, None)
    if sent is None:
        return _bearer(headers)
    if len(sent) != 1 or not 0 < len(sent[0]) <= TOKEN_LENGTH_MAX:
        raise TokenError("token_invalid")
    return sent[0]


def _bearer(headers: Headers) -> str | None:
    sent = headers.getall(AUTHORIZATION, None)
    if sent is None:
        return None
    scheme, _, credentials = sent[0].partition(" ")
    if scheme.lower() != "bearer":
        return None
    credentials = credentials.strip()
    if len(sent) != 1 or not 0 < len(credentials) <= TOKEN_LENGTH_MAX:
        raise TokenError("token_invalid")
    return credentials


def required_token(headers: Headers) -> str:
    """The queue token as sent; :class:`TokenError` without one."""
    text = token_text(headers)
    if text is None:
        raise TokenError("token_missing")
    return text


def idempotency_key(headers: Headers) -> str | None:
    """The Idempotency-Key without its quotes, so that quoted and bare spellings are one key."""
    sent = headers.getall(IDEMPOTENCY_KEY, None)
    if sent is None:
        return None
    if len(sent) != 1:
        raise malformed("Idempotency-Key: sent more than once")
    key = sent[0]
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        if quoted is None:
            raise malformed("Idempotency-Key: not a quoted string of printable ASCII")
        key = _ESCAPE.sub(r"\1", quoted[1])
    if not 0 < len(key) <= KEY_LENGTH_MAX:
        raise malformed(f"Idempotency-Key: 1 to {KEY_LENGTH_MAX} characters are allowed")
    if _PRINTABLE.fullmatch(key) is None:
        raise malformed("Idempotency-Key: only printable ASCII is allowed")
    return key


def query_parameters(raw: str, known: Mapping[str, object]) -> dict[str, str]:
    """The query string's parameters: each known, each once, each in UTF-8."""
    found: dict[str, str] = {}
    for pair in raw.split("&", QUERY_PARAMETERS_MAX):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition("=")
        name, value = _decoded(raw_name, "query"), _decoded(raw_value, raw_name)
        if name not in known:
            raise malformed(f"{name[:64]!a}: no such query parameter")
        if name in found:
            raise malformed(f"{name}: given more than once")
        found[name] = value
    return found


def _decoded(text: str, name: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise malformed(f"{name[:64]!a}: not UTF-8") from None


def user_id(value: str) -> str:
    """A canonical UUID, or :class:`ValueError` with words for the client."""
    if _UUID.fullmatch(value) is None:
        raise ValueError(USER_ID_WORDS)
    return value


def opaque_id(value: str) -> str:
    """An id that may exist, or :class:`ValueError` with words for the client."""
    if _ID.fullmatch(value) is None:
        raise ValueError("1 to 128 printable characters without spaces are expected")
    return value


def page_limit(value: str) -> int:
    """1 to 100, or :class:`ValueError` with words for the client."""
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and value[0] != "0"):
        raise ValueError("a whole number from 1 to 100 is expected")
    limit = int(value)
    if limit > 100:
        raise ValueError("a whole number from 1 to 100 is expected")
    return limit


def flag(value: str) -> bool:
    """``true`` or ``false``, or :class:`ValueError` with words for the client."""
    if value not in ("true", "false"):
        raise ValueError("true or false is expected")
    return value == "true"


def bare_flag(value: str) -> bool:
    """As :func:`flag`; the name alone means true."""
    return True if value == "" else flag(value)
