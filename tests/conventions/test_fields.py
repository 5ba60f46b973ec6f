import pytest

from otel_wfperf.conventions import normalize
from otel_wfperf.conventions.fields import content_fields
from otel_wfperf.model import Attributes, Event, Operation, OperationKind, Span, StatusCode
from tests.conventions.spans import span


def operation_of(one: Span) -> Operation:
    operation = normalize(one)
    assert operation is not None
    return operation


def failed(message: str = "", *, attributes: Attributes | None = None, exception: str | None = None) -> Span:
    events = (
        () if exception is None else (Event(name="exception", time_ns=1, attributes={"exception.type": exception}),)
    )
    return span("s", attributes or {}, status=StatusCode.ERROR, status_message=message, events=events)


def test_a_span_of_no_dialect_keeps_its_name_and_claims_nothing() -> None:
    operation = operation_of(span("load rows", {"code.function.name": "load"}))

    assert (operation.kind, operation.name, operation.dialect) == (OperationKind.OTHER, "load rows", "")


@pytest.mark.parametrize(
    ("one", "error"),
    [
        (failed("boom", attributes={"error.type": "timeout"}, exception="TimeoutError"), "timeout"),
        (failed("boom", exception="TimeoutError"), "TimeoutError"),
        (failed("upstream 503\nTraceback ..."), "error"),
        (failed("ValueError: my own words"), "ValueError"),
        (failed("openai.RateLimitError('my own words')"), "openai.RateLimitError"),
        (failed("The request timed out: my own words"), "timeout"),
        (failed("Error code: 429 - my own words"), "rate_limit"),
        (failed("x" * 500), "x" * 200),
        (failed(), "error"),
        (span("s", {"error.type": "429"}), "429"),
        (span("s", {"error.type": "429"}, status=StatusCode.OK), None),
        (span("s", {}), None),
    ],
)
def test_names_an_error_by_its_type_else_by_its_kind_and_quotes_no_message(one: Span, error: str | None) -> None:
    assert operation_of(one).error == error


def test_a_stream_that_its_consumer_stopped_reading_is_no_error() -> None:
    assert operation_of(failed("GeneratorExit()", attributes={"openinference.span.kind": "CHAIN"})).error is None
    assert operation_of(failed("", exception="GeneratorExit")).error is None


@pytest.mark.parametrize(
    ("resource", "host"),
    [
        ({"host.name": "web-1", "service.instance.id": "7", "service.name": "shop"}, "web-1/7"),
        ({"host.name": "web-1", "process.pid": 42}, "web-1/42"),
        ({"service.instance.id": "7", "service.name": "shop"}, "/7"),
        ({"service.name": "shop"}, "shop"),
        ({}, ""),
    ],
)
def test_names_the_clock_by_machine_and_process(resource: Attributes, host: str) -> None:
    assert operation_of(span("s", {}, resource=resource)).host == host


def test_a_span_without_end_has_not_ended() -> None:
    assert not operation_of(span("s", {}, end_ns=0)).ended


def test_knows_from_the_flags_that_the_parent_is_in_another_process() -> None:
    assert operation_of(span("s", {}, flags=0x301)).parent_is_remote
    assert not operation_of(span("s", {}, flags=0x101)).parent_is_remote


def test_the_system_messages_that_a_prompt_starts_with_are_its_stable_part() -> None:
    def prompt(*messages: tuple[str, str]) -> str | None:
        fields = content_fields([{"role": role, "content": content} for role, content in messages], None)
        return fields.get("prefix_hash")

    first = prompt(("system", "Be brief."), ("user", "one"))

    assert first is not None
    assert first == prompt(("system", "Be brief."), ("user", "two"), ("system", "late"))
    assert first != prompt(("system", "Be long."), ("user", "one"))
    assert prompt(("user", "one")) is None
    assert "prefix_hash" not in content_fields({"system": "x"}, None)


def test_names_the_version_of_the_service() -> None:
    one = span("chat m", {"gen_ai.operation.name": "chat"}, resource={"service.version": "2.1.0"})

    assert operation_of(one).service_version == "2.1.0"
    assert operation_of(span("s", {})).service_version == ""


@pytest.mark.parametrize("flag", ["wfperf.tool.cached", "cache_hit", "cache.hit", "gen_ai.cache.hit", "llm.cache_hit"])
def test_knows_a_result_from_a_cache_by_its_flag(flag: str) -> None:
    attributes: Attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "load"}

    assert operation_of(span("execute_tool load", {**attributes, flag: True})).cached
    assert not operation_of(span("execute_tool load", {**attributes, flag: False})).cached
    assert not operation_of(span("execute_tool load", {**attributes, flag: 3})).cached


def test_the_prompt_cache_is_no_cache_of_results() -> None:
    attributes: Attributes = {"gen_ai.operation.name": "chat", "pydantic_ai.cache.hit_ratio": 0.5}

    assert not operation_of(span("chat m", attributes)).cached
