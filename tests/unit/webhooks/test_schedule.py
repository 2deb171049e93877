"""When a delivery is tried again, and how it is signed."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from booking.webhooks.contract import (
    DELAYS_S,
    RETRY_AFTER_MAX_S,
    AttemptResult,
    Posting,
    WebhookError,
    next_delay_s,
    secret_of,
)
from booking.webhooks.posting import signed

FAILED = AttemptResult(503, "answered 503")
BODY = json.dumps({"id": "3-7", "type": "booking.seat.sold.v1", "data": {"좌석": 7}})


def posting(secret: str, old: str = "") -> Posting:
    return Posting("we_1", "3-7", BODY, 1, "https://example.org/", secret, old)


def test_attempts_go_on_for_more_than_a_day_and_then_end() -> None:
    """Given a receiver that always fails, then there are eight attempts, as Standard Webhooks
    proposes, the last one 31 hours and 35 minutes after the first."""
    delays = [next_delay_s(attempt, FAILED, 0.5) for attempt in range(1, 10)]
    assert delays == [*map(float, DELAYS_S), None, None]
    assert sum(DELAYS_S) == (31 * 60 + 35) * 60 + 5
    assert list(DELAYS_S) == sorted(DELAYS_S)


def test_attempts_of_many_are_spread() -> None:
    low, high = (next_delay_s(2, FAILED, draw) for draw in (0.0, 1.0))
    assert (low, high) == (270.0, 330.0)


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    assert next_delay_s(1, AttemptResult(429, "answered 429", 120.0), 0.5) == 120.0
    assert next_delay_s(3, AttemptResult(503, "answered 503", 1.0), 0.5) == DELAYS_S[2]
    assert next_delay_s(1, AttemptResult(503, "answered 503", 1e9), 0.5) == RETRY_AFTER_MAX_S


def test_one_that_is_gone_is_not_tried_again() -> None:
    assert next_delay_s(1, AttemptResult(410, "answered 410"), 0.5) is None


def test_what_is_signed_is_verified_by_the_library_of_the_standard() -> None:
    secret = secret_of(None)
    headers = signed(posting(secret))
    assert headers["webhook-id"] == "3-7"
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    for changed in (BODY + " ", BODY.replace("7", "8")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers | {"webhook-id": "3-8"})
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(None)).verify(BODY, headers)


def test_while_two_secrets_hold_a_receiver_may_know_either() -> None:
    new, old = secret_of(None), secret_of(None)
    headers = signed(posting(new, old))
    assert Webhook(new).verify(BODY, headers)
    assert Webhook(old).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY, signed(posting(new)))


def test_the_signature_of_the_standards_example() -> None:
    """The value in the text of Standard Webhooks' own test vectors, so that no change of a library
    goes unnoticed."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sent = datetime.fromtimestamp(1614265330, UTC)
    signature = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", sent, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_that_is_given_is_kept(size: int) -> None:
    given = "whsec_" + b64encode(bytes(range(size))).decode()
    assert secret_of(given) == given


@pytest.mark.parametrize("given", ["", "whsec_", "whsec_!!!!", "x" * 40, "whsec_" + "QUJD" * 4])
def test_a_secret_that_is_none_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(WebhookError) as refused:
        secret_of(given)
    assert not given or given not in str(refused.value) or given == "whsec_"


def test_secrets_that_are_made_are_all_different() -> None:
    made = {secret_of(None) for _ in range(100)}
    assert len(made) == 100
    assert all(len(each) == len("whsec_") + 44 for each in made)
