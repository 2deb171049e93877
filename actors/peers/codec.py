"""Commands, replies and probes as bytes, by the codecs of the entities' kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.behaviour import Behaviour
from actors.core.envelope import BEGIN, QUERY
from actors.errors import OutcomeUnknownError, UnavailableError
from actors.peers.frames import Content
from actors.transport import Answer

BehaviourOf = Callable[[str], Behaviour]
"""The behaviour of a kind, as :meth:`actors.runtime.Runtime.behaviour`. Raises KeyError."""


class Codec:
    """What an ask and its answer carry. Every method may raise what the kind's codec raises."""

    def __init__(self, behaviour_of: BehaviourOf) -> None:
        self._behaviour_of = behaviour_of

    def pack_command(self, kind: str, command: Any) -> tuple[int, bytes]:
        """What kind of message it is (:class:`~actors.peers.frames.Content`, 0 for a command), and
        its bytes."""
        if command is BEGIN:
            return Content.BEGIN, b""
        if command is QUERY:
            return Content.QUERY, b""
        return 0, self._behaviour_of(kind).encode_command(command)

    def unpack_command(self, kind: str, content: int, data: bytes) -> Any:
        """The command or probe that was packed."""
        behaviour = self._behaviour_of(kind)
        if content == 0:
            return behaviour.decode_command(data)
        return BEGIN if Content(content) is Content.BEGIN else QUERY

    def pack_reply(self, kind: str, content: int, answer: Answer) -> bytes | None:
        """The reply to such a message; ``None`` where it only says that it was done."""
        behaviour = self._behaviour_of(kind)
        if content == Content.QUERY:
            return behaviour.encode_state(answer.reply)
        if content == Content.BEGIN and not answer.replayed:
            return None
        return behaviour.encode_reply(answer.reply)

    def unpack_reply(self, kind: str, content: int, data: bytes | None) -> Any:
        """Raises :class:`~actors.errors.UnavailableError` for a state in another shape."""
        if data is None:
            if content == Content.BEGIN:
                return None
            raise OutcomeUnknownError("the reply is missing")
        if content != Content.QUERY:
            return self._behaviour_of(kind).decode_reply(data)
        state = self._behaviour_of(kind).decode_state(data)
        if state is None:
            raise UnavailableError("the owner keeps this state in another shape")
        return state
