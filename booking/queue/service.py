"""The calls of the waiting queue. Only joining and leaving ask the queue's owner; the rest is
answered from this instance's view."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.clock import Clock
from booking.calls import (
    ActorClient,
    Attempt,
    CompensableStep,
    Freshness,
    Outcome,
    QueueToken,
    TokenError,
    TokenSigner,
    UnknownError,
    call_ends,
    command_key,
    key_parts,
    step_key,
)
from booking.domain.decision import Rejected
from booking.entities import queue_address
from booking.queue.admin import QueueChange, QueueReport, command_of, report_of
from booking.queue.domain.line import Place
from booking.queue.domain.queue import GetPlace, Join, Leave, RulesRefused, RulesSet, TokenEnded
from booking.queue.view import QueueStatus, QueueView

AHEAD_ASKED_MAX = 1_000
"""The owner is asked only for tokens with fewer people ahead: as many as one busy moment admits
between two updates of the view."""

_STORED: msgspec.msgpack.Decoder[QueueStatus | Rejected]
_STORED = msgspec.msgpack.Decoder(QueueStatus | Rejected)


class NotAdmittedError(Exception):
    """The token is valid, and its holder still waits."""

    def __init__(self, status: QueueStatus) -> None:
        super().__init__("not admitted yet")
        self.status = status


class QueueService:
    """Queues of one instance. Coroutines raise the errors of :mod:`actors.errors`."""

    def __init__(
        self,
        actors: ActorClient,
        queues: Mapping[str, QueueView],
        signer: TokenSigner,
        freshness: Freshness,
        clock: Clock,
        renewed_ms: int = 0,
    ) -> None:
        """``renewed_ms``: since when tokens are of the present generation; 0 for always."""
        self._actors = actors
        self._queues = queues
        self._signer = signer
        self._freshness = freshness
        self._clock = clock
        self._renewed_ms = renewed_ms

    async def issue(
        self, user: str, queue: str, attempt: Attempt | None
    ) -> Outcome[QueueStatus | Rejected]:
        """Line up; :class:`~booking.calls.UnknownError` for an unknown queue."""
        view, ends = self._view(queue), call_ends()
        key = command_key(user, "issue", attempt) if attempt else None
        # Which of several queues a key was used for, only the user's account knows.
        told = key if len(self._queues) > 1 else None
        join = Join(
            user,
            key.id.hex() if key else "",
            self._renewed_ms,
            view.outlook(view.last_number + 1, self._clock.now_ms()),
            *key_parts(told),
        )
        if told is not None:
            self._actors.prepare(user, told)
        answer = await self._actors.answer(queue_address(queue), join, step_key(key))
        value = self._told(view, user, answer.reply)
        if told is None or answer.beside:
            # Without a key a second try is refused: the user is in line already.
            return Outcome(value, answer.replayed)
        done = CompensableStep(value, answer.replayed)
        if isinstance(value, QueueStatus):
            number = value.number
            done = CompensableStep(
                value,
                answer.replayed,
                take_back=lambda: self._actors.reply(queue_address(queue), Leave(user, number)),
                differs=lambda other: other.number != number,
            )
        return await self._actors.once(user, key, done, _STORED, ends)

    def _told(self, view: QueueView, user: str, reply: Place | Rejected) -> QueueStatus | Rejected:
        """What the user is told of the queue's reply."""
        if isinstance(reply, Rejected):
            return reply
        now_ms = self._clock.now_ms()
        view.presence.seen(reply.number, now_ms)
        token = QueueToken(user, view.name, reply.number, reply.joined_ms)
        return view.status_of(reply, self._signer.sign(token), now_ms)

    def read_token(self, text: str) -> QueueToken:
        """An authentic token's content, else :class:`~booking.calls.TokenError`. The token
        may have ended all the same."""
        if not text:
            raise TokenError("token_missing")
        return self._signer.read(text)

    def status(self, token: QueueToken, text: str) -> QueueStatus:
        """Where the token stands; :class:`~booking.calls.TokenError` if it has ended.

        This is no sign of its holder, because pushes look it up whether or not anybody listens.
        """
        return self._fresh_view(token).status(token, text, self._clock.now_ms())

    def poll(self, token: QueueToken, text: str) -> QueueStatus:
        """As :meth:`status`, asked by the holder, who counts as present."""
        view = self._queues.get(token.queue)
        if view is None:
            raise TokenError("token_invalid")
        now_ms = self._clock.now_ms()
        view.note_sign(token, now_ms)
        self._freshness.check(queue_address(view.name))
        return view.status(token, text, now_ms)

    def admitted(self, text: str) -> QueueToken:
        """The token's content if its holder is inside now: the gate before dates, seats,
        reservations and payments. Raises :class:`~booking.calls.TokenError` or
        :class:`NotAdmittedError`."""
        token = self.read_token(text)
        view = self._fresh_view(token)
        now_ms = self._clock.now_ms()
        view.note_sign(token, now_ms)
        if not view.is_active(token, now_ms):
            raise NotAdmittedError(view.status(token, text, now_ms))
        return token

    async def owners_status(self, token: QueueToken, text: str, refusal: Exception) -> QueueStatus:
        """Where the queue's owner says the token stands, if the owner may know more than
        :meth:`status` and :meth:`admitted`, which refused; else raises ``refusal``, or what the
        owner knows better: that the token has ended."""
        view = self._queues.get(token.queue)
        if view is None or not self._may_be_behind(view, token, refusal):
            raise refusal
        reply = await self._actors.reply(
            queue_address(token.queue), GetPlace(token.user, token.number)
        )
        if isinstance(reply, TokenEnded):
            raise TokenError("token_expired")
        if not isinstance(reply, Place) or reply.joined_ms != token.issued_ms:
            raise refusal
        return view.status_of(reply, text, self._clock.now_ms())

    def _may_be_behind(self, view: QueueView, token: QueueToken, refusal: Exception) -> bool:
        """Whether the owner may have admitted somebody who waits in this view. People far back are
        not asked for: they would cost the owner what the view is there to save."""
        if isinstance(refusal, NotAdmittedError):
            newest = self._freshness.newest(queue_address(view.name))
            return not newest and refusal.status.ahead < AHEAD_ASKED_MAX
        return isinstance(refusal, TokenError) and token.number > view.last_number

    async def leave(self, token: QueueToken) -> None:
        """Give the place up. Repeating it does no harm."""
        await self._actors.reply(queue_address(token.queue), Leave(token.user, token.number))

    def use_up(self, token: QueueToken) -> None:
        """A payment has used the token up: here it opens nothing more, whatever keeps the queue's
        owner from hearing of it."""
        view = self._queues.get(token.queue)
        if view is not None:
            view.use_up(token.number)

    def mark_present(self, token: QueueToken) -> None:
        """Note that the token's holder polls or listens. Cheap; call it often."""
        view = self._queues.get(token.queue)
        if view is not None:
            view.note_sign(token, self._clock.now_ms())

    def version(self, queue: str) -> int:
        """A number that grows with every change of what :meth:`status` says in this queue;
        :class:`~booking.calls.UnknownError` for an unknown one."""
        return self._view(queue).version

    async def report(self, queue: str) -> QueueReport:
        """The queue for its operators; :class:`~booking.calls.UnknownError` for an unknown one."""
        view = self._view(queue)
        return report_of(view, view.policy)

    async def change(self, queue: str, change: QueueChange, who: str) -> QueueReport:
        """Change the rules, in force when it returns. :class:`~booking.calls.UnknownError` for an
        unknown queue, :class:`ValueError` with words for the operator if the rules contradict each
        other."""
        view = self._view(queue)
        reply = await self._actors.reply(queue_address(queue), command_of(change, who))
        if isinstance(reply, RulesRefused):
            raise ValueError(reply.detail)
        assert isinstance(reply, RulesSet), reply
        return report_of(view, reply.policy)

    def names(self) -> list[str]:
        """All queues of the catalogue, sorted."""
        return sorted(self._queues)

    def _view(self, queue: str) -> QueueView:
        view = self._queues.get(queue)
        if view is None:
            raise UnknownError(f"queue {queue}")
        return view

    def _fresh_view(self, token: QueueToken) -> QueueView:
        view = self._queues.get(token.queue)
        if view is None:
            raise TokenError("token_invalid")
        self._freshness.check(queue_address(view.name))
        return view
