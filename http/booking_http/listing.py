"""What a list in memory is to a handler."""

from __future__ import annotations

import msgspec


class Listing(msgspec.Struct, frozen=True):
    """Finished bytes and the entity tag that names them, quotes included."""

    body: bytes
    etag: str
