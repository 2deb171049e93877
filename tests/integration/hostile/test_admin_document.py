"""The operators' side gets what its document allows and what it forbids, from somebody who has the
token: no answer may be one that the document does not know, and none a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.admin_edge import TOKEN, running_admin

EXAMPLES = 8
"""Of each operation and kind: 25 operations in a quarter of a minute."""
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


async def test_every_answer_is_one_that_the_document_knows() -> None:
    async with running_admin() as admin:
        admin.operations.join("d")
        seen = await asyncio.to_thread(exercise, admin.url)
    statuses = {status for found in seen.values() for status in found}
    # The tool reached further than the front door: calls succeeded and were refused.
    assert {200, 400, 404} <= statuses, seen
    assert 500 not in statuses


def exercise(url: str) -> dict[str, set[int]]:
    """The statuses met for each operation. Blocking; runs in a thread beside the server."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if not operation.path.startswith("/admin"):
            continue
        modes = [GenerationMode.POSITIVE]
        if operation.body or operation.query:
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            try_out(operation, mode, seen.setdefault(operation.label, set()))
    return seen


def try_out(operation: Any, mode: GenerationMode, seen: set[int]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        case.headers["Authorization"] = f"Bearer {TOKEN}"
        response = case.call(timeout=10)
        seen.add(response.status_code)
        assert response.status_code < 500, response.text
        case.validate_response(response, checks=CHECKS)

    send()
