"""``/admin/console``: files of this package, nothing from elsewhere.

They are served to everybody, because they hold nothing: the console asks for the operators' token
when it is opened, keeps it in memory and sends it with each call.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from pathlib import PurePath

from booking_http.etags import matches
from booking_http.problems import RefusedError
from booking_http.reply import Reply, header
from booking_http.routes import Answer, Call, Route

_PAGE = "console.html"
_MEDIA = {".css": "text/css", ".html": "text/html", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
"""Only what comes from here, no frame around it, and no text that could become a script."""
_SECURITY = (
    header("Content-Security-Policy", _POLICY)
    + header("Referrer-Policy", "no-referrer")
    + header("X-Frame-Options", "DENY")
    + header("Cross-Origin-Opener-Policy", "same-origin")
)


class _File:
    """One file, read once."""

    def __init__(self, name: str, content: bytes) -> None:
        self._body = content
        self._etag = f'"{blake2b(content, digest_size=16).hexdigest()}"'
        self._kept = header("Cache-Control", "no-cache") + header("ETag", self._etag) + _SECURITY
        media = _MEDIA[PurePath(name).suffix]
        self._head = header("Content-Type", f"{media}; charset=utf-8") + self._kept

    def reply(self, call: Call) -> Reply:
        wanted = call.request.headers.get("If-None-Match")
        if wanted is not None and matches(wanted, self._etag):
            return Reply(304, self._kept)
        return Reply(200, self._head, self._body)


class Console:
    """The page and its parts."""

    def __init__(self) -> None:
        folder = files("booking_http") / "console"
        self._files = {
            entry.name: _File(entry.name, entry.read_bytes()) for entry in folder.iterdir()
        }
        self._page = self._files.pop(_PAGE)

    async def page(self, call: Call) -> Reply:
        return self._page.reply(call)

    async def part(self, call: Call) -> Reply:
        file = self._files.get(call.path_id)
        if file is None:
            raise RefusedError("not_found")
        return file.reply(call)

    def routes(self) -> tuple[Route, ...]:
        at, etag = "/admin/console", ("ETag",)
        page = Answer(200, None, "The page.", etag, media="text/html", also=(304,))
        part = Answer(200, None, "A script or a style.", etag, media="*/*", also=(304,))
        return (
            Route("GET", at, self.page, "adminConsole", "The console, for people", page, "admin"),
            Route(
                "GET", f"{at}/{{id}}", self.part, "adminConsolePart", "A part of the console",
                part, "admin", problems=("not_found",),
            ),
        )  # fmt: skip
