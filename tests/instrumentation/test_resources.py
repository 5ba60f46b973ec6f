import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from otel_wfperf import agent, phase, tool
from otel_wfperf.instrumentation import resources
from otel_wfperf.instrumentation.call import start_call
from otel_wfperf.instrumentation.resources import EventLoopLag, ResourceSample, ResourceSampler
from tests.instrumentation.recorded import Recorded


@pytest.fixture
def sampler() -> Iterator[ResourceSampler]:
    sampler = ResourceSampler()
    yield sampler
    sampler.stop()


def test_a_sample_is_there_at_once_and_has_sensible_values(sampler: ResourceSampler) -> None:
    sampler.start()

    sample = sampler.latest
    assert sample is not None
    assert sample.memory_bytes is not None
    assert sample.memory_bytes > 1_000_000
    for ratio in (sample.cpu_ratio, sample.memory_ratio):
        assert ratio is not None
        assert 0 <= ratio <= 1
    for ratio in (sample.cpu_pressure_ratio, sample.memory_pressure_ratio, sample.steal_ratio):
        assert ratio is None or 0 <= ratio <= 1


def test_starting_twice_starts_one_thread_and_stopping_ends_it(sampler: ResourceSampler) -> None:
    before = threading.active_count()
    sampler.start()
    sampler.start()
    assert threading.active_count() == before + 1

    sampler.stop()

    assert threading.active_count() == before
    assert sampler.latest is None
    sampler.stop()


def test_samples_follow_each_other_and_other_work_is_done_then(
    sampler: ResourceSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "SAMPLE_INTERVAL_S", 0.01)
    done = threading.Event()
    sampler.after_sample.append(done.set)
    sampler.start()
    first = sampler.latest

    assert done.wait(10)
    assert sampler.latest is not first


def test_what_is_not_known_is_left_out() -> None:
    assert ResourceSample(memory_bytes=5, loop_lag_s=0.25).attributes() == {
        "wfperf.memory.rss": 5,
        "wfperf.event_loop.lag": 0.25,
    }


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_blocked_event_loop_is_noticed() -> None:
    clock = Clock()
    lag = EventLoopLag(clock)
    lag.watch(asyncio.get_running_loop())
    lag.ping()
    clock.now_s += 0.25
    await asyncio.sleep(0)

    assert lag.take_longest_s() == 0.25
    lag.ping()
    await asyncio.sleep(0)
    assert lag.take_longest_s() == 0


async def test_a_loop_that_is_still_blocked_is_noticed_too() -> None:
    clock = Clock()
    lag = EventLoopLag(clock)
    lag.watch(asyncio.get_running_loop())
    lag.ping()
    clock.now_s += 3
    lag.ping()

    assert lag.take_longest_s() == 3


def test_a_loop_that_does_not_run_is_not_blocked() -> None:
    clock = Clock()
    lag = EventLoopLag(clock)
    loop = asyncio.new_event_loop()
    lag.watch(loop)

    async def ping() -> None:
        lag.ping()

    loop.run_until_complete(ping())
    for _ in range(2):
        clock.now_s += 30
        lag.ping()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert lag.take_longest_s() == 0


def test_a_closed_loop_is_forgotten() -> None:
    lag = EventLoopLag()
    loop = asyncio.new_event_loop()
    lag.watch(loop)
    loop.close()
    lag.ping()

    assert len(lag) == 0
    assert lag.take_longest_s() is None


def test_calls_carry_the_latest_sample_and_phases_do_not(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources.SAMPLER, "latest", ResourceSample(cpu_ratio=0.5, memory_bytes=7, loop_lag_s=0.1))

    async def main() -> None:
        async with agent("async"):
            pass

    with phase("draft"), agent("sync"), tool("search"):
        pass
    start_call("llm", "m", span_name="chat m", attributes={}).end()
    asyncio.run(main())

    for name in ("invoke_agent sync", "execute_tool search", "chat m"):
        attributes = recorded.attributes(name)
        assert (attributes["wfperf.cpu.ratio"], attributes["wfperf.memory.rss"]) == (0.5, 7)
        assert "wfperf.event_loop.lag" not in attributes
    assert recorded.attributes("invoke_agent async")["wfperf.event_loop.lag"] == 0.1
    assert "wfperf.cpu.ratio" not in recorded.attributes("phase draft")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="forking with threads is not safe there")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_samples_again(sampler: ResourceSampler) -> None:
    sampler.start()
    child = os.fork()
    if child == 0:
        sampler.after_fork_in_child()
        alive = sampler.is_running and sampler.latest is not None
        os._exit(0 if alive else 1)

    assert os.waitpid(child, 0)[1] == 0
