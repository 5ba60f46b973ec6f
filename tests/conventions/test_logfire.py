import pytest

from otel_wfperf.model import Attributes, Operation, OperationKind, SpanKind, StatusCode, TokenUsage
from tests.conventions.spans import MS, START_NS, operation_of, span, understood

# Written by logfire 5.4.0 round openai 3.57.
CALL: Attributes = {
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"plan it"}]}]',
    "gen_ai.operation.name": "chat",
    "gen_ai.output.messages": (
        '[{"role":"assistant","parts":[{"type":"text","content":"the plan"}],"finish_reason":"stop"}]'
    ),
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.finish_reasons": '["stop"]',
    "gen_ai.response.id": "chatcmpl_1",
    "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.raw": (
        '{"completion_tokens":20,"prompt_tokens":100,"total_tokens":120,'
        '"completion_tokens_details":{"reasoning_tokens":5},"prompt_tokens_details":{"cached_tokens":40}}'
    ),
    "logfire.msg_template": "Chat Completion with {request_data[model]!r}",
    "logfire.span_type": "span",
}
NAME = "Chat Completion with {request_data[model]!r}"
START_OF_STREAM: Attributes = {
    name: CALL[name]
    for name in ("gen_ai.operation.name", "gen_ai.request.model", "gen_ai.response.model", "logfire.span_type")
}


def read(name: str, attributes: Attributes, *, scope: str = "logfire.openai", **more: object) -> Operation:
    return operation_of(span(name, attributes, scope=scope, kind=SpanKind.CLIENT, **more))  # type: ignore[arg-type]


def test_reads_a_model_call_with_the_parts_that_only_the_raw_usage_has() -> None:
    call = read(NAME, CALL)

    assert (call.kind, call.name, call.dialect) == (OperationKind.LLM, "gpt-4o-mini", "logfire")
    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40, reasoning=5)
    assert (call.turn, call.requested) == (None, False)


def test_finish_reasons_may_be_json() -> None:
    asking = read(NAME, {**CALL, "gen_ai.response.finish_reasons": '["tool_calls"]'})

    assert (asking.turn, asking.requested) == ("c" * 16, True)


def test_a_streamed_answer_is_one_call_as_long_as_its_log_says() -> None:
    request = read(NAME, START_OF_STREAM, end_ns=START_NS + MS)
    log = read(
        "streaming response from {request_data[model]!r} took {duration:.2f}s",
        {**CALL, "logfire.span_type": "log", "duration": 0.06},
        end_ns=START_NS + 60 * MS,
    )

    assert (request.kind, request.tokens) == (OperationKind.OTHER, None)
    assert (log.kind, log.start_ns, log.end_ns) == (OperationKind.LLM, START_NS, START_NS + 60 * MS)
    assert log.tokens is not None
    assert log.tokens.output == 20


def test_a_request_that_failed_is_a_model_call() -> None:
    assert read(NAME, START_OF_STREAM, status=StatusCode.ERROR).kind is OperationKind.LLM


def test_logs_are_no_work_and_no_phases() -> None:
    log = understood("hello {x}", scope="logfire", logfire__span_type="log")

    assert (log.kind, log.dialect) == (OperationKind.OTHER, "logfire")


def test_the_users_own_spans_are_like_any_other() -> None:
    own = understood("step two", scope="logfire", logfire__span_type="span")

    assert (own.kind, own.dialect) == (OperationKind.OTHER, "")


def test_reads_a_graph_of_pydantic() -> None:
    graph = understood("run graph counter", scope="pydantic-graph", logfire__span_type="span")
    node = understood("run node one", scope="pydantic-graph", node_id="one")

    assert (graph.kind, graph.name, graph.workflow) == (OperationKind.WORKFLOW, "counter", "counter")
    assert (node.kind, node.name) == (OperationKind.PHASE, "one")


@pytest.mark.parametrize(
    ("template", "attributes", "kind", "name"),
    [
        (
            "OpenAI Agents trace: {name}",
            {"name": "team flow", "group_id": "g-1"},
            OperationKind.WORKFLOW,
            "team flow",
        ),
        ("Agent run: {name!r}", {"name": "Triage", "handoffs": '["Writer"]'}, OperationKind.AGENT, "Triage"),
        ("Function: {name}", {"name": "search", "input": '{"q": "x"}'}, OperationKind.TOOL, "search"),
        ("Responses API with {gen_ai.request.model!r}", {"gen_ai.request.model": "m"}, OperationKind.LLM, "m"),
        (
            "Handoff: {from_agent} → {to_agent}",
            {"from_agent": "Triage", "to_agent": "Writer"},
            OperationKind.HANDOFF,
            "Writer",
        ),
        ("Turn {turn} for agent Triage", {"agent_name": "Triage"}, OperationKind.OTHER, "Turn {turn} for agent Triage"),
        ("Task: Agent workflow", {"type": "custom"}, OperationKind.OTHER, "Task: Agent workflow"),
    ],
)
def test_reads_the_openai_agents_sdk(template: str, attributes: Attributes, kind: OperationKind, name: str) -> None:
    written: Attributes = {"logfire.msg_template": template, "gen_ai.system": "openai", **attributes}
    operation = understood(template, written, scope="logfire.openai_agents")

    assert (operation.kind, operation.name, operation.dialect) == (kind, name, "logfire")


def test_a_handoff_says_who_passes_on_and_a_trace_says_the_conversation() -> None:
    scope = "logfire.openai_agents"
    handoff = understood("Handoff: {from_agent} → {to_agent}", scope=scope, from_agent="Triage", to_agent="Writer")

    assert handoff.handoff_from == "Triage"
    assert understood("OpenAI Agents trace: {name}", scope=scope, group_id="g-1").conversation == "g-1"


def test_reads_a_model_call_of_the_openai_agents_sdk() -> None:
    call = understood(
        "Chat completion with {gen_ai.request.model!r}",
        {
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.system": "openai",
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "output": '[{"content":null,"role":"assistant","tool_calls":[{"id":"1","function":{"name":"search"}}]}]',
            "usage": '{"requests":1,"input_tokens":10,"output_tokens":5,"input_tokens_details":{"cached_tokens":4}}',
        },
        scope="logfire.openai_agents",
    )

    assert call.tokens == TokenUsage(input=10, output=5, cache_read=4)
    assert (call.turn, call.requested) == ("c" * 16, True)
