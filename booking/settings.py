"""The settings of one instance, read from the environment (12-factor) and checked at once.

A bad or missing setting stops the start with one line: :class:`SettingsError`. The reference for
people is ``docs/reference/settings.md``; a test holds it to :data:`KNOWN`.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from booking.queue.tokens import SECRET_LENGTH_MIN

Word = TypeVar("Word", bound=str)

PREFIX = "BOOKING_"
TEST_PREFIX = "BOOKING_TEST_"
"""Read by the tests, not by the service."""

KNOWN = (
    "BOOKING_DATABASE_URL",
    "BOOKING_JOURNAL_URLS",
    "BOOKING_REDIS_URL",
    "BOOKING_HOST",
    "BOOKING_PORT",
    "BOOKING_ADVERTISE_URL",
    "BOOKING_INSTANCE",
    "BOOKING_TOKEN_SECRET",
    "BOOKING_ADMIN_TOKEN",
    "BOOKING_ADMIN_PORT",
    "BOOKING_HOLD_SECONDS",
    "BOOKING_REHOLD_SECONDS",
    "BOOKING_MAX_HOLDS",
    "BOOKING_QUEUE_MAX_ACTIVE",
    "BOOKING_QUEUE_ADMIT_PER_MINUTE",
    "BOOKING_QUEUE_IDLE_SECONDS",
    "BOOKING_ACTIVE_SECONDS",
    "BOOKING_USER_AUTH",
    "BOOKING_LOG",
    "BOOKING_URL",
    "BOOKING_ACCESS_LOG",
    "BOOKING_TRACING",
    "BOOKING_RATE_LIMIT_PER_USER",
    "BOOKING_RATE_LIMIT_PER_ADDRESS",
    "BOOKING_TRUSTED_PROXIES",
)
"""Every variable there is, ``PORT`` apart, which stands in for ``BOOKING_PORT``."""

ADMIN_TOKEN_LENGTH_MIN = 16
"""Characters: 64 bits even if they are hexadecimal digits, and it is not guessed offline."""

JOURNAL_DATABASES_MAX = 64
"""Four of the 256 shards for each; one database more would help nobody."""

DISTINCT_CHARACTERS_MIN = 8
"""Of a secret: random text of its length always has more; ``aaaa`` and ``12341234`` do not."""

_PLACEHOLDERS = re.compile(
    r"change.?me|change.?this|place.?holder|example|insecure|password|replace.?(me|this)|todo|"
    r"your.?(own.?)?(secret|token|key)|0123456789|abcdefgh",
    re.IGNORECASE,
)
_INSTANCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DAY_S = 86_400
_HOST_LENGTH_MAX = 50
"""Of the 63 characters of an instance's name; a dash and the longest process id take 8."""


class SettingsError(Exception):
    """A setting is missing, unknown or wrong. ``str()`` is one line that names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance is told from outside. Names end in their unit."""

    database_url: str
    """The catalogue, the leader's row, the operators' log, and a part of the journal: all of it
    unless there are ``journal_urls``."""
    journal_urls: tuple[str, ...] = ()
    """Further databases of the journal."""
    redis_url: str
    host: str
    port: int
    """0 lets the system choose."""
    advertise_url: str
    """How peers reach this instance, without a final slash; empty: made from host and port."""
    instance: str
    """The instance's name, for people; unique by default."""
    token_secrets: tuple[str, ...]
    """The first signs, all are accepted."""
    admin_token: str
    """Empty: the admin side answers nobody."""
    admin_port: int | None
    """``None``: the admin side is on the same port."""
    hold_s: int
    rehold_ms: int
    """How long a seat that was held for the whole of ``hold_s`` and let go is not for the same user
    again, and a seat held for less so much shorter; 0: it is at once."""
    holds_max: int
    """Of one user and one date at a time."""
    queue_active_max: int
    """0: no such limit."""
    queue_admit_per_minute: int
    """0: as fast as places become free."""
    queue_idle_s: int
    """How long somebody in a queue may give no sign."""
    active_s: int
    user_auth: Literal["none", "token"]
    log: Literal["json", "text"]
    access_log: bool
    tracing: Literal["off", "otlp"]
    rate_per_user_minute: int
    """Requests of one token's user in a minute; 0: no limit."""
    rate_per_address_minute: int
    """Requests of one client address in a minute; 0: no limit."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    """Whose ``X-Forwarded-For`` is believed."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, serving: bool = True) -> Settings:
        """Read and check everything. ``serving=False`` is for commands that only need the
        database: they may do without Redis and secrets. :class:`SettingsError`."""
        _refuse_unknown(environ)
        env = _Reader(environ)
        hold_s = env.number("BOOKING_HOLD_SECONDS", 300, 1, _DAY_S)
        settings = cls(
            database_url=env.url("BOOKING_DATABASE_URL", ("postgresql", "postgres"), need=True),
            journal_urls=_journal_urls(env),
            redis_url=env.url("BOOKING_REDIS_URL", ("redis", "rediss", "unix"), need=serving),
            host=env.text("BOOKING_HOST") or "0.0.0.0",  # noqa: S104 - a server behind a Procfile
            port=env.port(),
            advertise_url=_advertised(env),
            instance=_instance(env),
            token_secrets=_token_secrets(env, need=serving),
            admin_token=_admin_token(env),
            admin_port=env.number("BOOKING_ADMIN_PORT", 0, 1, 65_535) or None,
            hold_s=hold_s,
            rehold_ms=_rehold_ms(env, hold_s),
            holds_max=env.number("BOOKING_MAX_HOLDS", 4, 1, 1_000),
            queue_active_max=env.number("BOOKING_QUEUE_MAX_ACTIVE", 1_000, 0, 1_000_000),
            queue_admit_per_minute=env.number("BOOKING_QUEUE_ADMIT_PER_MINUTE", 0, 0, 1_000_000),
            queue_idle_s=env.number("BOOKING_QUEUE_IDLE_SECONDS", 60, 20, 3_600),
            active_s=env.number("BOOKING_ACTIVE_SECONDS", 600, 1, _DAY_S),
            user_auth=env.choice("BOOKING_USER_AUTH", ("none", "token")),
            log=env.choice("BOOKING_LOG", ("json", "text")),
            access_log=env.choice("BOOKING_ACCESS_LOG", ("off", "on")) == "on",
            tracing=env.choice("BOOKING_TRACING", ("off", "otlp")),
            rate_per_user_minute=env.number("BOOKING_RATE_LIMIT_PER_USER", 1_200, 0, 1_000_000),
            rate_per_address_minute=env.number("BOOKING_RATE_LIMIT_PER_ADDRESS", 0, 0, 100_000_000),
            trusted_proxies=_trusted_proxies(env),
        )
        if settings.admin_port is not None and settings.admin_port == settings.port:
            raise SettingsError(
                f"BOOKING_ADMIN_PORT is {settings.port}, the same as the service's port: leave it "
                f"out to have both on one port"
            )
        return settings

    @property
    def databases(self) -> tuple[str, ...]:
        """All databases of the journal: shard ``s`` is in number ``s % len(databases)``."""
        return (self.database_url, *self.journal_urls)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything here that must never be shown, for whoever writes logs."""
        urls = (*self.databases, self.redis_url)
        passwords = (urlsplit(url).password or "" for url in urls)
        return tuple(filter(None, (*self.token_secrets, self.admin_token, *passwords)))

    def __repr__(self) -> str:
        """Without secrets and passwords: it may end up in a log."""
        return f"Settings(instance={self.instance!r}, host={self.host!r}, port={self.port})"


class _Reader:
    """Typed access to the environment. An empty variable is an absent one."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def number(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
        return int(text)

    def port(self) -> int:
        name = "BOOKING_PORT" if self.text("BOOKING_PORT") else "PORT"
        return self.number(name, 8080, 0, 65_535)

    def choice(self, name: str, options: tuple[Word, Word]) -> Word:
        """One of ``options``; the first is the default."""
        text = self.text(name) or options[0]
        for option in options:
            if option == text:
                return option
        raise SettingsError(f"{name} must be {options[0]} or {options[1]}, not {text!r}")

    def url(self, name: str, schemes: tuple[str, ...], *, need: bool) -> str:
        text = self.text(name)
        if not text and need:
            raise SettingsError(f"{name} is missing: it names the server to use")
        # The value is not repeated: it may hold a password.
        if text and (urlsplit(text).scheme not in schemes or "://" not in text):
            raise SettingsError(f"{name} must start with {' or '.join(f'{s}://' for s in schemes)}")
        return text


def _rehold_ms(env: _Reader, hold_s: int) -> int:
    """A tenth of a hold unless it is set: time enough for somebody else to see the seat and take
    it, and no long wait for one who meant to keep it."""
    name = "BOOKING_REHOLD_SECONDS"
    if not env.text(name):
        return hold_s * 1000 // 10
    return env.number(name, 0, 0, _DAY_S) * 1000


def _journal_urls(env: _Reader) -> tuple[str, ...]:
    """Separated by white space, which no URL contains: a comma separates the hosts of one."""
    name = "BOOKING_JOURNAL_URLS"
    urls = tuple(env.text(name).split())
    for url in urls:
        if not url.startswith(("postgresql://", "postgres://")):
            raise SettingsError(f"{name}: each must start with postgresql:// or postgres://")
    if len({*urls, env.text("BOOKING_DATABASE_URL")}) != len(urls) + 1:
        raise SettingsError(
            f"{name} names further databases, each once, without that of BOOKING_DATABASE_URL"
        )
    if len(urls) >= JOURNAL_DATABASES_MAX:
        raise SettingsError(f"{name}: a journal has at most {JOURNAL_DATABASES_MAX} databases")
    return urls


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX) or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{name} is not a setting; the nearest is {near}")


def _advertised(env: _Reader) -> str:
    text = env.text("BOOKING_ADVERTISE_URL").rstrip("/")
    if not text:
        return ""
    message = f"BOOKING_ADVERTISE_URL must look like http://host:port, not {text!r}"
    try:
        url = urlsplit(text)
        well = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        raise SettingsError(message) from None
    if not well or url.path or url.query or url.fragment or url.username:
        raise SettingsError(message)
    return text


def _instance(env: _Reader) -> str:
    text = env.text("BOOKING_INSTANCE")
    if not text:
        return _unique_name(socket.gethostname(), os.getpid())
    if not _INSTANCE.fullmatch(text):
        raise SettingsError(
            f"BOOKING_INSTANCE must be 1 to 63 letters, digits, dots, dashes, not {text!r}"
        )
    return text


def _unique_name(host: str, pid: int) -> str:
    """Two hosts with long names must not be cut to the same one, and in a container the process id
    is 1 everywhere, also where several share the host's name."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", host).strip("-.") or "booking"
    if len(name) > _HOST_LENGTH_MAX:
        name = f"{name[:30]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return f"{name}-{pid}" if pid > 1 else f"{name}-{os.urandom(3).hex()}"


def _trusted_proxies(env: _Reader) -> tuple[IPv4Network | IPv6Network, ...]:
    name = "BOOKING_TRUSTED_PROXIES"
    words = [word.strip() for word in env.text(name).split(",") if word.strip()]
    try:
        return tuple(ip_network(word) for word in words)
    except ValueError as error:
        raise SettingsError(f"{name} must be addresses or networks: {error}") from None


def _token_secrets(env: _Reader, *, need: bool) -> tuple[str, ...]:
    name = "BOOKING_TOKEN_SECRET"
    text = env.text(name)
    if not text:
        if not need:
            return ()
        raise SettingsError(
            f"{name} is missing: give it {SECRET_LENGTH_MIN} or more random characters, "
            f"as `openssl rand -hex 32` prints them"
        )
    secrets = tuple(secret.strip() for secret in text.split(","))
    for secret in secrets:
        _refuse_weak(name, secret, SECRET_LENGTH_MIN)
    return secrets


def _admin_token(env: _Reader) -> str:
    name = "BOOKING_ADMIN_TOKEN"
    text = env.text(name)
    if text:
        _refuse_weak(name, text, ADMIN_TOKEN_LENGTH_MIN)
    return text


def _refuse_weak(name: str, secret: str, length_min: int) -> None:
    """The value itself is never repeated in a message."""
    if len(secret) < length_min:
        raise SettingsError(f"{name} must have at least {length_min} characters, not {len(secret)}")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise SettingsError(f"{name} must be printable ASCII without spaces")
    if len(set(secret)) < DISTINCT_CHARACTERS_MIN or _PLACEHOLDERS.search(secret):
        raise SettingsError(
            f"{name} looks like a placeholder: give it random characters, "
            f"as `openssl rand -hex 32` prints them"
        )
