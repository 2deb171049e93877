"""Schemathesis reads the served document and sends what it allows and what it forbids: no answer
may be one that the document does not know."""

from __future__ import annotations

import asyncio
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.service import Service

EXAMPLES = 6
"""Of each operation and kind (valid, invalid): 19 operations in half a minute."""
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]


async def test_every_answer_is_one_that_the_document_knows(service: Service) -> None:
    _, token = await service.api.enter()
    seen = await asyncio.to_thread(exercise, service.url, token)
    assert seen, "the document has no operations"
    # The tool reached further than the front door: calls succeeded and were refused.
    assert {200, 400} <= {status for statuses in seen.values() for status in statuses}


def exercise(url: str, token: str) -> dict[str, set[int]]:
    """The statuses met for each operation. Blocking; runs in a thread beside the service."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        modes = [GenerationMode.POSITIVE]
        if operation.body or operation.query:
            modes.append(GenerationMode.NEGATIVE)  # elsewhere nothing that is sent can be wrong
        for mode in modes:
            try_out(operation, mode, token, seen.setdefault(operation.label, set()))
    return seen


def try_out(operation: Any, mode: GenerationMode, token: str, seen: set[int]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), admitted=st.booleans())
    def send(case: Any, admitted: bool) -> None:
        if admitted and case.path != "/queue":  # leaving would end the token for all others
            case.headers["queue-token"] = token
        response = case.call(timeout=10)
        seen.add(response.status_code)
        assert response.status_code < 500 or response.status_code == 503, response.text
        case.validate_response(response, checks=CHECKS)

    send()
