"""The pages for people: files of this package, nothing from elsewhere.

They are served to everybody, because they hold nothing: the console asks for the token.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from importlib.resources import files
from pathlib import PurePath

from booking_http.problems import RefusedError
from booking_http.reply import Reply, Representation, header
from booking_http.routes import Answer, Call, Route

_FAN = header(
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_CONSOLE = header(
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
) + header("Cross-Origin-Opener-Policy", "same-origin")
"""Only what comes from here, no frame around it, and no text that could become a script."""
_MEDIA = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def _read(folder: str, security: bytes) -> dict[str, Representation]:
    """The files of one folder by name."""
    kept = header("Cache-Control", "no-cache") + security
    kept += header("Referrer-Policy", "no-referrer") + header("X-Frame-Options", "DENY")
    found = {}
    for entry in (files("booking_http") / folder).iterdir():
        body = entry.read_bytes()
        etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
        kind = header("Content-Type", f"{_MEDIA[PurePath(entry.name).suffix]}; charset=utf-8")
        found[entry.name] = Representation(body, etag, kind, kept)
    return found


def _page(path: str, file: Representation, media: str, name: str, summary: str) -> Route:
    async def serve(call: Call) -> Reply:
        return file.reply(call.request)

    answer = Answer(200, None, summary, ("ETag",), media=media)
    return Route("GET", path, answer, name=name, summary=summary, handle=serve)


def _parts(path: str, files: dict[str, Representation], name: str, summary: str) -> Route:
    """The files by their names: one row of the table, however many there are."""

    async def serve(call: Call) -> Reply:
        file = files.get(call.path_id)
        if file is None:
            raise RefusedError("not_found", "There is no such file.")
        return file.reply(call.request)

    answer = Answer(200, None, summary, ("ETag",), media="*/*")
    return Route(
        "GET", path, answer, problems=("not_found",), name=name, summary=summary, handle=serve
    )


def fan_pages() -> tuple[Route, ...]:
    """The fan's page and its parts."""
    files = {name: file for name, file in _read("static", _FAN).items() if name[:5] != "docs."}
    words = "A script, a style or a picture of a page"
    return (
        _page("/", files["index.html"], "text/html", "page", "The fan's page"),
        _parts("/static/{id}", files, "static", words),
    )


def documentation_pages() -> tuple[Route, ...]:
    """The page about the API, its script and its style."""
    page, script, style = map(
        _read("static", _FAN).__getitem__, ("docs.html", "docs.js", "docs.css")
    )
    return (
        _page("/docs", page, "text/html", "docs", "This document, for people"),
        _page("/docs/docs.js", script, "text/javascript", "docs_docs_js", "The script of /docs"),
        _page("/docs/docs.css", style, "text/css", "docs_docs_css", "The style of /docs"),
    )


def console_pages() -> tuple[Route, ...]:
    """The operators' page and its parts."""
    files = _read("console", _CONSOLE)
    page = files.pop("console.html")
    return tuple(
        replace(row, tag="admin")
        for row in (
            _page("/admin/console", page, "text/html", "adminConsole", "The console, for people"),
            _parts("/admin/console/{id}", files, "adminConsolePart", "A part of the console"),
        )
    )
