from otel_wfperf.model import OperationKind, SpanKind, TokenUsage
from tests.assembly.operations import assembled, notes, op, times

AGENT, LLM, TOOL, WORKFLOW = OperationKind.AGENT, OperationKind.LLM, OperationKind.TOOL, OperationKind.WORKFLOW
USAGE = TokenUsage(input=10, output=2)


def ids(*operations: object) -> set[str]:
    return {operation.span_id for operation in assembled(*operations).operations}  # type: ignore[arg-type]


def test_one_model_call_of_framework_sdk_and_http_counts_once() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("framework", "r", 0, 100, kind=LLM, name="ChatOpenAI"),
        op("sdk", "framework", 40, 100, kind=LLM, name="gpt-4o", model="gpt-4o", tokens=USAGE, input_hash="h"),
        op("http", "sdk", 41, 100, span_kind=SpanKind.CLIENT),
    )

    [call] = execution.of_kind(LLM)
    assert (call.span_id, call.name, call.model, call.tokens, call.input_hash) == (
        "framework",
        "gpt-4o",
        "gpt-4o",
        USAGE,
        "h",
    )
    assert times(execution, "framework") == (0, 100)
    assert len(execution.operations) == 3  # the request is not all of a call that spends 40 ms before it
    assert notes(execution) == ["wrappers"]


def test_a_request_that_is_all_of_a_call_disappears_but_not_what_is_below_it() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("call", "r", 0, 100, kind=LLM, model="m"),
        op("http", "call", 1, 100, span_kind=SpanKind.CLIENT),
        op("server", "http", 2, 99, span_kind=SpanKind.SERVER),
    )

    assert {operation.span_id for operation in execution.operations} == {"r", "call", "server"}
    assert execution.by_id["server"].parent_id == "call"


def test_keeps_calls_of_different_models_and_retries_apart() -> None:
    router = [op("r", None, 0, 99), op("a", "r", 0, 99, kind=LLM, model="m1"), op("b", "a", 0, 99, kind=LLM, model="x")]
    retries = [
        op("r", None, 0, 99),
        op("a", "r", 0, 99, kind=LLM, model="m"),
        op("b", "a", 0, 40, kind=LLM, model="m", error="429"),
        op("c", "a", 50, 99, kind=LLM, model="m"),
    ]

    assert ids(*router) == {"r", "a", "b"}
    assert ids(*retries) == {"r", "a", "b", "c"}


def test_the_dated_name_of_a_model_is_the_same_model() -> None:
    asked = op("a", "r", 0, 99, kind=LLM, model="openai/gpt-4o")

    assert ids(op("r", None, 0, 99), asked, op("b", "a", 1, 99, kind=LLM, model="gpt-4o-2024-08-06")) == {"r", "a"}


def test_a_run_that_was_written_twice_is_one_workflow() -> None:
    execution = assembled(
        op("outer", None, 0, 100, kind=AGENT, name="team", agent="team"),
        op("inner", "outer", 60, 100, kind=WORKFLOW, name="team", workflow="team"),
        op("node", "inner", 61, 99, kind=OperationKind.PHASE, name="plan"),
    )

    assert (execution.root.kind, execution.root.agent, execution.workflow) == (WORKFLOW, None, "team")
    assert execution.by_id["node"].parent_id == "outer"
    assert execution.by_id["node"].agent is None


def test_a_tool_within_itself_is_one_when_it_covers_it() -> None:
    root, outer = op("r", None, 0, 100), op("a", "r", 0, 100, kind=TOOL, name="search")

    assert ids(root, outer, op("b", "a", 4, 100, kind=TOOL, name="search")) == {"r", "a"}
    assert ids(root, outer, op("b", "a", 8, 100, kind=TOOL, name="search")) == {"r", "a", "b"}
    assert ids(root, outer, op("b", "a", 4, 100, kind=TOOL, name="fetch")) == {"r", "a", "b"}


def test_an_agent_that_calls_itself_twice_is_not_a_wrapper() -> None:
    calls = [op(name, "a", start, start + 49, kind=AGENT, name="solver") for name, start in (("b", 0), ("c", 50))]

    assert ids(op("a", None, 0, 100, kind=AGENT, name="solver"), *calls) == {"a", "b", "c"}


def test_an_operation_that_another_instrumentation_wrote_inside_is_one_however_short() -> None:
    def short(dialect: str) -> list[object]:
        return [
            op("r", None, 0, 100),
            op("a", "r", 10, 90, kind=TOOL, name="t", dialect="openinference"),
            op("b", "a", 40, 50, kind=TOOL, name="t", dialect=dialect, error="ValueError"),
        ]

    assert ids(*short("autogen")) == {"r", "a"}
    # Of one instrumentation it is a tool that calls itself.
    assert ids(*short("openinference")) == {"r", "a", "b"}
    beside = op("c", "a", 60, 70, kind=TOOL, name="other", dialect="autogen")
    assert ids(*short("autogen"), beside) == {"r", "a", "b", "c"}
