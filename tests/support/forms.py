"""Tests that have a short form, for every run, and a long one, for ``-m slow``."""

from __future__ import annotations

from typing import Any

import pytest


def slow(value: object, *, limit_s: int) -> Any:
    """For ``pytest.mark.parametrize``: the value of the long form, and how long that may take."""
    return pytest.param(value, marks=[pytest.mark.slow, pytest.mark.timeout(limit_s)])
