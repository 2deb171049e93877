"""The close codes of a websocket, their meaning, and whether to reconnect."""

from typing import Final, Literal

import msgspec

DONE: Final = 1000
PROTOCOL_ERROR: Final = 1002
NOT_UNDERSTOOD: Final = 1003
NOT_UTF8: Final = 1007
REFUSED: Final = 1008
TOO_BIG: Final = 1009
BROKEN: Final = 1011
RESTART: Final = 1012
OVERLOAD: Final = 1013

NO_STATUS: Final = 1005
"""What a close without a code means (RFC 6455, 7.1.5). Never on the wire."""
LOST: Final = 1006
"""The connection ended without a close frame. Never on the wire; counted under this number."""

Reconnect = Literal["no", "after the jitter"]


class CloseCode(msgspec.Struct, frozen=True):
    """One row of the table for people and clients."""

    code: int
    meaning: str
    reconnect: Reconnect


CLOSE_CODES = (
    CloseCode(DONE, "All is told: you closed it, or the date is no longer sold.", "no"),
    CloseCode(PROTOCOL_ERROR, "You sent what is not a websocket frame.", "no"),
    CloseCode(NOT_UNDERSTOOD, "You sent a message that is none of those understood.", "no"),
    CloseCode(NOT_UTF8, "You sent text that is not UTF-8.", "no"),
    CloseCode(REFUSED, "The token has ended, or you sent too many messages.", "no"),
    CloseCode(TOO_BIG, "You sent a message of more than 4 KiB.", "no"),
    CloseCode(BROKEN, "Something broke on our side.", "after the jitter"),
    CloseCode(RESTART, "The instance stops; another one, or its successor, serves you.",
              "after the jitter"),
    CloseCode(OVERLOAD, "You did not read, or gave no sign of life, for too long.",
              "after the jitter"),
)  # fmt: skip
"""Every code that this service closes with."""

KNOWN = frozenset({LOST, 1001, NO_STATUS, *(row.code for row in CLOSE_CODES)})
"""Codes that are counted under their own number: the others are up to clients."""
