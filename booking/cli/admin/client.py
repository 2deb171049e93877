"""Calls of ``/admin``, and where the service and its token are found."""

import argparse
import asyncio
import getpass
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from booking.cli.kept_secrets import ADMIN_TOKEN_FILE
from booking.embedded import default_data_dir
from booking.settings import SettingsError
from booking_client.errors import Unreachable
from booking_client.transport import Retry, Transport

TIMEOUT_S = 15.0
"""A call waits for the database at most; an import of a large catalogue has its own."""
TOKEN_LENGTH_MAX = 4_096
"""Bytes read of a token file; what is longer is another file."""

T = TypeVar("T")


class AdminError(Exception):
    """The service refused, or could not be asked. ``str()`` is for people."""

    def __init__(self, words: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(words)
        self.code = code
        """Of the problem document; empty if there was no answer."""
        self.status = status


class Client:
    """One service, asked in turn. Ended by a ``with`` block."""

    def __init__(self, url: str, token: str, user: str) -> None:
        parts = urlsplit(url)
        try:
            well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            well = False
        if not well or parts.query or parts.fragment or parts.username:
            raise SettingsError(f"the service's address must look like http://host:port, not {url}")
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}", "X-Admin-User": user}
        # A connection for each call: there are few, and a restart of the service loses none.
        self._transport = Transport(self.url, TIMEOUT_S, Retry(), headers=headers, keep_alive=False)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._runner.run(self._transport.close())
        self._runner.close()

    def ask(
        self, method: str, path: str, body: object = None, *, timeout_s: float = TIMEOUT_S
    ) -> Any:
        """The ``data`` of a success; raises :class:`AdminError`. Nothing is repeated."""
        request = self._transport.request(method, path, body=body, timeout_s=timeout_s)
        try:
            answer = self._runner.run(request)
        except Unreachable as error:
            raise AdminError(f"{self.url} does not answer: {_words(error.__cause__)}") from error
        return _data(answer.status, answer.body, self.url)

    def read(self, data: object, shape: type[T]) -> T:
        """An answer's ``data`` in this shape; :class:`AdminError` if it has another. Fields that
        this program does not know are left out, so that a newer service can be asked."""
        try:
            return msgspec.convert(data, shape)
        except msgspec.ValidationError as error:
            raise AdminError(f"{self.url} is of another version: {error}") from error


def path_part(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")


def _data(status: int, content: bytes, url: str) -> Any:
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AdminError(f"{url} answered {status} without JSON: is it booking?") from None
    if status < 300 and isinstance(document, dict) and "data" in document:
        return document["data"]
    if not isinstance(document, dict) or "code" not in document:
        raise AdminError(f"{url} answered {status}, but not as booking does")
    words = str(document.get("detail", ""))
    for each in document.get("errors", ()):
        place = f"line {each['line']}: {each.get('field', '')}: " if "line" in each else ""
        words += f"\n  {place}{each['message']}"
    raise AdminError(words, code=str(document["code"]), status=status)


# -- where things are ------------------------------------------------------------------------------


def client_of(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Client:
    """As the options say, else the environment, else `booking up`'s own; :class:`SettingsError`."""
    url = getattr(args, "url", None) or environ.get("BOOKING_URL", "").strip() or _own(environ)
    return Client(url, _token(args, environ), getattr(args, "user", None) or _user())


def _own(environ: Mapping[str, str]) -> str:
    """Where `booking up` and `booking serve` listen with these settings."""
    ports = (environ.get(name, "") for name in ("BOOKING_ADMIN_PORT", "BOOKING_PORT", "PORT"))
    port = next((port.strip() for port in ports if port.strip()), "8080")
    return f"http://127.0.0.1:{port}"


def _token(args: argparse.Namespace, environ: Mapping[str, str]) -> str:
    file = getattr(args, "token_file", None)
    if file is not None:
        return _read(file)
    data = getattr(args, "data", None)
    if data is not None:
        return _read(data.expanduser() / ADMIN_TOKEN_FILE)
    token = environ.get("BOOKING_ADMIN_TOKEN", "").strip()
    if token:
        return token
    kept = default_data_dir() / ADMIN_TOKEN_FILE
    if kept.exists():
        return _read(kept)
    raise SettingsError(
        "no operators' token: set BOOKING_ADMIN_TOKEN, or name its file with --token-file, or the"
        " data directory of `booking up` with --data"
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            token = stream.read(TOKEN_LENGTH_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        words = getattr(error, "strerror", None) or "it is not ASCII"
        raise SettingsError(f"the operators' token in {file} cannot be read: {words}") from error
    if not token or not token.isprintable() or " " in token:
        raise SettingsError(f"{file} holds no token")
    return token


def _user(lookup: Callable[[], str] = getpass.getuser) -> str:
    """Who types, for the audit trail."""
    try:
        name = lookup()
    except (OSError, KeyError, ImportError):
        return "cli"  # a container's user without a name
    return name if name.isascii() and name.isprintable() else "cli"


def _words(error: BaseException | None) -> str:
    number = getattr(error, "errno", None)
    if number:
        return os.strerror(number)
    return "timed out" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
