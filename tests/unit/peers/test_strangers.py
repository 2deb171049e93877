"""Who does not know the secret, or speaks otherwise, gets nothing and learns nothing."""

from __future__ import annotations

import logging
import secrets
from typing import Any

import aiohttp
import msgspec
import pytest

from actors.errors import NotOwnedError
from actors.peers import PEER_PATH, Secret
from actors.peers.handshake import NONCE_BYTES, HandshakeError
from actors.peers.protocol import VERSION, Challenge, Hello, Proof, Reply, encode, frame_of
from actors.transport import Answer, Request
from tests.support.peer_links import ANN, FOREIGN, LIMITS, SECRET, Pair, until

OTHER = b"another secret of another cluster"
HELLO = Hello(VERSION, "one", "one-1", b"n" * NONCE_BYTES)
CHALLENGE = Challenge(VERSION, "two", "two-1", b"m" * NONCE_BYTES)
PROOF_BEFORE = "f3b594b2d6247ef7a1d718f75577166b215594f11425cd7a15a7031464698a63"
"""Of these two, as the release before clusters had names makes it."""


async def refused(pair: Pair, secret: bytes = SECRET) -> str:
    transport = pair.transport(secret=secret)
    with pytest.raises(NotOwnedError) as raised:
        await transport.ask("two", Request(ANN, 1, pair.in_s(60)))
    return str(raised.value)


async def test_a_wrong_secret_opens_nothing(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    await pair.start()
    await refused(pair, OTHER)
    assert pair.clerk.got == []
    assert pair.listening.endpoint.links == 0
    await until(lambda: pair.listening.endpoint.counts.rejected >= 3)
    there = [r for r in caplog.records if r.name == "actors.peers.endpoint"]
    assert len(there) == 1, "repeats are counted, not logged"
    assert OTHER.decode() not in caplog.text
    assert SECRET.decode() not in caplog.text


async def test_the_side_that_connects_is_told_why(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    await pair.start()
    with caplog.at_level(logging.WARNING, logger="actors.peers.peer"):
        await refused(pair, OTHER)
    assert "secret is not the same" in caplog.text


async def test_an_address_that_another_instance_took_is_not_used(pair: Pair) -> None:
    await pair.start(instance="three")
    await refused(pair)
    assert pair.clerk.got == []


async def word_from(pair: Pair, *said: bytes) -> aiohttp.WSMessage:
    """What the endpoint says last to somebody who says this."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(pair.relay.url + PEER_PATH) as socket,
    ):
        message = None
        for part in said:
            await socket.send_bytes(part)
            message = await socket.receive()
        assert message is not None
        return message


@pytest.mark.parametrize(
    "hello",
    [
        encode(Hello(VERSION + 1, "one", "one-1", b"n" * NONCE_BYTES)),
        encode(Hello(VERSION, "one", "one-1", b"short")),
        encode(Hello(VERSION, "", "one-1", b"n" * NONCE_BYTES)),
        encode(Hello(VERSION, "one", "x" * 10_000, b"n" * NONCE_BYTES)),
        encode(Proof(b"p" * 32)),
        frame_of([encode(Reply(1, b""))]),
        b"\xc1 no msgpack",
        b"",
    ],
)
async def test_other_words_end_the_link_clearly(pair: Pair, hello: bytes) -> None:
    await pair.start()
    message = await word_from(pair, hello)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1002)
    assert message.extra


async def test_a_guessed_proof_ends_the_link(pair: Pair) -> None:
    await pair.start()
    message = await word_from(pair, encode(HELLO), encode(Proof(secrets.token_bytes(32))))
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def greeted(pair: Pair, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(encode(HELLO))
    challenge = msgspec.msgpack.decode(await socket.receive_bytes(), type=Challenge)
    await socket.send_bytes(encode(Secret(SECRET).proof("connects", HELLO, challenge)))
    await socket.receive_bytes()


@pytest.mark.parametrize(
    "frame",
    [b"\xc1", b"", frame_of([encode(Reply(1, b""))]), frame_of([encode(HELLO)])],
    ids=["no msgpack", "empty", "an answer", "a greeting"],
)
async def test_a_peer_that_misspeaks_loses_its_link(pair: Pair, frame: bytes) -> None:
    await pair.start()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(pair.relay.url + PEER_PATH) as socket,
    ):
        await greeted(pair, socket)
        await socket.send_bytes(frame)
        while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
            """Its pings."""
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1002)


async def test_a_frame_that_is_too_long_ends_the_link(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    await pair.start()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(pair.relay.url + PEER_PATH) as socket,
    ):
        await greeted(pair, socket)
        with caplog.at_level(logging.INFO, logger="actors.peers.endpoint"):
            await socket.send_bytes(b"x" * (LIMITS.frame_bytes_max + 2))
            await until(lambda: pair.listening.endpoint.links == 0)
    assert "exceeds limit" in caplog.text


async def test_who_says_nothing_is_cut_off(pair: Pair) -> None:
    await pair.start(limits=msgspec.structs.replace(LIMITS, handshake_timeout_s=0.05))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(pair.relay.url + PEER_PATH) as socket,
    ):
        assert (await socket.receive(timeout=30)).type in (
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        )


async def test_only_so_many_strangers_at_a_time(pair: Pair) -> None:
    await pair.start(limits=msgspec.structs.replace(LIMITS, handshakes_max=1))
    url = pair.relay.url + PEER_PATH
    async with aiohttp.ClientSession() as session, session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await session.ws_connect(url)
        assert raised.value.status == 503


async def test_a_browser_is_told_that_this_is_for_peers(pair: Pair) -> None:
    await pair.start()
    async with aiohttp.ClientSession() as session:
        response = await session.get(pair.relay.url + PEER_PATH)
        assert response.status == 426


async def test_a_second_link_of_one_instance_replaces_the_first(pair: Pair) -> None:
    await pair.start()
    url = pair.relay.url + PEER_PATH
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as first:
        await greeted(pair, first)
        async with session.ws_connect(url) as second:
            await greeted(pair, second)
            while (message := await first.receive(timeout=30)).type is aiohttp.WSMsgType.BINARY:
                """Its pings."""
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert pair.listening.endpoint.links == 1


def test_a_proof_is_good_for_one_side_one_pair_and_one_nonce() -> None:
    secret = Secret(SECRET)
    proof = secret.proof("connects", HELLO, CHALLENGE)
    secret.check("connects", HELLO, CHALLENGE, proof)
    replace = msgspec.structs.replace
    for side, hello, challenge in (
        ("listens", HELLO, CHALLENGE),
        ("connects", replace(HELLO, nonce=b"x" * NONCE_BYTES), CHALLENGE),
        ("connects", replace(HELLO, incarnation="one-2"), CHALLENGE),
        ("connects", HELLO, replace(CHALLENGE, nonce=b"x" * NONCE_BYTES)),
        ("connects", HELLO, replace(CHALLENGE, incarnation="two-2")),
    ):
        with pytest.raises(HandshakeError):
            secret.check(side, hello, challenge, proof)  # type: ignore[arg-type]  # a literal
    with pytest.raises(HandshakeError):
        Secret(OTHER).check("connects", HELLO, CHALLENGE, proof)


def test_a_secret_is_long_and_stays_unsaid() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Secret(b"short")
    assert SECRET.decode() not in repr(Secret(SECRET))


# -- clusters --------------------------------------------------------------------------------------


async def asked(pair: Pair, **options: Any) -> Answer:
    return await pair.transport(**options).ask("two", Request(ANN, 1, pair.in_s(60)))


async def test_instances_of_one_cluster_meet(pair: Pair) -> None:
    await pair.start(cluster="here")
    assert (await asked(pair, cluster="here")).reply == 1


@pytest.mark.parametrize(("listens", "connects"), [("here", "there"), ("here", ""), ("", "there")])
async def test_another_cluster_opens_nothing_with_the_same_secret(
    pair: Pair, listens: str, connects: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A staging that was given a copy of production's settings must not reach production."""
    FOREIGN.__init__()  # type: ignore[misc]
    await pair.start(cluster=listens)
    with pytest.raises(NotOwnedError):
        await asked(pair, cluster=connects)
    assert pair.clerk.got == []
    # One that names no cluster may be ours, and is not called foreign before Redis says more.
    named = bool(listens and connects)
    assert FOREIGN.total == (1 if named else 0)
    assert ("of another deployment" if named else "names no cluster") in caplog.text


async def test_a_client_does_not_trust_another_cluster_either(pair: Pair) -> None:
    """It proves nothing to a listener that took the address of one of its own."""
    await pair.start(cluster="there", is_previous=lambda instance, incarnation: True)
    with pytest.raises(NotOwnedError):
        await asked(pair, cluster="here")
    assert pair.clerk.got == []


@pytest.mark.parametrize(("listens", "connects"), [("here", ""), ("", "here")])
async def test_a_member_of_the_release_before_is_let_in(
    pair: Pair, listens: str, connects: str
) -> None:
    """Its greeting names no cluster, and its proof is over what it knows."""

    def is_previous(instance: str, incarnation: str) -> bool:
        return (instance, incarnation) in (("one", "one-1"), ("two", "two-1"))

    # The side of the release before does not look at the cluster at all.
    await pair.start(cluster=listens, is_previous=is_previous)
    if listens:
        assert (await asked(pair)).reply == 1
    else:
        assert (await asked(pair, cluster=connects, is_previous=is_previous)).reply == 1


def test_a_proof_without_clusters_is_that_of_the_release_before() -> None:
    proof = Secret(SECRET).proof("connects", HELLO, CHALLENGE)
    assert proof.mac.hex() == PROOF_BEFORE


def test_a_proof_covers_the_clusters() -> None:
    hello = msgspec.structs.replace(HELLO, cluster="here")
    challenge = msgspec.structs.replace(CHALLENGE, cluster="here")
    other = msgspec.structs.replace(hello, cluster="there")
    secret = Secret(SECRET)
    assert secret.proof("connects", hello, challenge) != secret.proof("connects", other, challenge)
