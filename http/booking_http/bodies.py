"""Reads request bodies, limited in size and time, as JSON of exactly one shape."""

from __future__ import annotations

import asyncio
import json
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from booking.calls import Attempt
from booking_http.inputs import USER_ID_WORDS, idempotency_key
from booking_http.problems import RefusedError, malformed
from booking_http.settings import BODY_SIZE_MAX

T = TypeVar("T", bound=msgspec.Struct)

_PAIRS = json.JSONDecoder(object_pairs_hook=list)
_ENCODE = msgspec.json.Encoder(order="deterministic").encode
_DETAIL_LENGTH_MAX = 200
"""Of words that quote the client: names of unknown fields can be as long as the body."""


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
    """JSON leaves open which of two equal names counts, so two readers may differ: refused.

    Every name has its colon. With no more colons than fields there is no repeated name; only
    otherwise (a colon in a value, or a repetition) the body is looked at again.
    """
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
