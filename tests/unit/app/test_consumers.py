"""Which consumers an instance runs."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from actors.consumers.contract import Consumer
from booking.instance.consumers import consumers_of
from booking.settings import SettingsError
from tests.support.consumers import note
from tests.support.instance import settings


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("followers")
    made.__dict__["mails"] = Consumer(name="mails", handle=note)
    made.__dict__["again"] = Consumer(name="mails", handle=note)
    made.__dict__["number"] = 7
    monkeypatch.setitem(sys.modules, "followers", made)
    return made


def test_the_product_has_none_of_its_own() -> None:
    assert consumers_of(settings()) == []


def test_those_that_are_named_are_found(module: ModuleType) -> None:
    assert consumers_of(settings(consumers="followers:mails")) == [module.mails]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("followers:nothing", "followers:nothing: module 'followers' has no attribute 'nothing'"),
        ("nowhere:mails", "nowhere:mails: No module named 'nowhere'"),
        ("followers:number", "followers:number is no consumer"),
        ("followers:mails followers:again", "two consumers have one name"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_at_the_start(named: str, words: str) -> None:
    with pytest.raises(SettingsError, match="BOOKING_CONSUMERS") as raised:
        consumers_of(settings(consumers=named))
    assert words in str(raised.value)


@pytest.mark.parametrize("named", ["followers", "followers:", ":mails", "a/b:c", "../x:y"])
def test_what_is_no_name_is_refused(named: str) -> None:
    with pytest.raises(SettingsError, match="must be names like"):
        settings(consumers=named)
