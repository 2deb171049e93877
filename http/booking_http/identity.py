"""Whose data a call that is not gated may touch."""

from __future__ import annotations

from aiohttp import web

from booking.calls import UnknownError
from booking.queue.tokens import TokenError
from booking.services import Services
from booking_http.inputs import token_text
from booking_http.settings import EdgeSettings


class Identity:
    """Compares the user that a request names with the token it carries, if any."""

    def __init__(self, services: Services, settings: EdgeSettings) -> None:
        self._services = services
        self._required = settings.user_auth == "token"

    def check_sent_token(self, request: web.BaseRequest, user: str) -> None:
        """A token sent along has to be authentic and that user's: else :class:`TokenError` or
        :class:`UnknownError`. It opens nothing here, so it may have ended."""
        text = token_text(request.headers)
        if text is not None and self._services.queue.read_token(text).user != user:
            raise UnknownError

    def check(self, request: web.BaseRequest, user: str) -> None:
        """As above; where tokens are required, one that has not ended has to be there."""
        if not self._required:
            self.check_sent_token(request, user)
            return
        text = token_text(request.headers)
        if text is None:
            raise TokenError("token_missing")
        token = self._services.queue.read_token(text)
        if token.user != user:
            raise UnknownError
        self._services.queue.poll(token, text)
