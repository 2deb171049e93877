"""Which addresses and URLs webhooks may have."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from booking.webhooks.addresses import permitted, refusal

PRIVATE = [
    "127.0.0.1",
    "127.255.0.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.9.9",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "fec0::1",
    "4000::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:f5ff:fffe",
]
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
OTHERWISE_WRITTEN = ["2130706433", "017700000001", "0x7f000001", "127.1", "0177.0.0.1", "0x7f.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_only_the_house_reaches_is_refused(address: str) -> None:
    assert not permitted(address, (), public=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_everybody_reaches_is_not(address: str) -> None:
    assert permitted(address, (), public=True)
    assert not permitted(address, (), public=False)


@pytest.mark.parametrize("address", [*OTHERWISE_WRITTEN, "localhost", "", "::1::"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert not permitted(address, (), public=True)


def test_a_network_that_is_allowed_is_reached_and_no_other() -> None:
    allowed = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert permitted("10.1.2.3", allowed, public=False)
    assert permitted("fd12::1", allowed, public=True)
    assert not permitted("192.168.0.1", allowed, public=True)
    assert not permitted("::ffff:192.168.0.1", allowed, public=True)


@pytest.mark.parametrize("host", [*OTHERWISE_WRITTEN, *PRIVATE[:12], "127.0.0.1.", "10.0.0.0x1"])
def test_a_url_with_a_private_or_odd_number_is_refused_at_once(host: str) -> None:
    assert "address" in refusal(f"https://{host}/in", ())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org:70/",
        "https://",
        "https:///in",
        "https://user:secret@example.org/",
        "https://user@example.org/",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://example.org:0/",
        "https://example.org:x/",
        "https://[::1",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://exa mple.org/",
        "https://example.org/\r\nX: y",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://example.org/" + "x" * 2_000,
        "http://example.org/",
        "http://8.8.8.8/",
    ],
)
def test_other_urls_are_refused_too(url: str) -> None:
    assert refusal(url, ())


@pytest.mark.parametrize("url", ["https://example.org", "https://example.org:8443/in?for=us"])
def test_a_url_as_it_should_be_is_taken(url: str) -> None:
    assert refusal(url, ()) == ""
    assert refusal("https://[2606:4700:4700::1111]/", ()) == ""


def test_plain_http_is_for_networks_that_are_allowed() -> None:
    allowed = (ip_network("127.0.0.0/8"),)
    assert refusal("http://127.0.0.1:9000/in", allowed) == ""
    assert refusal("http://8.8.8.8/", allowed)
    assert refusal("http://receiver.internal/", allowed) == ""  # Asked for when it is connected to.
