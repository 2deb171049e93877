"""A queue token is what we signed, in the one spelling we gave it, or nothing."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.calls import QueueToken, TokenError, TokenSigner
from booking.identity import Identity

OLD = "an-old-secret-that-has-been-replaced-now"
NEW = "a-new-secret-which-signs-from-now-on-here"
TOKEN = QueueToken("0b9f7a52-8c1f-4f0e-9a4b-6f6f5f4e3d2c", "main", 17, 1_800_000_000_123)


def test_a_signed_token_says_what_was_signed() -> None:
    signer = TokenSigner([NEW])
    assert signer.read(signer.sign(TOKEN)) == TOKEN


@given(st.uuids(), st.integers(0, 2**63), st.integers(0, 2**48), st.text("abc-xyz", max_size=20))
def test_any_token_comes_back_as_it_was(user: object, number: int, at: int, queue: str) -> None:
    signer = TokenSigner([NEW])
    token = QueueToken(str(user), queue, number, at)
    assert signer.read(signer.sign(token)) == token


def test_any_changed_character_makes_it_invalid() -> None:
    signer = TokenSigner([NEW])
    text = signer.sign(TOKEN)
    for place, character in enumerate(text):
        other = "A" if character != "A" else "B"
        with pytest.raises(TokenError, match="token_invalid"):
            signer.read(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize("text", ["x", "=", "é", "a" * 300, "a b", "AAAA", "\x00"])
def test_what_is_no_token_is_invalid(text: str) -> None:
    with pytest.raises(TokenError, match="token_invalid"):
        TokenSigner([NEW]).read(text)


def test_other_spellings_of_the_same_bytes_are_not_the_token() -> None:
    signer = TokenSigner([NEW])
    text = signer.sign(TOKEN)
    for spelling in (text + "=", text + "==", " " + text, text + "\n", text.swapcase()):
        with pytest.raises(TokenError, match="token_invalid"):
            signer.read(spelling)


def test_an_old_secret_is_still_read_and_the_first_one_signs() -> None:
    before, now, after = TokenSigner([OLD]), TokenSigner([NEW, OLD]), TokenSigner([NEW])
    assert now.read(before.sign(TOKEN)) == TOKEN
    assert after.read(now.sign(TOKEN)) == TOKEN
    with pytest.raises(TokenError):
        after.read(before.sign(TOKEN))


@pytest.mark.parametrize("secrets", [[], ["short"], [NEW, "short"]])
def test_short_secrets_are_refused(secrets: list[str]) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        TokenSigner(secrets)


# -- who issued it ---------------------------------------------------------------------------------

HERE = Identity(UUID(int=1), 11)


def test_a_token_of_a_named_journal_says_what_was_signed() -> None:
    signer = TokenSigner([NEW], HERE)
    assert signer.read(signer.sign(TOKEN)) == TOKEN


def test_a_token_from_before_a_restore_has_ended() -> None:
    """Its number is given a second time, to somebody else."""
    restored = TokenSigner([NEW], Identity(HERE.journal, 12))
    with pytest.raises(TokenError, match="token_expired"):
        restored.read(TokenSigner([NEW], HERE).sign(TOKEN))


def test_a_token_of_another_deployment_is_invalid_with_the_same_secret() -> None:
    elsewhere = TokenSigner([NEW], Identity(UUID(int=2), 11))
    with pytest.raises(TokenError, match="token_invalid"):
        elsewhere.read(TokenSigner([NEW], HERE).sign(TOKEN))


BEFORE = "C596UowfTw6aS29vX049LAAAAAAAAAARAAABoxhcUHttYWluW6J_S92l5G5Bfdx43I8b0w"
"""What the release without generations made of the token."""


def test_the_first_generation_has_the_tokens_of_the_release_before() -> None:
    """During a roll-out a user is answered by both."""
    first = TokenSigner([NEW], Identity(UUID(int=1), 0))
    assert first.sign(TOKEN) == BEFORE
    assert first.read(BEFORE) == TOKEN


def test_later_generations_refuse_the_tokens_of_the_release_before() -> None:
    with pytest.raises(TokenError, match="token_expired"):
        TokenSigner([NEW], HERE).read(BEFORE)


def test_a_generation_cannot_be_written_into_a_token() -> None:
    """Every field is signed."""
    signer = TokenSigner([NEW], HERE)
    raw = bytearray(urlsafe_b64decode(signer.sign(TOKEN) + "=="))
    raw[39] ^= 1
    with pytest.raises(TokenError, match="token_invalid"):
        signer.read(urlsafe_b64encode(raw).decode().rstrip("="))
