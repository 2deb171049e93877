"""The settings of one instance, read from the environment and checked at once.

A field of :class:`Settings` says all there is of a variable. A bad or missing one stops the start
with one line: :class:`SettingsError`. See ``docs/reference/settings.md``.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field
from msgspec.structs import fields

PREFIX = "BOOKING_"
TEST_PREFIX = "BOOKING_TEST_"
"""Read by the tests, not by the service."""

SECRET_LENGTH_MIN = 32
"""Characters. 32 of even a small alphabet are more than the 128 bits of a token's signature."""
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
_POSTGRES = ("postgresql", "postgres")
_INSTANCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PYTHON_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_BROKER = re.compile(r"[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}")
_HOST_LENGTH_MAX = 50
"""Of the 63 characters of an instance's name; a dash and the longest process id take 8."""

Network: TypeAlias = IPv4Network | IPv6Network


class SettingsError(Exception):
    """A setting is missing, unknown or wrong. ``str()`` is one line that names it."""


def _url(schemes: tuple[str, ...], name: str, text: str) -> str:
    """The value is not repeated in a message: it may hold a password."""
    if urlsplit(text).scheme not in schemes or "://" not in text:
        raise SettingsError(f"{name} must start with {' or '.join(f'{s}://' for s in schemes)}")
    return text


def _urls(name: str, text: str) -> tuple[str, ...]:
    """Separated by white space, which no URL contains: a comma separates the hosts of one."""
    urls = tuple(_url(_POSTGRES, name, url) for url in text.split())
    if len(urls) >= JOURNAL_DATABASES_MAX:
        raise SettingsError(f"{name}: a journal has at most {JOURNAL_DATABASES_MAX} databases")
    return urls


def _nats(name: str, text: str) -> str:
    return ",".join(_url(("nats", "tls"), name, url.strip()) for url in text.split(","))


def _brokers(name: str, text: str) -> str:
    brokers = [broker.strip() for broker in text.split(",")]
    for each in brokers:
        if not _BROKER.fullmatch(each):
            raise SettingsError(f"{name} must look like host:9092,host:9092, not {each!r}")
    return ",".join(brokers)


def _address(name: str, text: str) -> str:
    try:
        url = urlsplit(text)
        well = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        well = False
    if not well or url.path.strip("/") or url.query or url.fragment or url.username:
        raise SettingsError(f"{name} must look like http://host:port, not {text!r}")
    return text.rstrip("/")


def _instance(name: str, text: str) -> str:
    if not _INSTANCE.fullmatch(text):
        raise SettingsError(f"{name} must be 1 to 63 letters, digits, dots, dashes, not {text!r}")
    return text


def _networks(name: str, text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise SettingsError(f"{name} must be addresses or networks: {error}") from None


def _names(name: str, text: str) -> tuple[str, ...]:
    names = tuple(text.split())
    for each in names:
        if not _PYTHON_NAME.fullmatch(each):
            raise SettingsError(f"{name} must be names like package.module:name, not {each!r}")
    return names


def _secrets(name: str, text: str) -> tuple[str, ...]:
    return tuple(_secret(SECRET_LENGTH_MIN, name, each.strip()) for each in text.split(","))


def _secret(length_min: int, name: str, secret: str) -> str:
    """The value itself is never repeated in a message."""
    if len(secret) < length_min:
        raise SettingsError(f"{name} must have at least {length_min} characters, not {len(secret)}")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise SettingsError(f"{name} must be printable ASCII without spaces")
    if len(set(secret)) < DISTINCT_CHARACTERS_MIN or _PLACEHOLDERS.search(secret):
        raise SettingsError(
            f"{name} looks like a placeholder: give it random characters, {_RANDOM_CHARACTERS}"
        )
    return secret


def _as(read: Callable[[str, str], Any]) -> Meta:
    """How a text is read and checked, from its variable's name and itself."""
    return Meta(extra={"read": read})


_RANDOM_CHARACTERS = "as `openssl rand -hex 32` prints them"
PostgresUrl = Annotated[str, _as(partial(_url, _POSTGRES))]
PostgresUrls = Annotated[tuple[str, ...], _as(_urls)]
NatsUrls = Annotated[str, _as(_nats)]
Brokers = Annotated[str, _as(_brokers)]
RedisUrl = Annotated[str, _as(partial(_url, ("redis", "rediss", "unix")))]
Address = Annotated[str, _as(_address)]
InstanceName = Annotated[str, _as(_instance)]
AdminToken = Annotated[str, _as(partial(_secret, ADMIN_TOKEN_LENGTH_MIN))]
TokenSecrets = Annotated[tuple[str, ...], _as(_secrets)]
Names = Annotated[tuple[str, ...], _as(_names)]
Networks = Annotated[tuple[Network, ...], _as(_networks)]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
UpToAMillion = Annotated[int, Meta(ge=0, le=1_000_000)]


class Settings(Struct, frozen=True, kw_only=True):
    """What one instance is told from outside. Names end in their unit."""

    database_url: PostgresUrl = field(name="BOOKING_DATABASE_URL")
    """The catalogue, the leader's row, the operators' log, and a part of the journal: all of it
    unless there are ``journal_urls``."""
    journal_urls: PostgresUrls = field(name="BOOKING_JOURNAL_URLS", default=())
    """Further databases of the journal."""
    read_url: PostgresUrl = field(name="BOOKING_READ_URL", default="")
    """The database of the read model, one of the journal's or another; empty: there is none."""
    nats_url: NatsUrls = field(name="BOOKING_NATS_URL", default="")
    """Servers of one cluster, separated by commas, that ``booking relay`` publishes to."""
    kafka_brokers: Brokers = field(name="BOOKING_KAFKA_BROKERS", default="")
    """``host:port``, separated by commas, that ``booking relay`` publishes to."""
    redis_url: RedisUrl = field(name="BOOKING_REDIS_URL")
    host: str = field(name="BOOKING_HOST", default="0.0.0.0")  # noqa: S104 - behind a Procfile
    port: Annotated[int, Meta(ge=0, le=65_535)] = field(name="BOOKING_PORT", default=8080)
    """0 lets the system choose. ``PORT`` stands in for it."""
    advertise_url: Address = field(name="BOOKING_ADVERTISE_URL", default="")
    """How peers reach this instance, without a final slash; empty: made from host and port."""
    instance: InstanceName = field(
        name="BOOKING_INSTANCE",
        default_factory=lambda: _unique_name(socket.gethostname(), os.getpid()),
    )
    """The instance's name, for people."""
    token_secrets: TokenSecrets = field(name="BOOKING_TOKEN_SECRET")
    """The first signs, all are accepted."""
    admin_token: AdminToken = field(name="BOOKING_ADMIN_TOKEN", default="")
    """Empty: the admin side answers nobody."""
    admin_port: Annotated[int, Meta(ge=1, le=65_535)] | None = field(
        name="BOOKING_ADMIN_PORT", default=None
    )
    """``None``: the admin side is on the same port."""
    hold_s: Seconds = field(name="BOOKING_HOLD_SECONDS", default=300)
    rehold_s: Annotated[int, Meta(ge=0, le=86_400)] | None = field(
        name="BOOKING_REHOLD_SECONDS", default=None
    )
    """``None``: a tenth of a hold."""
    holds_max: Annotated[int, Meta(ge=1, le=1_000)] = field(name="BOOKING_MAX_HOLDS", default=4)
    """Of one user and one date at a time."""
    queue_active_max: UpToAMillion = field(name="BOOKING_QUEUE_MAX_ACTIVE", default=1_000)
    """0: no such limit."""
    queue_admit_per_minute: UpToAMillion = field(name="BOOKING_QUEUE_ADMIT_PER_MINUTE", default=0)
    """0: as fast as places become free."""
    queue_idle_s: Annotated[int, Meta(ge=20, le=3_600)] = field(
        name="BOOKING_QUEUE_IDLE_SECONDS", default=60
    )
    """How long somebody in a queue may give no sign."""
    active_s: Seconds = field(name="BOOKING_ACTIVE_SECONDS", default=600)
    archive: str = field(name="BOOKING_ARCHIVE", default="")
    """The directory with the files of ``booking archive``, for audits."""
    audit_brake: bool = field(name="BOOKING_AUDIT_BRAKE", default=False)
    """``booking audit --follow`` pauses the queues that a violation concerns."""
    consumers: Names = field(name="BOOKING_CONSUMERS", default=())
    """Consumers of events that this instance runs besides the product's own."""
    webhooks: bool = field(name="BOOKING_WEBHOOKS", default=False)
    """Whether operators may have events posted to others."""
    webhook_networks: Networks = field(name="BOOKING_WEBHOOK_ALLOW_PRIVATE", default=())
    """Private networks that webhooks may reach, also without TLS."""
    user_auth: Literal["none", "token"] = field(name="BOOKING_USER_AUTH", default="none")
    log: Literal["json", "text"] = field(name="BOOKING_LOG", default="json")
    access_log: bool = field(name="BOOKING_ACCESS_LOG", default=False)
    tracing: Literal["off", "otlp"] = field(name="BOOKING_TRACING", default="off")
    rate_per_user_minute: UpToAMillion = field(name="BOOKING_RATE_LIMIT_PER_USER", default=1_200)
    """Requests of one token's user in a minute; 0: no limit."""
    rate_per_address_minute: Annotated[int, Meta(ge=0, le=100_000_000)] = field(
        name="BOOKING_RATE_LIMIT_PER_ADDRESS", default=0
    )
    """Requests of one client address in a minute; 0: no limit."""
    trusted_proxies: Networks = field(name="BOOKING_TRUSTED_PROXIES", default=())
    """Whose ``X-Forwarded-For`` is believed."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, serving: bool = True) -> Settings:
        """Read and check everything; ``serving=False``: without secrets. :class:`SettingsError`."""
        _refuse_unknown(environ)
        values: dict[str, Any] = {} if serving else {"redis_url": "", "token_secrets": ()}
        for each in fields(cls):
            name = each.encode_name
            if each.name == "port" and not environ.get(name, "").strip():
                name = "PORT"
            text = environ.get(name, "").strip()
            if text:
                values[each.name] = _read(_TYPES[each.name], name, text)
            elif each.required and each.name not in values:
                raise SettingsError(f"{name} is missing: {_missing(each.name)}")
        settings = cls(**values)
        settings._refuse_contradictions()
        return settings

    def _refuse_contradictions(self) -> None:
        if len(set(self.databases)) != len(self.databases):
            raise SettingsError(
                "BOOKING_JOURNAL_URLS names further databases, each once, without that of "
                "BOOKING_DATABASE_URL"
            )
        if self.admin_port is not None and self.admin_port == self.port:
            raise SettingsError(
                f"BOOKING_ADMIN_PORT is {self.port}, the same as the service's port: leave it "
                f"out to have both on one port"
            )

    @property
    def rehold_ms(self) -> int:
        """How long a seat held for all of ``hold_s`` and let go stays closed to the same user; 0:
        not at all. A tenth of a hold lets others take it."""
        return self.hold_s * 100 if self.rehold_s is None else self.rehold_s * 1000

    @property
    def archive_dir(self) -> Path | None:
        """Where archived rows are read from, if anywhere."""
        return Path(self.archive) if self.archive else None

    @property
    def databases(self) -> tuple[str, ...]:
        """All databases of the journal: shard ``s`` is in number ``s % len(databases)``."""
        return (self.database_url, *self.journal_urls)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything here that must never be shown, for whoever writes logs."""
        urls = (*self.databases, self.read_url, self.redis_url)
        passwords = [urlsplit(url).password for url in urls]
        servers = map(urlsplit, self.nats_url.split(","))
        passwords += [url.password or url.username for url in servers]  # a name alone is a token
        return tuple(filter(None, (*self.token_secrets, self.admin_token, *passwords)))

    def __repr__(self) -> str:
        """Without secrets and passwords: it may end up in a log."""
        return f"Settings(instance={self.instance!r}, host={self.host!r}, port={self.port})"


_TYPES = get_type_hints(Settings, include_extras=True)
KNOWN = (*(each.encode_name for each in fields(Settings)), "BOOKING_URL")
"""Every variable there is, ``PORT`` apart. ``BOOKING_URL`` is for ``booking admin`` alone."""


def _missing(field: str) -> str:
    if field == "token_secrets":
        return f"give it {SECRET_LENGTH_MIN} or more random characters, {_RANDOM_CHARACTERS}"
    return "it names the server to use"


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX) or name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.0)[0]
        raise SettingsError(f"{name} is not a setting; the nearest is {near}")


def _read(kind: Any, name: str, text: str) -> Any:
    """The value of a variable of this type; :class:`SettingsError`."""
    options = ("off", "on") if kind is bool else get_args(kind)
    if kind is bool or get_origin(kind) is Literal:
        if text not in options:
            raise SettingsError(f"{name} must be {' or '.join(options)}, not {text!r}")
        return text == "on" if kind is bool else text
    if get_origin(kind) is Union:  # with None, for a variable that is not there
        kind = options[0]
    for meta in getattr(kind, "__metadata__", ()):
        return _whole(meta, name, text) if meta.extra is None else meta.extra["read"](name, text)
    return text


def _whole(within: Meta, name: str, text: str) -> int:
    low, high = int(within.ge or 0), int(within.le or 0)
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def _unique_name(host: str, pid: int) -> str:
    """Long names stay different when cut, and in containers process ids are alike."""
    name = re.sub(r"[^A-Za-z0-9.-]", "-", host).strip("-.") or "booking"
    if len(name) > _HOST_LENGTH_MAX:
        name = f"{name[:30]}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return f"{name}-{pid}" if pid > 1 else f"{name}-{os.urandom(3).hex()}"
