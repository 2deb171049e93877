"""Ids, keys and cursors are bound to their user."""

from __future__ import annotations

import pytest

from booking.accounts.service import cursor_of, seq_of
from booking.calls import Attempt, UnknownError, command_key, new_id

ANN, BEN = "ann", "ben"
AT_MS = 1_800_000_000_000


def test_a_cursor_leads_back_to_its_place() -> None:
    for seq in (1, 255, 10**12):
        assert seq_of(ANN, cursor_of(ANN, seq)) == seq
        assert seq_of(ANN, cursor_of(ANN, seq, AT_MS)) == seq


@pytest.mark.parametrize(
    "cursor", ["", "txn_", "txn_zz00000000", "txn_" + "f" * 40, cursor_of(BEN, 7), "txn_-100000000"]
)
def test_a_made_up_or_foreign_cursor_is_unknown(cursor: str) -> None:
    with pytest.raises(UnknownError):
        seq_of(ANN, cursor)


def test_a_place_that_was_taken_again_has_another_id() -> None:
    """After a restore the journal goes on at an earlier place, with other facts."""
    assert cursor_of(ANN, 7, AT_MS) != cursor_of(ANN, 7, AT_MS + 1)


def test_a_key_is_scoped_to_user_route_and_text_and_remembers_the_content() -> None:
    attempt = Attempt("k", b"f" * 16)
    ids = {
        command_key(user, route, Attempt(key, b"f" * 16)).id
        for user in (ANN, BEN)
        for route in ("charge", "payment")
        for key in ("k", "l")
    }
    assert len(ids) == 8
    assert command_key(ANN, "charge", attempt).fingerprint == b"f" * 16


def test_an_id_repeats_with_its_key_and_is_new_without() -> None:
    key = command_key(ANN, "reservation", Attempt("k", b"f" * 16))
    assert new_id("rsv", key) == new_id("rsv", key)
    assert new_id("rsv") != new_id("rsv")
    assert new_id("rsv").startswith("rsv_")
