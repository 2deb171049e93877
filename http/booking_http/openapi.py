"""The OpenAPI 3.1 document, written from the rows that serve and the Structs that decode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from booking_http.codes import CODES, UNAVAILABLE
from booking_http.inputs import KEY_LENGTH_MAX, REQUEST_ID_LENGTH_MAX
from booking_http.routes import ID_SCHEMA, Answer, Param, Route
from booking_http.schemas import Problem
from booking_http.settings import EdgeSettings

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_TAGS = {
    "queue": "The waiting queue. Everything about a concert needs a token that has been admitted.",
    "concert": "Dates and seats.",
    "reservation": "Seats held for five minutes.",
    "payment": "Seats paid for.",
    "user": "A user's balance.",
    "system": "Health, numbers, documents.",
    "admin": "For operators, with their own token. Every change is written to the audit trail.",
}
_EVERYWHERE = ("malformed", "internal_error")
_TOKEN_CODES = ("token_missing", "token_invalid", "token_expired")
_BODY_CODES = ("request_timeout", "body_too_large", "unsupported_media_type", "expectation_failed")
_UNREAD_BODY_CODES = ("request_timeout", "body_too_large", "expectation_failed")
_ADMIN_CODES = (
    "admin_disabled",
    "admin_token_missing",
    "admin_token_invalid",
    "too_many_attempts",
)
_KEY_CODES = ("idempotency_key_reused", "idempotency_key_in_flight")
_HEADERS: Json = {
    "XRequestId": {
        "description": "The request's id: the one sent, or a new one.",
        "schema": {"type": "string", "maxLength": REQUEST_ID_LENGTH_MAX},
    },
    "Location": {"description": "Where it can be read.", "schema": {"type": "string"}},
    "ETag": {
        "description": "Names this content; send it back in If-None-Match.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before asking again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "IdempotentReplayed": {
        "description": "true: the stored outcome of an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RateLimitPolicy": {
        "description": "The limit: q requests in w seconds (draft-ietf-httpapi-ratelimit-headers).",
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": "What is left of it: r requests; all of them again in t seconds.",
        "schema": {"type": "string"},
    },
    "WwwAuthenticate": {"description": "RFC 6750.", "schema": {"type": "string"}},
}
_HEADER_NAMES = {
    "X-Request-Id": "XRequestId",
    "Location": "Location",
    "ETag": "ETag",
    "Retry-After": "RetryAfter",
    "Idempotent-Replayed": "IdempotentReplayed",
    "WWW-Authenticate": "WwwAuthenticate",
    "RateLimit-Policy": "RateLimitPolicy",
    "RateLimit": "RateLimit",
}
_PARAMETERS: Json = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        # No maxLength: what does not fit is not refused.
        "description": f"At most {REQUEST_ID_LENGTH_MAX} characters of printable ASCII; anything "
        "else is replaced.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Printable ASCII, quoted or bare. The first outcome is stored with the "
        "effect and replayed for at least 24 hours. Scoped to user and call.",
        "schema": {
            "type": "string",
            "minLength": 1,
            "maxLength": KEY_LENGTH_MAX,
            "pattern": "^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$",
        },
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "The entity tag of what you have; 304 if it is still true.",
        "schema": {"type": "string"},
    },
}
_SECURITY_SCHEMES: Json = {
    "queueToken": {
        "type": "apiKey",
        "in": "header",
        "name": "queue-token",
        "description": "The token of POST /queue/issue.",
    },
    "bearerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The same token as a bearer token.",
    },
    "adminToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The operators' token, BOOKING_ADMIN_TOKEN.",
    },
}
_TOKEN_SECURITY: list[Json] = [{"queueToken": []}, {"bearerToken": []}]


def document(routes: Sequence[Route], settings: EdgeSettings) -> bytes:
    """The document of these rows, as JSON."""
    shown = list(routes)
    shapes = _Shapes(shown)
    paths: dict[str, Json] = defaultdict(dict)
    for route in shown:
        paths[route.path][route.method.lower()] = _operation(route, shapes, settings)
    tags = [
        {"name": name, "description": words}
        for name, words in _TAGS.items()
        if any(route.tag == name for route in shown)
    ]
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "booking",
                "version": release(),
                "summary": "Concert seat booking: a fair waiting queue, five-minute holds, "
                "one writer for each seat.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": shapes.components,
                "parameters": _PARAMETERS,
                "headers": _HEADERS,
                "responses": {"Problem": _problem_response()},
                "securitySchemes": _SECURITY_SCHEMES,
            },
            "x-problems": [
                {
                    "code": str(code),
                    "status": row.status,
                    "title": row.title,
                    "meaning": row.meaning,
                }
                for code, row in CODES.items()
            ],
        }
    )


def release() -> str:
    """The version of the service, as documents name it."""
    try:
        return version("booking")
    except PackageNotFoundError:
        return "0"  # run from a checkout that was not installed


class _Shapes:
    """JSON Schemas of everything that goes in or out."""

    def __init__(self, routes: Iterable[Route]) -> None:
        types: list[Any] = [Problem]
        for route in routes:
            types += [shape for shape in (route.body, *_structs(route.answer)) if shape is not None]
        schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
        self._by_type = dict(zip(map(repr, types), schemas, strict=True))
        self.components: Json = {
            name: _without_unset(schema) for name, schema in sorted(components.items())
        }

    def of(self, shape: Any) -> Json:
        return self._by_type[repr(shape)]


def _structs(answer: Answer) -> tuple[Any, ...]:
    if answer.data is None or isinstance(answer.data, dict):
        return ()
    return answer.data if isinstance(answer.data, tuple) else (answer.data,)


def _without_unset(schema: Json) -> Json:
    """As the Structs have it: a field of requests that is not given has no default."""
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]
    return schema


def _operation(route: Route, shapes: _Shapes, settings: EdgeSettings) -> Json:
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route, shapes),
    }
    if route.body is not None:
        schema = dict(shapes.of(route.body))
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    security = _security(route, settings)
    if security:
        operation["security"] = security
    return operation


def _security(route: Route, settings: EdgeSettings) -> list[Json]:
    if route.gate == "admin":
        return [{"adminToken": []}]
    if route.gate in ("required", "admitted"):
        return _TOKEN_SECURITY
    if route.gate in ("sent", "user"):
        needed = settings.user_auth == "token" and route.gate == "user"
        return _TOKEN_SECURITY if needed else [{}, *_TOKEN_SECURITY]
    return []


def _parameters(route: Route) -> list[Json]:
    parameters: list[Json] = [_query_parameter(param) for param in route.params]
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": ID_SCHEMA})
    names = ["RequestId"]
    if route.idempotent:
        names.append("IdempotencyKey")
    if "ETag" in route.answer.headers:
        names.append("IfNoneMatch")
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _query_parameter(param: Param) -> Json:
    described: Json = {
        "name": param.name,
        "in": "query",
        "description": param.description,
        "schema": param.schema,
    }
    if param.required:
        described["required"] = True
    if param.allow_empty:
        described["allowEmptyValue"] = True
    return described


def codes_of(route: Route) -> tuple[str, ...]:
    """Every code that a call may answer."""
    codes = [*_EVERYWHERE, *route.problems]
    if route.gate == "admin":
        codes += _ADMIN_CODES
    elif route.gate != "none":
        codes += _TOKEN_CODES
    if route.gate == "admitted":
        codes.append("not_admitted")
    codes += _BODY_CODES if route.body is not None else _UNREAD_BODY_CODES
    if route.idempotent:
        codes += _KEY_CODES
    if route.tag != "system":
        codes += ("rate_limited", *UNAVAILABLE)
    return tuple(dict.fromkeys(map(str, codes)))


def _responses(route: Route, shapes: _Shapes) -> Json:
    responses: Json = {str(route.answer.status): _success(route, shapes)}
    for status in route.answer.also:
        responses[str(status)] = {
            "description": "It has not changed." if status == 304 else "Done.",
            "headers": _headers(["X-Request-Id", *route.answer.headers]),
        }
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in codes_of(route):
        by_status[CODES[code].status].append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _problem(status, codes, route)
    return responses


def _success(route: Route, shapes: _Shapes) -> Json:
    answer = route.answer
    names = ["X-Request-Id", *answer.headers]
    if route.idempotent:
        names.append("Idempotent-Replayed")
    response: Json = {"description": answer.description, "headers": _headers(names)}
    if isinstance(answer.data, dict):
        response["content"] = {answer.media: {"schema": answer.data}}
    elif answer.data is not None:
        kinds = [shapes.of(shape) for shape in _structs(answer)]
        data = kinds[0] if len(kinds) == 1 else {"oneOf": kinds}
        response["content"] = {answer.media: {"schema": _envelope(data)}}
    elif answer.status not in (101, 204):
        response["content"] = {answer.media: {"schema": {"type": "string"}}}
    return response


def _envelope(data: Json) -> Json:
    return {
        "type": "object",
        "properties": {"success": {"const": True}, "data": data},
        "required": ["success", "data"],
        "additionalProperties": False,
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{_HEADER_NAMES[name]}"} for name in names}


def _problem(status: int, codes: list[str], route: Route) -> Json:
    names = ["X-Request-Id"]
    if status in (403, 429, 503):
        names.append("Retry-After")
    if status == 429:
        names += ["RateLimit-Policy", "RateLimit"]
    if status == 401:
        names.append("WWW-Authenticate")
    if route.idempotent and status in (402, 404, 409, 410, 422, 503):
        names.append("Idempotent-Replayed")
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": _headers(names),
        "content": {"application/problem+json": {"schema": _problem_schema()}},
    }


def _problem_schema() -> Json:
    return {"$ref": _REF.format(name="Problem")}


def _problem_response() -> Json:
    """What no call describes for itself: unknown paths (404) and methods (405)."""
    return {
        "description": "A refusal.",
        "headers": _headers(["X-Request-Id"]),
        "content": {"application/problem+json": {"schema": _problem_schema()}},
    }
