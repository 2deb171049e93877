"""What the runtime tells a tracer: each message of a traced request, its turn and its commit. The
tracer of OpenTelemetry and the one in memory see the same."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from actors.address import Address
from actors.core.envelope import QUERY
from actors.errors import NotOwnedError, OutcomeUnknownError
from booking.observability.tracing import TraceIds
from tests.support.memory_tracer import MemoryTracer, Recorder, Seen, SpanRecorder
from tests.support.runtimes import Cluster, Instance, pass_time, same_shard
from tests.support.virtual_time import START_MS

ANN = Address("counter", "ann")
RICH = Address("bank", "rich")


@pytest.fixture(params=[MemoryTracer, SpanRecorder])
def recorder(request: pytest.FixtureRequest) -> Recorder:
    made: Recorder = request.param()
    return made


@pytest.fixture
async def traced(cluster: Cluster, recorder: Recorder) -> Instance:
    """An instance whose messages are followed."""
    instance = cluster.new()
    instance.runtime.tracer = recorder.tracer
    await instance.runtime.start()
    return instance


async def ask(recorder: Recorder, instance: Instance, address: Address, *more: Any) -> Any:
    with recorder.request():
        reply = await instance.reply(address, *more)
    await pass_time(0.1)
    return reply


def ways(recorder: Recorder) -> list[str]:
    """Every span with those above it, in words."""
    return sorted(" < ".join(span.way) for span in recorder.spans)


def named(recorder: Recorder, name: str) -> Seen:
    (found,) = [span for span in recorder.spans if span.name == name]
    return found


async def test_a_commit_is_beneath_its_decision_beneath_its_request(
    recorder: Recorder, traced: Instance
) -> None:
    assert await ask(recorder, traced, ANN, ("add", 1)) == 1
    assert ways(recorder) == [
        "commit < decide tuple < request",
        "decide tuple < request",
        "request",
    ]
    decision, commit = named(recorder, "decide tuple"), named(recorder, "commit")
    assert decision.facts["booking.entity.kind"] == "counter"
    for span in (decision, commit):
        assert (span.facts["booking.shard"], span.facts["booking.epoch"]) == (ANN.slot, 1)
        assert span.error == ""
    assert (commit.facts["booking.rows"], commit.facts["booking.lane"]) == (1, 0)


async def test_what_writes_nothing_has_no_commit(recorder: Recorder, traced: Instance) -> None:
    await ask(recorder, traced, ANN, "get")
    await ask(recorder, traced, ANN, QUERY)
    assert ways(recorder)[:2] == ["decide QUERY < request", "decide str < request"]
    assert len(recorder.spans) == 4


async def test_what_nobody_traces_leaves_nothing(recorder: Recorder, traced: Instance) -> None:
    await traced.ask(ANN, ("add", 1))
    assert recorder.spans == []


async def test_a_timer_is_no_part_of_the_request_that_set_it(
    recorder: Recorder, traced: Instance
) -> None:
    bell = Address("alarm", "bell")
    await ask(recorder, traced, bell, ("set", START_MS + 5_000))
    told = len(recorder.spans)
    await pass_time(6)
    assert traced.alarm.fired
    assert len(recorder.spans) == told


async def test_decisions_of_one_batch_say_so_each_in_its_own_trace(
    recorder: Recorder, traced: Instance
) -> None:
    ann, ben = same_shard("counter", 2)
    await asyncio.gather(*(ask(recorder, traced, one, ("add", 1)) for one in (ann, ben)))
    first, second = [span for span in recorder.spans if span.name == "commit"]
    assert first.parent is not second.parent
    for span in (first, second):
        assert (span.facts["booking.batch.commits"], span.facts["booking.batch.rows"]) == (2, 2)
    assert first.facts["booking.batch"] == second.facts["booking.batch"]


async def test_a_sagas_steps_are_beneath_the_decision_that_began_it(
    recorder: Recorder, traced: Instance
) -> None:
    await traced.ask(RICH, ("deposit", "d1", 100))
    assert await ask(recorder, traced, RICH, ("send", "t1", "poor", 40)) == ["sent", "t1"]
    above = "decide tuple < request"
    assert ways(recorder) == [
        f"commit < decide tuple < {above}",
        f"commit < decide tuple < {above}",
        f"commit < {above}",
        f"decide tuple < {above}",
        f"decide tuple < {above}",
        above,
        "request",
    ]


async def test_a_fenced_commit_ends_with_what_its_caller_is_told(
    cluster: Cluster, recorder: Recorder, traced: Instance
) -> None:
    await cluster.start("two-1")
    with pytest.raises(NotOwnedError):
        await ask(recorder, traced, ANN, ("add", 1))
    await pass_time(0.1)
    assert named(recorder, "commit").error == "NotOwnedError"
    assert named(recorder, "decide tuple").error == "NotOwnedError"


async def test_a_commit_of_which_nobody_knows_says_so(recorder: Recorder, traced: Instance) -> None:
    traced.journal.unknown_after_write()
    with pytest.raises(OutcomeUnknownError):
        await ask(recorder, traced, ANN, ("add", 1))
    await pass_time(0.1)
    assert named(recorder, "commit").error == "OutcomeUnknownError"


async def test_a_message_that_is_refused_at_the_door_has_ended(
    cluster: Cluster, recorder: Recorder
) -> None:
    instance = cluster.new()
    instance.runtime.tracer = recorder.tracer
    await instance.runtime.start(())
    with pytest.raises(NotOwnedError):
        await ask(recorder, instance, ANN, "get")
    await pass_time(0.1)
    assert named(recorder, "decide str").error == "NotOwnedError"


async def test_a_lost_caller_ends_the_decision_and_not_the_commit(
    recorder: Recorder, traced: Instance
) -> None:
    await traced.reply(ANN, "get")
    traced.journal.pause()
    with recorder.request():
        asked = traced.ask(ANN, ("add", 1))
    await pass_time(0.1)
    asked.cancel()
    await pass_time(0.1)
    assert named(recorder, "decide tuple").error == "given_up"
    assert "commit" not in [span.name for span in recorder.spans]
    traced.journal.resume()
    await pass_time(0.1)
    assert named(recorder, "commit").error == ""


@pytest.mark.parametrize("sampled", [True, False])
async def test_what_is_logged_about_a_decision_has_its_trace(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, sampled: bool
) -> None:
    recorder = SpanRecorder(sampled)
    instance = cluster.new()
    instance.runtime.tracer = recorder.tracer
    await instance.runtime.start()
    caplog.handler.addFilter(TraceIds())
    with recorder.request() as traceparent, pytest.raises(Exception, match=r"counter/ann"):
        await instance.reply(ANN, "crash")
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "crashed on" in line.message
    assert line.__dict__["trace_id"] == traceparent.split("-")[1]
    assert (line.__dict__["shard"], line.__dict__["epoch"]) == (ANN.slot, 1)
    assert bool(recorder.spans) is sampled
