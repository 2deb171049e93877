"""Commands and replies that the other side's codec does not understand cost only themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.address import Address
from actors.core.envelope import QUERY
from actors.errors import EntityCrashedError, OutcomeUnknownError, UnavailableError
from actors.transport import Request
from tests.support.peer_links import ANN, Pair, until
from tests.support.toys import Counter


class Broken(Counter):
    """A kind whose codecs fail, as those of another release may."""

    kind = "counter"

    def decode_command(self, data: bytes) -> Any:
        if b"unreadable" in data:
            raise ValueError("secret words of a user")
        return super().decode_command(data)

    def encode_reply(self, reply: Any) -> bytes:
        if reply == "unsayable":
            raise ValueError("secret words of a user")
        return super().encode_reply(reply)

    def decode_state(self, data: bytes) -> Any | None:
        return None


@pytest.fixture
async def broken(pair: Pair) -> Pair:
    pair.behaviours["counter"] = Broken()
    await pair.start()
    return pair


async def ask(pair: Pair, command: Any, address: Address = ANN) -> Any:
    transport = pair.transports[0] if pair.transports else pair.transport()
    return (await transport.ask("two", Request(address, command, pair.in_s(60)))).reply


async def test_a_command_that_cannot_be_read_is_a_crash_of_its_own(
    broken: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EntityCrashedError):
        await ask(broken, "unreadable")
    assert broken.clerk.got == []
    assert "secret words" not in caplog.text
    assert await ask(broken, 1) == 1


async def test_a_reply_that_cannot_be_said_may_have_been_done(broken: Pair) -> None:
    with pytest.raises(OutcomeUnknownError):
        await ask(broken, "unsayable")
    assert await ask(broken, 1) == 1


async def test_a_state_of_another_shape_is_not_guessed(broken: Pair) -> None:
    with pytest.raises(UnavailableError, match="another shape"):
        await ask(broken, QUERY)


async def test_an_error_of_no_known_kind_may_have_been_done(broken: Pair) -> None:
    broken.clerk.errors["fail"] = RuntimeError("secret words of a user")
    with pytest.raises(OutcomeUnknownError) as raised:
        await ask(broken, "fail")
    assert "secret" not in str(raised.value)


async def test_an_answer_that_was_given_up_may_have_been_done(broken: Pair) -> None:
    waiting = asyncio.create_task(ask(broken, ["wait"]))
    await until(lambda: broken.clerk.waiting)
    broken.clerk.waiting[0].cancel()
    with pytest.raises(OutcomeUnknownError):
        await waiting
