"""Ids of journalled facts, which are also the cursors for paging through them.

A fact's id is its place in the journal (seq) with a check that ties it to the user, so that a
mistyped or foreign cursor is told from a real one. It protects nothing: pages only ever contain the
caller's own facts.
"""

from __future__ import annotations

from hashlib import blake2b

from booking.api import UnknownError

_CHECK_BYTES = 4
_CURSOR_LENGTH_MAX = 32


def cursor_of(user: str, seq: int) -> str:
    """The id of the fact that stands at ``seq`` in the user's shard."""
    return f"txn_{seq:x}{_check(user, seq)}"


def seq_of(user: str, cursor: str) -> int:
    """The seq behind a cursor; :class:`UnknownError` if it was never given to this user."""
    digits = cursor.removeprefix("txn_")
    split = len(digits) - 2 * _CHECK_BYTES
    if len(cursor) <= _CURSOR_LENGTH_MAX and split > 0:
        try:
            seq = int(digits[:split], 16)
        except ValueError:
            seq = -1
        if cursor == cursor_of(user, seq):
            return seq
    raise UnknownError("cursor")


def _check(user: str, seq: int) -> str:
    return blake2b(f"{user}\n{seq}".encode(), digest_size=_CHECK_BYTES).hexdigest()
