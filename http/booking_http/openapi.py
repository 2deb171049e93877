"""The OpenAPI 3.1 document, written from the rows that serve and the Structs that decode."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import msgspec

from booking_http.codes import CODES, UNAVAILABLE
from booking_http.routes import ID_SCHEMA, Answer, Param, Route
from booking_http.schemas import Problem
from booking_http.settings import EdgeSettings

Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_TEXT: Json = {"type": "string"}
_BASE = files("booking_http").joinpath("openapi.json").read_bytes()
"""What is the same in every document: tags, headers, parameters, kinds of tokens."""
_EVERYWHERE = ("malformed", "internal_error")
_TOKEN_CODES = ("token_missing", "token_invalid", "token_expired")
_BODY_CODES = ("request_timeout", "body_too_large", "unsupported_media_type", "expectation_failed")
_UNREAD_BODY_CODES = ("request_timeout", "body_too_large", "expectation_failed")
_ADMIN_CODES = ("admin_disabled", "admin_token_missing", "admin_token_invalid", "too_many_attempts")
_KEY_CODES = ("idempotency_key_reused", "idempotency_key_in_flight")
_TOKEN_SECURITY: list[Json] = [{"queueToken": []}, {"bearerToken": []}]


def document(routes: Sequence[Route], settings: EdgeSettings) -> bytes:
    """The document of these rows, as JSON."""
    shapes = _Shapes(routes)
    paths: dict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, shapes, settings)
    made: Json = msgspec.json.decode(_BASE)
    tags = {route.tag for route in routes}
    made["tags"] = [tag for tag in made["tags"] if tag["name"] in tags]
    made["info"]["version"] = release()
    made["paths"] = paths
    made["components"]["schemas"] = shapes.components
    made["x-problems"] = [
        {"code": str(code), "status": row.status, "title": row.title, "meaning": row.meaning}
        for code, row in CODES.items()
    ]
    return msgspec.json.encode(made)


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
        self.components = {name: _without_unset(components[name]) for name in sorted(components)}

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
        content = {"application/json": {"schema": shapes.of(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    security = _security(route, settings)
    if security:
        operation["security"] = security
    return operation


def _security(route: Route, settings: EdgeSettings) -> list[Json]:
    match route.gate:
        case "none":
            return []
        case "admin":
            return [{"adminToken": []}]
        case "user" if settings.user_auth == "token":
            return _TOKEN_SECURITY
        case "user" | "sent":
            return [{}, *_TOKEN_SECURITY]
        case _:
            return _TOKEN_SECURITY


def _parameters(route: Route) -> list[Json]:
    parameters = [_query_parameter(param) for param in route.params]
    if "{id}" in route.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": ID_SCHEMA})
    names = ["RequestId"]
    if route.idempotent:
        names.append("IdempotencyKey")
    if "ETag" in route.answer.headers:
        names.append("IfNoneMatch")
    return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _query_parameter(param: Param) -> Json:
    described: Json = {"description": param.description, "schema": param.schema}
    described |= {"name": param.name, "in": "query"}
    if param.required:
        described["required"] = True
    if param.allow_empty:
        described["allowEmptyValue"] = True
    return described


def _codes_of(route: Route) -> tuple[str, ...]:
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
    return tuple(dict.fromkeys(codes))


def _responses(route: Route, shapes: _Shapes) -> Json:
    responses: Json = {str(route.answer.status): _success(route, shapes)}
    if "ETag" in route.answer.headers:
        headers = _headers(["X-Request-Id", *route.answer.headers])
        responses["304"] = {"description": "It has not changed.", "headers": headers}
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in _codes_of(route):
        by_status[CODES[code].status].append(f"`{code}`")
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _problem(", ".join(codes), _problem_headers(status, route))
    return responses


def _success(route: Route, shapes: _Shapes) -> Json:
    answer = route.answer
    names = ["X-Request-Id", *answer.headers]
    if route.idempotent:
        names.append("Idempotent-Replayed")
    response: Json = {"description": answer.description, "headers": _headers(names)}
    if answer.data is not None:
        response["content"] = {answer.media: {"schema": _body(answer, shapes)}}
    elif answer.status not in (101, 204):
        response["content"] = {answer.media: {"schema": _TEXT}}
    return response


def _body(answer: Answer, shapes: _Shapes) -> Json:
    """The schema of the whole body, which is the envelope around ``data``."""
    if isinstance(answer.data, dict):
        return answer.data
    kinds = [shapes.of(shape) for shape in _structs(answer)]
    data = kinds[0] if len(kinds) == 1 else {"oneOf": kinds}
    return {
        "type": "object",
        "properties": {"success": {"const": True}, "data": data},
        "required": ["success", "data"],
        "additionalProperties": False,
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem_headers(status: int, route: Route) -> list[str]:
    names = ["X-Request-Id"]
    if status in (403, 429, 503):
        names.append("Retry-After")
    if status == 429:
        names += ["RateLimit-Policy", "RateLimit"]
    if status == 401:
        names.append("WWW-Authenticate")
    if route.idempotent and status in (402, 404, 409, 410, 422, 503):
        names.append("Idempotent-Replayed")
    return names


def _problem(description: str, headers: Iterable[str]) -> Json:
    schema = {"$ref": _REF.format(name="Problem")}
    return {
        "description": description,
        "headers": _headers(headers),
        "content": {"application/problem+json": {"schema": schema}},
    }
