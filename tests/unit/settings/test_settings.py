"""Every setting: its default, its range, and the one line that a wrong one gets."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import get_args, get_type_hints

import pytest
from msgspec import NODEFAULT, Meta
from msgspec.structs import FieldInfo, fields

from booking.settings import KNOWN, Settings, SettingsError
from tests.support.processes import REPO

SECRET = "f3b1c05a9d2e47886a10cb5d9e7f2034"
OLDER = "9c41d7e2b8a05f6312de78cb4a90f5e1"
MINIMAL = {
    "BOOKING_DATABASE_URL": "postgresql://booking@db/booking",
    "BOOKING_REDIS_URL": "redis://cache:6379/0",
    "BOOKING_TOKEN_SECRET": SECRET,
}


def read(**changes: str) -> Settings:
    return Settings.from_env(MINIMAL | changes)


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(environ)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.admin_port) == ("0.0.0.0", 8080, None)
    assert (settings.hold_s, settings.holds_max, settings.active_s) == (300, 4, 600)
    assert settings.rehold_ms == 30_000
    assert (settings.queue_active_max, settings.queue_admit_per_minute) == (1_000, 0)
    assert (settings.user_auth, settings.log) == ("none", "json")
    assert (settings.admin_token, settings.advertise_url) == ("", "")
    assert settings.token_secrets == (SECRET,)
    assert (settings.access_log, settings.tracing) == (False, "off")
    assert (settings.rate_per_user_minute, settings.rate_per_address_minute) == (1_200, 0)
    assert settings.trusted_proxies == ()


@pytest.mark.parametrize("host", ["db1.example.org", "-", "a_b", "x" * 64, "pod-" * 15 + "7d4b9"])
def test_the_name_of_an_instance_is_unique_by_default(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(host: str, pid: int) -> list[str]:
        monkeypatch.setattr("socket.gethostname", lambda: host)
        monkeypatch.setattr("os.getpid", lambda: pid)
        return [read().instance for _ in range(2)]

    first, same = names(host, 4_194_304)
    assert first == same
    assert first.endswith("-4194304")
    others = [*names(host, 7), *names(f"{host}z", 7)]
    assert len({first, *others}) == 3, "another process, another host"
    assert len(set(names(host, 1))) == 2, "in containers everybody has process id 1"
    for name in (first, *others, *names(host, 1)):
        assert read(BOOKING_INSTANCE=name).instance == name, "a name that one may give"


def test_every_setting_is_read() -> None:
    settings = read(
        BOOKING_NATS_URL="nats://a:4222, tls://u:pw@b:4222",
        BOOKING_KAFKA_BROKERS="a:9092, [::1]:9092",
        BOOKING_HOST="127.0.0.1",
        BOOKING_PORT="9000",
        BOOKING_ADVERTISE_URL="http://10.0.0.7:9000/",
        BOOKING_INSTANCE="seoul-1",
        BOOKING_TOKEN_SECRET=f"{SECRET}, {OLDER}",
        BOOKING_ADMIN_TOKEN="8e4f1d6b2c7a9053",
        BOOKING_ADMIN_PORT="9001",
        BOOKING_HOLD_SECONDS="60",
        BOOKING_REHOLD_SECONDS="20",
        BOOKING_MAX_HOLDS="2",
        BOOKING_QUEUE_MAX_ACTIVE="50",
        BOOKING_QUEUE_ADMIT_PER_MINUTE="30",
        BOOKING_QUEUE_IDLE_SECONDS="45",
        BOOKING_ACTIVE_SECONDS="120",
        BOOKING_USER_AUTH="token",
        BOOKING_LOG="text",
        BOOKING_ACCESS_LOG="on",
        BOOKING_TRACING="otlp",
        BOOKING_RATE_LIMIT_PER_USER="0",
        BOOKING_RATE_LIMIT_PER_ADDRESS="6000",
        BOOKING_TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7,fd00::/8",
    )
    assert settings == Settings(
        database_url=MINIMAL["BOOKING_DATABASE_URL"],
        redis_url=MINIMAL["BOOKING_REDIS_URL"],
        nats_url="nats://a:4222,tls://u:pw@b:4222",
        kafka_brokers="a:9092,[::1]:9092",
        host="127.0.0.1",
        port=9000,
        advertise_url="http://10.0.0.7:9000",
        instance="seoul-1",
        token_secrets=(SECRET, OLDER),
        admin_token="8e4f1d6b2c7a9053",
        admin_port=9001,
        hold_s=60,
        rehold_s=20,
        holds_max=2,
        queue_active_max=50,
        queue_admit_per_minute=30,
        queue_idle_s=45,
        active_s=120,
        user_auth="token",
        log="text",
        access_log=True,
        tracing="otlp",
        rate_per_user_minute=0,
        rate_per_address_minute=6000,
        trusted_proxies=tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.7", "fd00::/8"))),
    )


def test_port_stands_in_for_booking_port_which_wins() -> None:
    assert read(PORT="5000").port == 5000
    assert read(PORT="5000", BOOKING_PORT="6000").port == 6000


@pytest.mark.parametrize(
    ("hold_s", "rehold_s", "rehold_ms"),
    [("1", "", 100), ("600", "", 60_000), ("600", "0", 0), ("1", "86400", 86_400_000)],
)
def test_a_seat_rests_for_a_tenth_of_a_hold_unless_it_is_set(
    hold_s: str, rehold_s: str, rehold_ms: int
) -> None:
    settings = read(BOOKING_HOLD_SECONDS=hold_s, BOOKING_REHOLD_SECONDS=rehold_s)
    assert settings.rehold_ms == rehold_ms


def test_an_empty_variable_is_an_absent_one() -> None:
    assert read(BOOKING_ADMIN_PORT="", BOOKING_HOLD_SECONDS=" ") == read()


@pytest.mark.parametrize(
    "name", ["BOOKING_DATABASE_URL", "BOOKING_REDIS_URL", "BOOKING_TOKEN_SECRET"]
)
def test_what_serving_needs_is_missed_by_name(name: str) -> None:
    assert name in refusal({key: value for key, value in MINIMAL.items() if key != name})


def test_a_command_that_only_uses_the_database_needs_nothing_else() -> None:
    environ = {"BOOKING_DATABASE_URL": "postgres:///x"}
    assert Settings.from_env(environ, serving=False).token_secrets == ()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("BOOKING_PORT", ["-1", "65536", "http", "80.0", "\uff11\uff12", "0x50"]),
        ("PORT", ["65536"]),
        ("BOOKING_ADMIN_PORT", ["0", "65536"]),
        ("BOOKING_HOLD_SECONDS", ["0", "86401", "5m", "1e3"]),
        ("BOOKING_REHOLD_SECONDS", ["-1", "86401", "30s", "0.5"]),
        ("BOOKING_MAX_HOLDS", ["0", "1001", "four"]),
        ("BOOKING_QUEUE_MAX_ACTIVE", ["-1", "1000001"]),
        ("BOOKING_QUEUE_ADMIT_PER_MINUTE", ["-1", "1000001"]),
        ("BOOKING_QUEUE_IDLE_SECONDS", ["19", "3601"]),
        ("BOOKING_ACTIVE_SECONDS", ["0", "86401"]),
        ("BOOKING_USER_AUTH", ["yes", "TOKEN"]),
        ("BOOKING_LOG", ["xml"]),
        ("BOOKING_DATABASE_URL", ["mysql://x", "db:5432", "postgresql:"]),
        ("BOOKING_REDIS_URL", ["http://x", "localhost"]),
        (
            "BOOKING_ADVERTISE_URL",
            [
                "10.0.0.7:9000",
                "ftp://x",
                "http://x/path",
                "http://x:99999",
                "http://u@x",
                "http://",
            ],
        ),
        ("BOOKING_INSTANCE", ["-a", "a b", "a" * 64, "a/b"]),
        ("BOOKING_ADMIN_TOKEN", ["short", "change-me-change-me", "aaaaaaaaaaaaaaaaaaaa"]),
        (
            "BOOKING_TOKEN_SECRET",
            [
                SECRET[:31],
                f"{SECRET},",
                f"{SECRET},short",
                "x" * 40,
                "changeme" + SECRET,
                "CHANGE_ME_" + SECRET,
                "your-secret-here-" + SECRET,
                "0123456789abcdef0123456789abcdef",
                "a password of more than thirty-two characters",
                f"{SECRET}é",
            ],
        ),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(name: str, values: list[str]) -> None:
    for value in values:
        told = refusal(MINIMAL | {name: value})
        assert re.search(rf"\b{name}\b", told), (value, told)


def test_the_two_ports_must_differ() -> None:
    assert "BOOKING_ADMIN_PORT" in refusal(
        MINIMAL | {"BOOKING_PORT": "9000", "BOOKING_ADMIN_PORT": "9000"}
    )


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("BOOKING_HOLD_SECOND", "BOOKING_HOLD_SECONDS"),
        ("BOOKING_DATABASE", "BOOKING_DATABASE_URL"),
        ("BOOKING_TOKEN", "BOOKING_ADMIN_TOKEN"),
        ("BOOKING_ADMIT_PER_MINUTE", "BOOKING_QUEUE_ADMIT_PER_MINUTE"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_known(wrong: str, meant: str) -> None:
    told = refusal(MINIMAL | {wrong: "1"})
    assert wrong in told
    assert meant in told


def test_variables_of_the_tests_are_not_the_services_business() -> None:
    assert read(BOOKING_TEST_DATABASE_URL="anything") == read()


def test_a_secret_is_never_in_a_message_or_a_repr() -> None:
    with_password = {"BOOKING_DATABASE_URL": "mysql://u:hunter2@db/x"}
    assert "hunter2" not in refusal(MINIMAL | with_password)
    assert "tooshort77" not in refusal(MINIMAL | {"BOOKING_TOKEN_SECRET": "tooshort77"})
    assert SECRET not in repr(read())


@pytest.mark.parametrize(
    ("name", "value"),
    [("NATS_URL", "http://a:4222"), ("NATS_URL", "nats://a,b:1"), ("KAFKA_BROKERS", "a,b:9092")],
)
def test_brokers_that_cannot_be_are_refused(name: str, value: str) -> None:
    assert f"BOOKING_{name} must" in refusal(MINIMAL | {f"BOOKING_{name}": value})


def test_what_opens_a_broker_is_a_secret() -> None:
    urls = "nats://u:hunter22@a:4222,nats://token-of-mine@b:4222,nats://c:4222"
    assert {"hunter22", "token-of-mine"} <= set(read(BOOKING_NATS_URL=urls).secrets)


PAGE = (REPO / "docs" / "reference" / "settings.md").read_text("utf-8")
ROWS = {
    name: (default, meaning)
    for name, default, meaning in re.findall(
        r"^\| `(BOOKING_\w+)` \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE
    )
}


TYPES = get_type_hints(Settings, include_extras=True)


def test_the_reference_page_names_every_setting() -> None:
    assert set(ROWS) == set(KNOWN)
    assert "`PORT`" in PAGE


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_the_reference_page_gives_every_default(setting: FieldInfo) -> None:
    told, default = ROWS[setting.encode_name][0], setting.default
    if setting.required:
        assert told == "required"
    elif setting.name == "rehold_s":
        assert told == f"`{read().rehold_ms // 1000}`"
    elif default in (NODEFAULT, None, "", ()):
        assert "`" not in told, "in words"
    else:
        assert told == f"`{'off' if default is False else default}`"


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_the_reference_page_gives_every_range_and_choice(setting: FieldInfo) -> None:
    row = " ".join(ROWS[setting.encode_name])
    kind = TYPES[setting.name]
    for within in (*getattr(kind, "__metadata__", ()), *get_args(kind)):
        if isinstance(within, Meta) and within.le is not None:
            ranges = [f"{within.ge} to {within.le}", f"up to {within.le}"]
            assert any(words in row for words in ranges[: 1 + (within.ge == 0)]), ranges
        elif isinstance(within, str):
            assert f"`{within}`" in row


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy", "10.0.0.0/33"])
def test_a_proxy_that_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="BOOKING_TRUSTED_PROXIES must be addresses"):
        read(BOOKING_TRUSTED_PROXIES=value)


def test_the_secrets_are_all_that_may_not_be_shown() -> None:
    settings = read(
        BOOKING_TOKEN_SECRET=f"{SECRET},{OLDER}",
        BOOKING_ADMIN_TOKEN="8e4f1d6b2c7a9053",
        BOOKING_DATABASE_URL="postgresql://booking:hunter2@db/booking",
        BOOKING_JOURNAL_URLS="postgresql://booking:hunter4@db-2/booking",
        BOOKING_REDIS_URL="redis://:hunter3@cache",
    )
    shown = {"8e4f1d6b2c7a9053", "hunter2", "hunter3", "hunter4"}
    assert set(settings.secrets) == {SECRET, OLDER} | shown
