"""A queue token is what we signed, in the one spelling we gave it, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking.calls import QueueToken, TokenError, TokenSigner

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
