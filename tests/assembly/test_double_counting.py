"""One logical call that several instrumentations wrote, each in the words that its real library uses.

Attributes are those of the recognition table: google-adk 2.13, strands-agents 1.62, agent-framework-core 1.23,
openinference-instrumentation-{smolagents,openai}, opentelemetry-instrumentation-openai 0.62, pydantic-ai 2.68, mcp 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from otel_wfperf.analysis.summary import total_tokens
from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.model import AttributeValue, Execution, OperationKind, Span, SpanKind, StatusCode, TokenUsage
from tests.assembly.operations import MS, START_NS

LLM, TOOL = OperationKind.LLM, OperationKind.TOOL
CLIENT, INTERNAL, SERVER = SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.SERVER
ADK = "gcp.vertex.agent"
STRANDS = "strands.telemetry.tracer"
USED: Mapping[str, AttributeValue] = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2}
USAGE = TokenUsage(input=10, output=2)


@dataclass
class Recording:
    """Spans of one trace; a span is the child of the one that was opened before it and is not shorter."""

    spans: list[Span] = field(default_factory=list)

    def span(
        self,
        name: str,
        times_ms: tuple[float, float],
        attributes: Mapping[str, AttributeValue],
        *,
        below: str | None = None,
        scope: str = "",
        kind: SpanKind = INTERNAL,
        **more: Any,
    ) -> str:
        """Add a span and return its id."""
        span_id = f"{len(self.spans) + 1:016x}"
        start, end = (START_NS + round(moment * MS) for moment in times_ms)
        span = Span(
            trace_id="a" * 32,
            span_id=span_id,
            parent_id=below,
            name=name,
            kind=kind,
            start_ns=start,
            end_ns=end,
            attributes=attributes,
            scope=scope,
            **more,
        )
        self.spans.append(span)
        return span_id

    def run(self) -> Execution:
        """Read and assemble what was recorded."""
        [execution] = assemble(each for span in self.spans if (each := normalize(span)) is not None)
        return execution


def recording() -> tuple[Recording, str]:
    """Begin with a workflow of ours."""
    recorded = Recording()
    attributes = {"wfperf.span.kind": "workflow", "gen_ai.workflow.name": "w"}
    return recorded, recorded.span("invoke_workflow w", (0, 1000), attributes)


def our_call(
    recorded: Recording,
    below: str,
    *,
    times_ms: tuple[float, float] = (10, 100),
    used: Mapping[str, AttributeValue] | None = None,
) -> str:
    attributes = {
        "wfperf.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        **(used or {}),
    }
    return recorded.span("chat gpt-4o", times_ms, attributes, below=below, scope="otel_wfperf", kind=CLIENT)


def test_attributes_of_a_call_that_are_split_over_two_spans_come_together() -> None:
    """Google ADK: the model is on one, the tokens are on both."""
    recorded, root = recording()
    outer = recorded.span("call_llm", (10, 100), {"gen_ai.request.model": "gemini", **USED}, below=root, scope=ADK)
    inner = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": "gemini", **USED}
    reasons: dict[str, AttributeValue] = {
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.request.temperature": 0.5,
    }
    recorded.span("generate_content gemini", (40, 100), {**inner, **reasons}, below=outer, scope=ADK)

    [call] = (run := recorded.run()).of_kind(LLM)
    assert (call.span_id, call.model, call.tokens, call.temperature) == (outer, "gemini", USAGE, 0.5)
    assert total_tokens(run.operations) == USAGE


def test_the_usage_that_an_agent_repeats_counts_once() -> None:
    """Strands and Agent Framework write the usage of the calls on the agent too, Strands in both spellings."""
    both = {**USED, "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2}
    for scope in (STRANDS, "agent_framework"):
        recorded, root = recording()
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a", **both}
        above = recorded.span("invoke_agent a", (10, 100), agent, below=root, scope=scope)
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **both}
        recorded.span("chat", (20, 90), call, below=above, scope=scope)

        assert total_tokens(recorded.run().operations) == USAGE


def test_the_usage_that_a_run_repeats_counts_once() -> None:
    """OpenInference for smolagents: usage on the model and on the run."""
    recorded = Recording()
    used: dict[str, AttributeValue] = {"llm.token_count.prompt": 10, "llm.token_count.completion": 2}
    run = recorded.span("CodeAgent.run", (0, 99), {"openinference.span.kind": "AGENT", **used})
    step = recorded.span("Step 1", (1, 98), {"openinference.span.kind": "CHAIN"}, below=run)
    recorded.span("OpenAIModel.generate", (2, 90), {"openinference.span.kind": "LLM", **used}, below=step)

    execution = recorded.run()
    assert total_tokens(execution.operations) == USAGE
    assert len(execution.of_kind(LLM)) == 1


OPENINFERENCE: Mapping[str, AttributeValue] = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o-2024-08-06",
    "llm.token_count.prompt": 10,
    "llm.token_count.completion": 2,
}
OPENLLMETRY: Mapping[str, AttributeValue] = {"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o", **USED}
OFFICIAL: Mapping[str, AttributeValue] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **USED}


@pytest.mark.parametrize("attributes", [OPENINFERENCE, OPENLLMETRY, OFFICIAL])
def test_calls_of_the_provider_sdk_below_ours_are_ours(attributes: Mapping[str, AttributeValue]) -> None:
    recorded, root = recording()
    ours = our_call(recorded, root)
    theirs = recorded.span("openai.chat", (40, 99), attributes, below=ours, kind=CLIENT)
    recorded.span("POST", (41, 98), {"http.request.method": "POST"}, below=theirs, kind=CLIENT)

    [call] = (run := recorded.run()).of_kind(LLM)
    assert (call.span_id, call.dialect, call.tokens) == (ours, "wfperf", USAGE)
    assert total_tokens(run.operations) == USAGE


def test_a_call_behind_a_span_of_the_users_own_is_still_the_same() -> None:
    recorded, root = recording()
    ours = our_call(recorded, root, used=USED)
    between = recorded.span("my client", (11, 99), {}, below=ours)
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **USED}
    recorded.span("chat gpt-4o", (12, 98), attributes, below=between, kind=CLIENT)

    run = recorded.run()
    assert [call.span_id for call in run.of_kind(LLM)] == [ours]
    assert run.by_id[between].parent_id == ours


def test_a_call_that_another_instrumentation_wrote_beside_ours_counts_once() -> None:
    """Callbacks do not make their spans current, so the provider SDK's span hangs beside theirs."""
    recorded, root = recording()
    ours = our_call(recorded, root)
    theirs = {"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o", **USED}
    recorded.span("openai.chat", (60, 99), theirs, below=root, kind=CLIENT)

    run = recorded.run()
    assert [(call.span_id, call.tokens) for call in run.of_kind(LLM)] == [(ours, USAGE)]


def test_calls_at_once_are_paired_with_the_nearest() -> None:
    recorded, root = recording()
    theirs = {"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o"}
    for at in range(3):
        our_call(recorded, root, times_ms=(10 + at * 5, 100 + at * 20))
    for at in range(3):
        used = {"gen_ai.usage.input_tokens": at + 1, "gen_ai.usage.output_tokens": 0}
        recorded.span("openai.chat", (11 + at * 5, 99 + at * 20), {**theirs, **used}, below=root, kind=CLIENT)

    calls = recorded.run().of_kind(LLM)
    assert [call.tokens and call.tokens.input for call in calls] == [1, 2, 3]
    assert {call.dialect for call in calls} == {"wfperf"}


def test_calls_beside_each_other_that_differ_are_two() -> None:
    recorded, root = recording()
    our_call(recorded, root, used=USED)
    differing: list[tuple[tuple[float, float], Mapping[str, AttributeValue]]] = [
        ((20, 90), {**OPENLLMETRY, "gen_ai.usage.input_tokens": 99}),
        ((20, 90), {**OPENLLMETRY, "gen_ai.request.model": "other"}),
        ((20, 130), OPENLLMETRY),
        ((110, 130), OPENLLMETRY),
    ]
    for times_ms, attributes in differing:
        recorded.span("openai.chat", times_ms, attributes, below=root, kind=CLIENT)

    assert len(recorded.run().of_kind(LLM)) == 5


def test_a_whole_tree_that_two_instrumentations_wrote_is_one() -> None:
    recorded = Recording()
    outer = recorded.span(
        "invoke_workflow w", (0, 200), {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "w"}
    )
    inner = recorded.span(
        "w.workflow", (1, 199), {"traceloop.span.kind": "workflow", "traceloop.entity.name": "w"}, below=outer
    )
    genai = recorded.span(
        "invoke_node plan", (2, 100), {"gen_ai.operation.name": "execute_task", "gen_ai.task.name": "plan"}, below=outer
    )
    loop = recorded.span(
        "plan.task", (2.1, 99), {"traceloop.span.kind": "task", "traceloop.entity.name": "plan"}, below=inner
    )
    for above, more in ((genai, {"gen_ai.operation.name": "chat"}), (loop, {"llm.request.type": "chat"})):
        recorded.span("chat m", (10, 90), {**more, "gen_ai.request.model": "m", **USED}, below=above, kind=CLIENT)

    run = recorded.run()
    assert [each.kind for each in run.operations] == [OperationKind.WORKFLOW, OperationKind.PHASE, LLM]
    assert total_tokens(run.operations) == USAGE


def test_attempts_within_one_call_are_one_call() -> None:
    recorded, root = recording()
    ours = our_call(recorded, root, times_ms=(0, 100))
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    failed = {**attributes, "error.type": "RateLimitError"}
    for at in (0, 30):
        recorded.span("chat", (at, at + 10), failed, below=ours, kind=CLIENT, status=StatusCode.ERROR)
    recorded.span("chat", (60, 99), {**attributes, **USED}, below=ours, kind=CLIENT)

    run = recorded.run()
    assert [(call.span_id, call.attempt, call.error, call.tokens) for call in run.of_kind(LLM)] == [
        (ours, 3, None, USAGE)
    ]
    assert [each.error for each in run.children(ours)] == ["RateLimitError", "RateLimitError", None]


def test_a_span_round_several_calls_of_its_model_is_none_itself() -> None:
    recorded, root = recording()
    ours = our_call(recorded, root, times_ms=(0, 100), used=dict.fromkeys(USED, 20))
    for at in (0, 1):
        call = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **USED}
        recorded.span("chat", (at, 99 - at), call, below=ours, kind=CLIENT)

    run = recorded.run()
    assert len(run.of_kind(LLM)) == 2
    assert total_tokens(run.operations) == USAGE + USAGE


def test_a_tool_of_an_mcp_server_is_one_call_on_both_sides() -> None:
    """The first call connects for most of its time, so the request covers little of it."""
    recorded, root = recording()
    mcp: dict[str, AttributeValue] = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}
    tool: dict[str, AttributeValue] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    ours = recorded.span("execute_tool search", (10, 100), {**tool, "gen_ai.tool.call.id": "c1"}, below=root)
    recorded.span("initialize", (11, 70), {"mcp.method.name": "initialize"}, below=ours, kind=CLIENT)
    client = recorded.span("tools/call search", (71, 99), mcp, below=ours, kind=CLIENT)
    server = recorded.span(
        "tools/call search", (75, 95), {**mcp, "error.type": "tool_error"}, below=client, kind=SERVER
    )
    recorded.span("SELECT", (76, 90), {"db.system": "sqlite"}, below=server, kind=CLIENT)

    run = recorded.run()
    assert [(call.span_id, call.error) for call in run.of_kind(TOOL)] == [(ours, "tool_error")]
    assert [each.span_name for each in run.children(ours)] == ["initialize", "SELECT"]


def test_the_total_that_pydantic_ai_writes_on_agents_is_no_usage() -> None:
    recorded = Recording()
    agent: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "a",
        "gen_ai.aggregated_usage.input_tokens": 99,
    }
    above = recorded.span("invoke_agent a", (0, 99), agent)
    recorded.span(
        "chat m", (1, 90), {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **USED}, below=above
    )

    assert total_tokens(recorded.run().operations) == USAGE
