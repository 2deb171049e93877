"""The service runs on uvloop, whose transports keep their own books of what is unsent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.unit.edge import test_connections as connections
from tests.unit.sockets import test_hostile_clients as hostile
from tests.unit.sockets import test_leaving as leaving


@pytest.mark.parametrize(
    "scenario",
    [
        hostile.test_a_client_that_does_not_read_is_passed_over_then_closed,
        hostile.test_nothing_piles_up_for_who_does_not_read,
        hostile.test_who_reads_again_gets_the_newest_state_as_a_snapshot,
        hostile.test_who_says_nothing_for_long_is_closed_and_cut_off,
        leaving.test_everybody_is_told_when_to_come_back_and_not_all_at_once,
        connections.test_one_connection_too_many_is_told_so_and_closed,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_the_same_on_uvloop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
