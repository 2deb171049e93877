"""Reads what a client sent: headers, query strings, and bodies as JSON of exactly one shape."""

import asyncio
import json
import os
import re
from collections.abc import Mapping
from hashlib import blake2b
from itertools import count
from typing import Final, Generic, TypeVar
from urllib.parse import unquote_plus

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError
from multidict import CIMultiDictProxy, istr

from booking.calls import Attempt, TokenError
from booking_http.problems import RefusedError, malformed
from booking_http.schemas import UUID_PATTERN
from booking_http.settings import BODY_SIZE_MAX

T = TypeVar("T", bound=msgspec.Struct)

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
_LIMIT = re.compile(r"[1-9][0-9]?|100")
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_PAIRS = json.JSONDecoder(object_pairs_hook=list)
_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_DETAIL_LENGTH_MAX = 200
"""Of words that quote the client: names of unknown fields can be as long as the body."""

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
    if _LIMIT.fullmatch(value) is None:
        raise ValueError("a whole number from 1 to 100 is expected")
    return int(value)


def flag(value: str) -> bool:
    """``true`` or ``false``, or :class:`ValueError` with words for the client."""
    if value not in ("true", "false"):
        raise ValueError("true or false is expected")
    return value == "true"


def bare_flag(value: str) -> bool:
    """As :func:`flag`; the name alone means true."""
    return True if value == "" else flag(value)


# -- bodies ----------------------------------------------------------------------------------------


async def read_body(
    request: web.BaseRequest, timeout_s: float, size_max: int = BODY_SIZE_MAX
) -> bytes:
    """The whole body. A body that has already arrived with the headers costs no timer."""
    stream = request.content
    if not stream.is_eof():
        return await _read_rest(request, timeout_s, size_max)
    body = stream.read_nowait()
    if len(body) > size_max:
        raise _too_large(size_max)
    return body


async def _read_rest(request: web.BaseRequest, timeout_s: float, size_max: int) -> bytes:
    if (request.content_length or 0) > size_max:
        raise _too_large(size_max)
    _answer_expectation(request)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > size_max:
                    raise _too_large(size_max)
    except TimeoutError:
        raise RefusedError(
            "request_timeout", f"The body did not arrive within {timeout_s:g} seconds."
        ) from None
    except (RequestPayloadError, ConnectionError):
        raise malformed("The body does not end as its headers say.") from None
    return bytes(body)


def _answer_expectation(request: web.BaseRequest) -> None:
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation is None:
        return
    if expectation.lower() != "100-continue":
        raise RefusedError("expectation_failed")
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(size_max: int) -> RefusedError:
    return RefusedError("body_too_large", f"A body may have {size_max} bytes.")


def check_content_type(request: web.BaseRequest) -> None:
    """Refuse (415) a body that is not declared as JSON in UTF-8, without a content coding."""
    declared = request.headers.get(hdrs.CONTENT_TYPE)
    if declared != "application/json" and not _is_json(declared or ""):
        raise RefusedError(
            "unsupported_media_type",
            "Content-Type: application/json is expected.",
            {"Accept": "application/json"},
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise RefusedError(
            "unsupported_media_type",
            "Content-Encoding: the body has to come as it is.",
            {"Accept-Encoding": "identity"},
        )


def _is_json(declared: str) -> bool:
    media, *parameters = (part.strip().lower() for part in declared.split(";"))
    return media == "application/json" and all(
        parameter in ("charset=utf-8", 'charset="utf-8"', "") for parameter in parameters
    )


class BodyReader(Generic[T]):
    """Reads bodies of one shape."""

    def __init__(self, shape: type[T]) -> None:
        self._decode = msgspec.json.Decoder(shape, strict=True).decode

    async def read(self, request: web.BaseRequest, timeout_s: float) -> T:
        """The decoded body. A refusal names the field that is wrong."""
        body = await read_body(request, timeout_s)
        if not body:
            raise malformed("A body is needed.")
        check_content_type(request)
        try:
            value = self._decode(body)
        except UnicodeDecodeError:
            raise malformed("The body is not UTF-8.") from None
        except msgspec.ValidationError as error:
            raise malformed(_named(str(error))) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise malformed(f"The body is not JSON: {str(error)[:_DETAIL_LENGTH_MAX]}") from None
        _refuse_repeated_names(body, value)
        return value


def _named(words: str) -> str:
    """``Expected ... - at `$.amount``` as ``amount: expected ...``."""
    words, _, path = words.partition(" - at `$.")
    if path == "userId`":
        words = f"userId: {USER_ID_WORDS}"  # neither a pattern nor a length helps anybody
    elif path:
        words = f"{path.rstrip('`')}: {words[0].lower()}{words[1:]}"
    return words[:_DETAIL_LENGTH_MAX]


def _refuse_repeated_names(body: bytes, value: msgspec.Struct) -> None:
    """JSON leaves open which of two equal names counts: refused. Every name has its colon, so only
    a body with more colons than fields is looked at again."""
    given = 0
    for name in value.__struct_fields__:
        if getattr(value, name) is not msgspec.UNSET:
            given += 1
    if body.count(b":") <= given:
        return
    names = [name for name, _ in _PAIRS.decode(body.decode())]
    for name in names:
        if names.count(name) > 1:
            raise malformed(f"{name}: given more than once")


def attempt_of(request: web.BaseRequest, meaning: object) -> Attempt | None:
    """The client's Idempotency-Key with a 16-byte hash of ``meaning``, or ``None`` without a key.
    The meaning is decoded content, so spacing and order in the body do not matter."""
    key = idempotency_key(request.headers)
    if key is None:
        return None
    return Attempt(key, blake2b(_ENCODE(meaning), digest_size=16).digest())
