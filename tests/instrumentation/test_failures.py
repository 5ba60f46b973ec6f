import pytest

from otel_wfperf import agent, workflow
from otel_wfperf.instrumentation import call as call_module
from otel_wfperf.instrumentation.failures import count_failure, failure_counts, failures_counted, never_raises
from otel_wfperf.instrumentation.settings import InstrumentationSettings


def test_a_failure_is_counted_each_time_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with failures_counted("test.once"):
            raise RuntimeError("marker-7f3a")

    assert failure_counts()["test.once"] == 3
    [record] = caplog.records
    assert record.getMessage().startswith("otel-wfperf: test.once failed;")
    assert "RuntimeError at" in record.getMessage()
    assert "test_failures.py" in record.getMessage()


def test_the_log_does_not_quote_an_exception(caplog: pytest.LogCaptureFixture) -> None:
    with failures_counted("test.quote"):
        raise ValueError("marker-7f3a in a prompt")

    [record] = caplog.records
    assert record.exc_info is None
    assert "marker-7f3a" not in record.getMessage()


def test_a_guarded_function_returns_none_instead_of_raising() -> None:
    @never_raises("test.guarded")
    def divide(a: int, b: int) -> float:
        return a / b

    assert (divide(4, 2), divide(1, 0)) == (2, None)
    assert failure_counts()["test.guarded"] == 1


def test_an_interruption_by_the_user_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), failures_counted("test.interrupt"):
        raise KeyboardInterrupt


def test_a_failure_outside_of_an_exception_can_be_counted(caplog: pytest.LogCaptureFixture) -> None:
    count_failure("test.plain")

    assert caplog.records[0].getMessage().endswith("only counted")


@pytest.mark.parametrize("name", ["start_call", "Call.end", "detach"])
def test_the_recorded_code_runs_the_same_when_recording_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    target = {
        "start_call": "otel_wfperf.instrumentation.api.start_call",
        "Call.end": "otel_wfperf.instrumentation.call.METRICS.finished",
        "detach": "otel_wfperf.instrumentation.call.SAMPLER.loops.watch",
    }[name]
    monkeypatch.setattr(target, fail)

    @agent("writer")
    def write() -> str:
        with workflow("inner") as inner:
            inner.record_tokens(input=1)
            inner.record_quality(0.5)
        return "written"

    assert write() == "written"
    assert call_module.current_operation() is None


@pytest.mark.parametrize("value", ["not a number", None, object()])
def test_a_wrong_value_is_our_problem(value: object) -> None:
    before = failure_counts().get("call.record_quality", 0)
    with agent("writer") as call:
        call.record_quality(value)  # type: ignore[arg-type]

    assert failure_counts()["call.record_quality"] == before + 1


@pytest.mark.parametrize("word", ["true", "TRUE", " true ", "1"])
def test_what_counts_as_true(word: str) -> None:
    assert InstrumentationSettings.from_environment({"OTEL_WFPERF_DISABLED": word}).disabled


def test_settings_and_their_defaults() -> None:
    assert InstrumentationSettings.from_environment({}) == InstrumentationSettings()
    assert InstrumentationSettings.from_environment(
        {"OTEL_WFPERF_INTEGRATIONS": "a, b,,", "OTEL_WFPERF_FORCE": "true", "OTEL_WFPERF_RESOURCES": "false"}
    ) == InstrumentationSettings(integrations=frozenset({"a", "b"}), force=True, resources=False)
