"""The waiting queue: line up, look, leave."""

from __future__ import annotations

from msgspec import UNSET

from booking.domain.decision import Rejected
from booking.queue.tokens import TokenError
from booking.queue.view import QueueStatus
from booking.services import Services
from booking_http.bodies import BodyReader, attempt_of
from booking_http.dispatch import data_reply
from booking_http.identity import Identity
from booking_http.problems import RejectedError
from booking_http.reply import NO_STORE, REPLAYED, Reply, header
from booking_http.routes import Answer, Call, Route
from booking_http.schemas import IssueBody, QueuePlace
from booking_http.settings import EdgeSettings
from booking_http.times import rfc3339

_LOCATION = header("Location", "/queue/status")


class QueueCalls:
    def __init__(self, services: Services, settings: EdgeSettings, identity: Identity) -> None:
        self._services = services
        self._identity = identity
        self._default_queue = settings.default_queue
        self._issue_body = BodyReader(IssueBody, settings.body_timeout_s)

    async def issue(self, call: Call) -> Reply:
        body = await self._issue_body.read(call.request)
        self._identity.check_sent_token(call.request, body.userId)
        queue = self._default_queue if body.queue is UNSET else body.queue
        attempt = attempt_of(call.request, (body.userId, queue))
        outcome = await self._services.queue.issue(body.userId, queue, attempt)
        if isinstance(outcome.value, Rejected):
            raise RejectedError(outcome.value, outcome.replayed)
        assert isinstance(outcome.value, QueueStatus)
        headers = NO_STORE + _LOCATION + (REPLAYED if outcome.replayed else b"")
        return data_reply(place_of(outcome.value), 201, headers)

    async def status(self, call: Call) -> Reply:
        token, text = call.holder, call.token_text
        try:
            standing = self._services.queue.poll(token, text)
        except TokenError as error:
            standing = await self._services.queue.owners_status(token, text, error)
        wait_s = max(1, -(-standing.poll_after_ms // 1000))
        return data_reply(place_of(standing), 200, NO_STORE + b"Retry-After: %d\r\n" % wait_s)

    async def leave(self, call: Call) -> Reply:
        token, text = call.holder, call.token_text
        try:
            self._services.queue.status(token, text)  # a token that has ended gives nothing back
        except TokenError as error:
            await self._services.queue.owners_status(token, text, error)
        await self._services.queue.leave(token)
        return Reply(204, NO_STORE)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                "/queue/issue",
                self.issue,
                "issueToken",
                "Line up and get a queue token",
                Answer(201, QueuePlace, "The place in the queue.", ("Location",)),
                "queue",
                gate="optional",
                body=IssueBody,
                idempotent=True,
                problems=("not_found", "already_queued", "queue_full"),
            ),
            Route(
                "GET",
                "/queue/status",
                self.status,
                "queueStatus",
                "Where the token stands",
                Answer(200, QueuePlace, "The place in the queue.", ("Retry-After",)),
                "queue",
                gate="required",
            ),
            Route(
                "DELETE",
                "/queue",
                self.leave,
                "leaveQueue",
                "Give up the place or the active slot at once",
                Answer(204, None, "Given up."),
                "queue",
                gate="required",
            ),
        )


def place_of(standing: QueueStatus) -> QueuePlace:
    """A place as clients see it: polled or pushed, the same object."""
    return QueuePlace(
        token=standing.token,
        userId=standing.user,
        status="active" if standing.active else "pending",
        number=standing.number,
        position=standing.position,
        ahead=standing.ahead,
        etaSeconds=standing.eta_s,
        etaKnown=standing.eta_known,
        pollAfterMs=standing.poll_after_ms,
        expiresAt=rfc3339(standing.expires_ms) if standing.expires_ms else UNSET,
        opensAt=rfc3339(standing.opens_ms) if standing.opens_ms else UNSET,
        seatsLeft=UNSET if standing.seats_left is None else standing.seats_left,
        seatsHeld=UNSET if standing.seats_held is None else standing.seats_held,
    )
