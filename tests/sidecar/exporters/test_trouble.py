import logging

import pytest

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters.exporter import Retry
from otel_wfperf.sidecar.exporters.trouble import REPEAT_S, Trouble

WHERE = "exporter jaeger (http://127.0.0.1:14317, grpc)"


class Clock:
    """A clock that only the test moves (seconds)."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trouble(clock: Clock, caplog: pytest.LogCaptureFixture) -> Trouble:
    caplog.set_level(logging.INFO)
    return Trouble(ExporterConfig(name="jaeger", endpoint="http://127.0.0.1:14317"), clock_s=clock)


def test_a_back_end_that_is_down_is_named_once_a_minute_and_when_it_is_back(
    trouble: Trouble, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for clock.now_s in (0, 1, REPEAT_S - 1, REPEAT_S, REPEAT_S + 1):
        trouble.retrying(Retry(reason="unavailable"), waiting=3)
    clock.now_s = 70
    trouble.delivered()
    trouble.delivered()

    next_step = "the log keeps what it misses (3 requests now); wfperf doctor --config tries it"
    down = f"{WHERE}: unavailable; {next_step}"
    assert caplog.messages == [down, down, f"{WHERE}: answers again after 70 s"]


def test_the_next_outage_is_told_at_once(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        trouble.retrying(Retry(reason="unavailable"), waiting=1)
        trouble.delivered()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"] * 2


def test_loss_is_an_error_with_the_number_since_the_last_one(
    trouble: Trouble, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for clock.now_s in (0, 1, 2, REPEAT_S):
        trouble.dropped("http_404", items=8)

    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert f"{WHERE}: 8 spans, metrics or log records are lost for it (http_404)" in caplog.messages[0]
    assert "24 spans" in caplog.messages[1]


def test_a_back_end_without_trouble_is_silent(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    trouble.delivered()

    assert caplog.messages == []


def test_says_what_the_back_end_said_and_that_the_data_is_kept(
    trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    trouble.retrying(Retry(reason="tls", detail="certificate has expired"), waiting=1)
    trouble.dropped("http_400", items=2, detail="no such tenant", kept=True)

    assert f"{WHERE}: tls: certificate has expired; the log keeps" in caplog.messages[0]
    assert (
        "2 spans, metrics or log records are lost for it (http_400: no such tenant); they are kept"
        in (caplog.messages[1])
    )
