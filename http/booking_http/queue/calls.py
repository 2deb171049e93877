"""The waiting queue: line up, look, leave."""

from msgspec import UNSET

from booking.calls import TokenError
from booking.services import Services
from booking_http.inputs import attempt_of
from booking_http.problems import accepted
from booking_http.queue.schemas import IssueBody, QueuePlace, place_of
from booking_http.reply import NO_STORE, REPLAYED, Reply, data_reply, header
from booking_http.routes import Answer, Call, Calls, Route
from booking_http.settings import EdgeSettings

_LOCATION = NO_STORE + header("Location", "/queue/status")


class QueueCalls(Calls):
    """The calls about one's place in a queue."""

    def __init__(self, services: Services, settings: EdgeSettings) -> None:
        self._queue = services.queue
        self._default_queue = settings.default_queue

    @Route(
        "POST", "/queue/issue", Answer(201, QueuePlace, "The place in the queue.", ("Location",)),
        "queue", gate="sent", body=IssueBody, idempotent=True,
        problems=("not_found", "already_queued", "queue_full"),
    )  # fmt: skip
    async def issue_token(self, call: Call) -> Reply:
        """Line up and get a queue token."""
        body: IssueBody = call.body
        queue = self._default_queue if body.queue is UNSET else body.queue
        attempt = attempt_of(call.request, (body.userId, queue))
        outcome = await self._queue.issue(body.userId, queue, attempt)
        place = place_of(accepted(outcome))
        return data_reply(place, 201, _LOCATION + REPLAYED if outcome.replayed else _LOCATION)

    @Route(
        "GET", "/queue/status",
        Answer(200, QueuePlace, "The place in the queue.", ("Retry-After",)),
        "queue", gate="required",
    )  # fmt: skip
    async def queue_status(self, call: Call) -> Reply:
        """Where the token stands."""
        token, text = call.holder, call.token_text
        try:
            status = self._queue.poll(token, text)
        except TokenError as error:
            status = await self._queue.owners_status(token, text, error)
        wait_s = max(1, -(-status.poll_after_ms // 1000))
        return data_reply(place_of(status), 200, NO_STORE + b"Retry-After: %d\r\n" % wait_s)

    @Route("DELETE", "/queue", Answer(204, None, "Given up."), "queue", gate="required")
    async def leave_queue(self, call: Call) -> Reply:
        """Give up the place or the active slot at once."""
        token, text = call.holder, call.token_text
        try:
            self._queue.status(token, text)  # a token that has ended gives nothing back
        except TokenError as error:
            await self._queue.owners_status(token, text, error)
        await self._queue.leave(token)
        return Reply(204, NO_STORE)
