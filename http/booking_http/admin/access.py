"""Checks the operators' token, and reads who shows it: ``X-Admin-User`` is believed."""

import re
from collections.abc import Callable
from hmac import compare_digest
from time import monotonic
from typing import Final

from aiohttp import web
from multidict import istr

from booking_http.dispatch import RateLimit
from booking_http.inputs import AUTHORIZATION
from booking_http.problems import RefusedError

ADMIN_USER: Final = istr("X-Admin-User")
USER_LENGTH_MAX = 64
"""Characters: longer than any user name, shorter than a line of a table."""
NAMELESS = "admin"
"""Whoever does not say who they are."""
ATTEMPTS_MAX = 10
"""Wrong tokens of one address in a minute before it has to wait: more than a person mistypes."""
ADDRESSES_MAX = 1_024
"""Addresses remembered, some 100 kB."""

_UNWANTED = re.compile(r"[^A-Za-z0-9._@+-]+")
_CHALLENGE = 'Bearer realm="booking admin"'


class Access:
    """The guard of every call under ``/admin``. A right token always passes, whatever came from its
    address before: it has at least 64 bits, and operators may share an address with attackers."""

    def __init__(self, token: str, clock: Callable[[], float] = monotonic) -> None:
        self._token = token.encode()
        self._wrong = RateLimit("address", ATTEMPTS_MAX, clock, ADDRESSES_MAX)
        self.refused = 0
        """Attempts that were not let in."""

    def __call__(self, request: web.BaseRequest) -> str:
        """Who asks, as a name and an address. Raises :class:`RefusedError` without the token."""
        try:
            return self._checked(request)
        except RefusedError:
            self.refused += 1
            raise

    def _checked(self, request: web.BaseRequest) -> str:
        if not self._token:
            raise RefusedError(
                "admin_disabled", "No operators' token is configured: set BOOKING_ADMIN_TOKEN."
            )
        sent = request.headers.getall(AUTHORIZATION, ())
        if not sent:
            raise RefusedError(
                "admin_token_missing",
                "Send Authorization: Bearer with the operators' token.",
                {"WWW-Authenticate": _CHALLENGE},
            )
        address = request.remote or "local"
        scheme, _, credentials = sent[0].partition(" ")
        good = scheme.lower() == "bearer" and self._is_token(credentials.strip())
        if not good or len(sent) > 1:
            raise self._failed(address)
        return f"{_name(request)} ({address})"

    def _is_token(self, text: str) -> bool:
        # In a time that depends on nothing secret (compare_digest takes bytes of any content).
        return compare_digest(text.encode("utf-8", "surrogateescape"), self._token)

    def _failed(self, address: str) -> RefusedError:
        try:
            self._wrong.take(address)
        except RefusedError as limited:
            wait = {"Retry-After": limited.refusal.headers["Retry-After"]}
            words = "Too many wrong tokens came from this address."
            return RefusedError("too_many_attempts", words, wait)
        challenge = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
        return RefusedError("admin_token_invalid", "This is not the operators' token.", challenge)


def _name(request: web.BaseRequest) -> str:
    """As given, without what could look like something else in a log or a table."""
    given = request.headers.get(ADMIN_USER, "")[: USER_LENGTH_MAX * 4]
    return _UNWANTED.sub("_", given).strip("_")[:USER_LENGTH_MAX] or NAMELESS
