"""The pages of ``/docs``: files of this package, nothing from elsewhere."""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files

from booking_http.etags import matches
from booking_http.reply import Reply, header
from booking_http.routes import Answer, Call, Route

_POLICY = header(
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_SECURITY = _POLICY + header("Referrer-Policy", "no-referrer") + header("X-Frame-Options", "DENY")


class Page:
    """One static file, read once."""

    def __init__(self, path: str, file_name: str, content_type: str, summary: str) -> None:
        self._path = path
        self._summary = summary
        self._media = content_type
        self._body = (files("booking_http") / "static" / file_name).read_bytes()
        self._etag = f'"{blake2b(self._body, digest_size=16).hexdigest()}"'
        self._headers = header("Cache-Control", "no-cache") + header("ETag", self._etag) + _SECURITY

    async def serve(self, call: Call) -> Reply:
        wanted = call.request.headers.get("If-None-Match")
        if wanted is not None and matches(wanted, self._etag):
            return Reply(304, self._headers)
        kind = header("Content-Type", f"{self._media}; charset=utf-8")
        return Reply(200, kind + self._headers, self._body)

    def route(self) -> Route:
        name = self._path.strip("/").replace("/", "_").replace(".", "_")
        answer = Answer(200, None, self._summary, ("ETag",), media=self._media, also=(304,))
        return Route("GET", self._path, self.serve, name, self._summary, answer, "system")


def documentation_pages() -> tuple[Page, ...]:
    """The page, its script and its style."""
    return (
        Page("/docs", "docs.html", "text/html", "This document, for people"),
        Page("/docs/docs.js", "docs.js", "text/javascript", "The script of /docs"),
        Page("/docs/docs.css", "docs.css", "text/css", "The style of /docs"),
    )
