"""The pages for people: files of this package, nothing from elsewhere.

``/`` is the fan's page, whose parts are under ``/static/``; ``/docs`` shows the API.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from pathlib import PurePath

from booking_http.etags import matches
from booking_http.problems import RefusedError
from booking_http.reply import Reply, header
from booking_http.routes import Answer, Call, Route

_POLICY = header(
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_SECURITY = _POLICY + header("Referrer-Policy", "no-referrer") + header("X-Frame-Options", "DENY")


_FOLDER = files("booking_http") / "static"
_MEDIA = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class _File:
    """One static file, read once."""

    def __init__(self, name: str) -> None:
        self.media = _MEDIA[PurePath(name).suffix]
        self._body = (_FOLDER / name).read_bytes()
        self._etag = f'"{blake2b(self._body, digest_size=16).hexdigest()}"'
        self._headers = header("Cache-Control", "no-cache") + header("ETag", self._etag) + _SECURITY

    def reply(self, call: Call) -> Reply:
        wanted = call.request.headers.get("If-None-Match")
        if wanted is not None and matches(wanted, self._etag):
            return Reply(304, self._headers)
        kind = header("Content-Type", f"{self.media}; charset=utf-8")
        return Reply(200, kind + self._headers, self._body)


class Page:
    """One file at a path of its own."""

    def __init__(self, path: str, file_name: str, summary: str, name: str = "") -> None:
        self._path = path
        self._name = name or path.strip("/").replace("/", "_").replace(".", "_")
        self._summary = summary
        self._file = _File(file_name)

    async def serve(self, call: Call) -> Reply:
        return self._file.reply(call)

    def route(self) -> Route:
        answer = Answer(200, None, self._summary, ("ETag",), media=self._file.media, also=(304,))
        return Route("GET", self._path, self.serve, self._name, self._summary, answer, "system")


class Assets:
    """The fan's files by their names: one row of the table, however many modules there are."""

    def __init__(self) -> None:
        names = (entry.name for entry in _FOLDER.iterdir())
        self._files = {name: _File(name) for name in names if not name.startswith("docs.")}

    async def serve(self, call: Call) -> Reply:
        file = self._files.get(call.path_id)
        if file is None:
            raise RefusedError("not_found", "There is no such file.")
        return file.reply(call)

    def route(self) -> Route:
        summary = "A script, a style or a picture of a page"
        answer = Answer(200, None, summary, ("ETag",), media="*/*", also=(304,))
        return Route(
            "GET",
            "/static/{id}",
            self.serve,
            "static",
            summary,
            answer,
            "system",
            problems=("not_found",),
        )


def fan_pages() -> tuple[Page | Assets, ...]:
    """The fan's page and its parts."""
    return (Page("/", "index.html", "The fan's page", "page"), Assets())


def documentation_pages() -> tuple[Page, ...]:
    """The page, its script and its style."""
    return (
        Page("/docs", "docs.html", "This document, for people"),
        Page("/docs/docs.js", "docs.js", "The script of /docs"),
        Page("/docs/docs.css", "docs.css", "The style of /docs"),
    )
