"""Queue tokens: signed, so that any instance can tell a true one without asking anybody.

A token is the URL-safe base64 of ``user (16 bytes) | number (8) | issued_ms (8) | queue (UTF-8)``
followed by a 16-byte keyed BLAKE2b of all that (RFC 7693; keyed BLAKE2 is a MAC by design). It says
who got which number when; whether it still opens anything is the queue's business.
"""

from __future__ import annotations

import hmac
import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Literal

import msgspec

SECRET_LENGTH_MIN = 32
"""Characters. 32 of even a small alphabet are more than the 128 bits of the signature."""

_MAC_BYTES = 16
_HEAD = struct.Struct(">16sQQ")
_TOKEN_LENGTH_MAX = 256
_CACHE_SIZE = 131_072
"""Tokens remembered as verified, some 400 bytes each: a poller sends the same one again and again.
As many as a queue of 100,000 needs, or the whole of it would be verified anew with each round."""

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
"""RFC 4648, section 5."""


class QueueToken(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The content of an authentic queue token."""

    user: str
    queue: str
    number: int
    issued_ms: int


class TokenError(Exception):
    """The queue token opens nothing."""

    def __init__(self, code: Literal["token_missing", "token_invalid", "token_expired"]) -> None:
        super().__init__(code)
        self.code = code


class TokenSigner:
    """Signs with the first secret and accepts all of them, so that secrets can be rotated."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or any(len(secret) < SECRET_LENGTH_MIN for secret in secrets):
            raise ValueError(f"a token secret needs at least {SECRET_LENGTH_MIN} characters")
        # The person keeps tokens apart from anything else ever signed with the same secret.
        keys = [
            blake2b(secret.encode(), digest_size=32, person=b"booking.token.v1").digest()
            for secret in secrets
        ]
        self._macs = [blake2b(key=key, digest_size=_MAC_BYTES) for key in keys]
        """Keyed but empty, to be copied: the key is processed once, not for each token."""
        self.read = lru_cache(maxsize=_CACHE_SIZE)(self._read)

    def sign(self, token: QueueToken) -> str:
        """The token's text, signed with the first secret."""
        user = bytes.fromhex(token.user.replace("-", ""))
        payload = _HEAD.pack(user, token.number, token.issued_ms) + token.queue.encode()
        return _encode(payload + _mac(self._macs[0], payload))

    def _read(self, text: str) -> QueueToken:
        """The content of an authentic token; else :class:`TokenError` ``token_invalid``."""
        raw = self._decode(text)
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        for keyed in self._macs:
            if hmac.compare_digest(mac, _mac(keyed, payload)):
                break
        else:
            raise TokenError("token_invalid")
        user, number, issued_ms = _HEAD.unpack_from(payload)
        digits = user.hex()
        dashed = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        # Interned, because all tokens of a queue have the same name in them.
        return QueueToken(dashed, intern(payload[_HEAD.size :].decode()), number, issued_ms)

    @staticmethod
    def _decode(text: str) -> bytes:
        if len(text) > _TOKEN_LENGTH_MAX or not text.isascii():
            raise TokenError("token_invalid")
        try:
            raw = a2b_base64(text.encode().translate(_FROM_URL) + b"=" * (-len(text) % 4))
        except Base64Error:
            raise TokenError("token_invalid") from None
        # Base64 has several spellings of the same bytes; only the one we issue is a token.
        if len(raw) < _HEAD.size + _MAC_BYTES or _encode(raw) != text:
            raise TokenError("token_invalid")
        return raw


def _mac(keyed: blake2b, payload: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(payload)
    return mac.digest()


def _encode(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=").decode()
