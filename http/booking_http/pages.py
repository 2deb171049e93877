"""The pages for people: files of this package, nothing from elsewhere.

``/`` is the fan's page, whose parts are under ``/static/``; ``/docs`` shows the API;
``/admin/console`` is the operators'. They are served to everybody, because they hold nothing: the
console asks for the operators' token when it is opened, keeps it in memory and sends it with each
call.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from pathlib import PurePath

from booking_http.problems import RefusedError
from booking_http.reply import Reply, Representation, header
from booking_http.routes import Answer, Call, Calls, Route

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


def _file(name: str, description: str) -> Answer:
    media = _MEDIA.get(PurePath(name).suffix, "*/*")
    return Answer(200, None, description, ("ETag",), media=media)


class FanPages(Calls):
    """The fan's page and its parts."""

    def __init__(self) -> None:
        every = _read("static", _FAN)
        self._files = {name: file for name, file in every.items() if not name.startswith("docs.")}

    @Route("GET", "/", _file("index.html", "The fan's page"))
    async def page(self, call: Call) -> Reply:
        """The fan's page."""
        return self._files["index.html"].reply(call.request)

    @Route(
        "GET", "/static/{id}", _file("", "A script, a style or a picture of a page"),
        problems=("not_found",),
    )  # fmt: skip
    async def static(self, call: Call) -> Reply:
        """A script, a style or a picture of a page."""
        return _found(self._files, call)


class DocumentationPages(Calls):
    """The page about the API, its script and its style."""

    def __init__(self) -> None:
        self._files = _read("static", _FAN)

    @Route("GET", "/docs", _file("docs.html", "This document, for people"))
    async def docs(self, call: Call) -> Reply:
        """This document, for people."""
        return self._files["docs.html"].reply(call.request)

    @Route("GET", "/docs/docs.js", _file("docs.js", "The script of /docs"), name="docs_docs_js")
    async def script(self, call: Call) -> Reply:
        """The script of /docs."""
        return self._files["docs.js"].reply(call.request)

    @Route("GET", "/docs/docs.css", _file("docs.css", "The style of /docs"), name="docs_docs_css")
    async def style(self, call: Call) -> Reply:
        """The style of /docs."""
        return self._files["docs.css"].reply(call.request)


class ConsolePages(Calls):
    """The operators' page and its parts."""

    def __init__(self) -> None:
        self._files = _read("console", _CONSOLE)
        self._page = self._files.pop("console.html")

    @Route("GET", "/admin/console", _file("console.html", "The page."), "admin")
    async def admin_console(self, call: Call) -> Reply:
        """The console, for people."""
        return self._page.reply(call.request)

    @Route(
        "GET", "/admin/console/{id}", _file("", "A script or a style."), "admin",
        problems=("not_found",),
    )  # fmt: skip
    async def admin_console_part(self, call: Call) -> Reply:
        """A part of the console."""
        return _found(self._files, call)


def _found(known: dict[str, Representation], call: Call) -> Reply:
    file = known.get(call.path_id)
    if file is None:
        raise RefusedError("not_found", "There is no such file.")
    return file.reply(call.request)
