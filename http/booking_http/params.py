"""Query parameters that several calls share."""

from __future__ import annotations

from booking_http.inputs import opaque_id, page_limit, user_id
from booking_http.routes import Param
from booking_http.schemas import UUID_PATTERN

PAGE_LIMIT = 20
ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[\\x21-\\x7e]+$"}
"""What :func:`booking_http.inputs.opaque_id` takes."""

USER = Param(
    "userId",
    user_id,
    {"type": "string", "pattern": UUID_PATTERN, "minLength": 36, "maxLength": 36},
    "Whose.",
    required=True,
)
LIMIT = Param(
    "limit",
    page_limit,
    {"type": "integer", "minimum": 1, "maximum": 100, "default": PAGE_LIMIT},
    "How many.",
    default=PAGE_LIMIT,
)
AFTER = Param(
    "starting_after",
    opaque_id,
    ID_SCHEMA,
    "Id of the last item of the page before.",
)


def id_param(name: str, description: str, required: bool = False) -> Param:
    """A parameter that names something by its id."""
    return Param(name, opaque_id, ID_SCHEMA, description, required=required)
