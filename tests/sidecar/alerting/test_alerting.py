from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_wfperf.alerts import Running
from otel_wfperf.config import AlertsConfig
from otel_wfperf.log import Record, Signal
from otel_wfperf.model import ExecutionStatus, Severity
from otel_wfperf.sidecar.alerting.alerting import Alerting
from otel_wfperf.sidecar.alerting.state_file import load
from otel_wfperf.store import Ending
from tests.alerts.readings import MINUTE_NS, SECOND_NS, START_NS
from tests.sidecar.alerting.hook import Counted, running_hook
from tests.sidecar.executions import execution, finding
from tests.waiting import eventually_async


class Counts(Counted):
    """What was counted, and what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Counter[tuple[str, str]] = Counter()
        self.drops: Counter[str] = Counter()

    def alerts(self, counts: Counter[tuple[str, str]]) -> None:
        self.shown = counts

    def dropped(self, reason: str, items: int) -> None:
        self.drops[reason] += items


class World:
    """Alerts by a clock of their own; what is told is in the log only."""

    def __init__(self, folder: Path, config: dict[str, Any], now_ns: int) -> None:
        self.now_ns = now_ns
        self.counts = Counts()
        self.path = folder / "alerts.json"
        self.alerting = Alerting(
            AlertsConfig.model_validate(config), self.path, counts=self.counts, clock_ns=lambda: self.now_ns
        )
        self.alerting.page_url = "http://page"

    async def look(self, *running: Running, after_s: float = 0) -> list[tuple[str, str]]:
        """Let time pass, look, and return the names and states of the alerts."""
        self.now_ns += round(after_s * 1e9)
        await self.alerting.look(running)
        return [(alert.terms.name, alert.state.value) for alert, _ in self.alerting.alerts()]


@asynccontextmanager
async def world(
    folder: Path, *, now_ns: int = START_NS, endings: Iterable[Ending] = (), **config: Any
) -> AsyncIterator[World]:
    made = World(folder, config, now_ns)
    await made.alerting.start(lambda since_ns: [each for each in endings if each.stored_unix_ns >= since_ns])
    yield made
    await made.alerting.stop(1)


def run(trace: str = "ab", *, start_ns: int = START_NS) -> Running:
    return Running(trace_id=trace, workflow="research", start_ns=start_ns)


def gauge(value: float, *, name: str = "wfperf.process.memory.utilization") -> Record:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=name, unit="1")
    metric.gauge.data_points.add(as_double=value)
    return Record(offset=1, signal=Signal.METRICS, data=request.SerializeToString(), items=1, received_ns=0)


async def test_an_execution_that_runs_too_long_fires_while_it_runs(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        assert await here.look(run(), after_s=299) == []
        assert await here.look(run(), after_s=1) == [("execution_time", "firing")]
        [(alert, _)] = here.alerting.alerts()
        assert here.alerting.link(alert) == "http://page/executions/ab"
        assert await here.look(after_s=59) == [("execution_time", "firing")]
        assert await here.look(after_s=1) == [("execution_time", "resolved")]

    assert here.counts.shown["execution_time", "firing"] == 0
    assert here.counts.notified_by == {("log", "sent"): 1}, "both in one message, as nothing was sending until the end"


async def test_what_fired_goes_on_after_a_restart_and_is_not_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as before:
        await before.look(run(), after_s=300)
    assert caplog.text.count("firing: execution_time") == 1
    async with world(tmp_path, now_ns=START_NS + 310 * SECOND_NS) as after:
        assert await after.look() == [("execution_time", "firing")], "what runs is announced again within ten seconds"
        assert await after.look(run(), after_s=10) == [("execution_time", "firing")]
        fingerprints = {alert.fingerprint for alert, _ in (*before.alerting.alerts(), *after.alerting.alerts())}

    assert len(fingerprints) == 1
    assert caplog.text.count("firing: execution_time") == 1


async def test_a_silence_survives_a_restart(tmp_path: Path) -> None:
    from tests.alerts.test_documents import SILENCE

    silence = replace(SILENCE, ends_ns=START_NS + 3600 * SECOND_NS)
    async with world(tmp_path) as before:
        before.alerting.silence(silence)
    async with world(tmp_path) as after:
        assert list(after.alerting.silences) == [silence]
        assert after.alerting.end_silence("one")
        assert not after.alerting.end_silence("one")
        assert not after.alerting.silences


async def test_gauges_of_metrics_requests_are_watched(tmp_path: Path) -> None:
    async with world(tmp_path, memory={"for": 0}) as here:
        broken = replace(gauge(1.0), data=b"\xff")
        spans = replace(gauge(1.0), signal=Signal.TRACES)
        here.alerting.measured([broken, spans, gauge(0.95), gauge(0.99, name="other")], now_ns=here.now_ns)

        assert await here.look() == [("memory", "firing")]
        [(alert, _)] = here.alerting.alerts()
        assert (alert.reading.value, here.alerting.link(alert)) == (0.95, "http://page/")
        assert here.counts.drops == {"undecodable": 1}


async def test_failed_executions_are_counted_over_a_restart(tmp_path: Path) -> None:
    endings = [
        Ending(
            trace_id=str(number),
            workflow="research",
            status=ExecutionStatus.OK if number else ExecutionStatus.ERROR,
            duration_ns=1,
            stored_unix_ns=START_NS - MINUTE_NS,
        )
        for number in range(18)
    ]
    old = replace(endings[1], stored_unix_ns=START_NS - 61 * MINUTE_NS)
    unknown = replace(endings[1], status=ExecutionStatus.INCOMPLETE)
    async with world(tmp_path, endings=[old, unknown, *endings]) as here:
        here.alerting.analysed(replace(execution(1), status=ExecutionStatus.ERROR), ())
        here.alerting.analysed(replace(execution(2), version=2), ())
        assert await here.look() == []
        here.alerting.analysed(execution(3), ())
        assert await here.look(after_s=15) == [("error_rate", "firing")]
        [(alert, _)] = here.alerting.alerts()

    assert alert.reading.summary.startswith("2 of 20 executions of research in 1 h 00 min failed (10 %)")


async def test_findings_are_alerts_where_a_rule_asks_for_them(tmp_path: Path) -> None:
    rule = {"name": "waste", "min_severity": "high", "window": "1h"}
    async with world(tmp_path, findings=[rule]) as here:
        here.alerting.analysed(execution(1), [finding(1), finding(1, severity=Severity.LOW, name="fetch")])

        assert await here.look() == [("waste", "firing")]
        assert await here.look(after_s=3600) == [("waste", "firing")]
        assert await here.look(after_s=1) == [("waste", "resolved")]


async def test_shows_how_many_alerts_there_are(tmp_path: Path) -> None:
    from tests.alerts.test_documents import SILENCE

    async with world(tmp_path, memory={"for": "1m"}, cpu={"enabled": False}) as here:
        here.alerting.measured([gauge(0.95)], now_ns=here.now_ns)
        await here.look(run(), after_s=300)
        matcher = replace(SILENCE.matchers[0], value="execution_time")
        here.alerting.silence(replace(SILENCE, matchers=(matcher,), ends_ns=START_NS + 3600 * SECOND_NS))
        await here.look(run())
        shown = {key: count for key, count in here.counts.shown.items() if count}

    assert shown == {("execution_time", "silenced"): 1, ("memory", "pending"): 1}
    assert len(here.counts.shown) == 9


async def test_a_state_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as here:
        here.path.mkdir()
        await here.look(run(), after_s=300)
        await here.look(run(), after_s=1)
        assert caplog.text.count("cannot be written") == 1
        here.path.rmdir()
        await here.look(run(), after_s=1)

    assert here.path.is_file()


async def test_a_notifier_that_never_answers_holds_up_nobody(tmp_path: Path) -> None:
    # The kernel takes the connection, and that is all that ever happens.
    silent = socket.create_server(("127.0.0.1", 0))
    async with running_hook() as hook:
        webhooks = [
            {"name": "silent", "url": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            {"name": "hook", "url": hook.url},
        ]
        async with world(tmp_path, notifiers={"webhooks": webhooks}) as here:
            asked: list[bool] = []

            async def running(*, exact: bool) -> tuple[Running, ...]:
                asked.append(exact)
                return (run(start_ns=START_NS - 3600 * SECOND_NS),)

            async def told() -> bool:
                return bool(hook.told)

            task = asyncio.create_task(here.alerting.run(running))
            await eventually_async(told)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    silent.close()
    assert asked[0], "before the first look nothing is known"
    assert hook.told == [("firing", "execution_time")]
    told_of = load(tmp_path / "alerts.json").told
    assert (len(told_of["hook"]), len(told_of["silent"])) == (1, 0)


async def test_watches_nothing_when_told_so(tmp_path: Path) -> None:
    async with world(tmp_path, enabled=False) as here:

        async def nothing(*, exact: bool) -> tuple[Running, ...]:
            raise AssertionError(exact)

        await here.alerting.run(nothing)
        here.alerting.measured([gauge(1.0)], now_ns=0)
        here.alerting.analysed(execution(1), [finding(1)])

    assert not here.path.exists()


async def test_looks_at_a_deadline_and_not_only_once_a_second(tmp_path: Path) -> None:
    async with world(tmp_path, execution_time={"threshold": "2200ms"}) as here:
        next_looks = []
        for after_s in (0, 1, 1, 0.2):
            await here.look(run(), after_s=after_s)
            next_looks.append((here.alerting._next_look_ns["execution_time"] - START_NS) / SECOND_NS)

    assert next_looks == [1, 2, 2.2, 3.2]
