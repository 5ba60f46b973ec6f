"""Attributes as pydantic-ai-slim 2.68.0 wrote them; what the older spelling lacks is left out of them."""

from dataclasses import replace

import pytest

from otel_wfperf.conventions import normalize
from otel_wfperf.model import Attributes, Event, Operation, OperationKind, StatusCode, TokenUsage
from tests.conventions.spans import span, understood

SCOPE = "pydantic-ai"
RUN: Attributes = {
    "gen_ai.agent.name": "A",
    "gen_ai.agent.call.id": "01a20dae-dac4-72fc-a680-5cf777d66fab",
    "gen_ai.conversation.id": "01a20dae-dac4-72fc-a680-5cf885407c3e",
}
CHAT: Attributes = {
    **RUN,
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-chat",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 4,
    "gen_ai.usage.cache_read.input_tokens": 8,
    "gen_ai.usage.details.cached_tokens": 8,
    "gen_ai.usage.details.reasoning_tokens": 1,
    "gen_ai.response.model": "gpt-chat",
    "gen_ai.response.finish_reasons": ("tool_call",),
    "gen_ai.client.operation.time_to_first_chunk": 0.25,
}


def read(name: str, attributes: Attributes) -> Operation:
    operation = understood(name, attributes, scope=SCOPE)
    assert operation.dialect == "pydantic_ai"
    return operation


@pytest.mark.parametrize("name", ["invoke_agent A", "agent run"])
def test_reads_a_run_in_both_spellings_with_its_total_for_when_nothing_below_has_tokens(name: str) -> None:
    agent = read(
        name,
        {
            **RUN,
            "model_name": "gpt-chat",
            "agent_name": "A",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.aggregated_usage.input_tokens": 103,
            "gen_ai.aggregated_usage.output_tokens": 14,
        },
    )

    assert (agent.kind, agent.name, agent.agent, agent.model) == (OperationKind.AGENT, "A", "A", None)
    assert agent.tokens == TokenUsage(input=103, output=14)
    assert agent.conversation == RUN["gen_ai.conversation.id"]


def test_reads_the_names_of_spans_that_had_no_operation() -> None:
    agent = read("agent run", {"model_name": "gpt-4o", "agent_name": "A", "gen_ai.usage.input_tokens": 5})
    tool = read("running tool", {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": "1"})
    output = read("running output function", {"gen_ai.tool.name": "final_result"})
    many = read("running 2 tools", {"tools": ("search", "look")})

    assert (agent.kind, agent.name, agent.tokens) == (OperationKind.AGENT, "A", TokenUsage(input=5))
    assert (tool.kind, tool.name, tool.requested) == (OperationKind.TOOL, "search", True)
    assert (output.kind, output.name) == (OperationKind.TOOL, "final_result")
    assert many.kind is OperationKind.OTHER


def test_reads_a_model_call_with_all_parts_of_its_usage() -> None:
    call = read("chat gpt-chat", CHAT)

    assert (call.kind, call.name, call.model, call.agent) == (OperationKind.LLM, "gpt-chat", "gpt-chat", "A")
    assert call.tokens == TokenUsage(input=20, output=4, cache_read=8, reasoning=1)
    assert call.time_to_first_token_s == 0.25
    assert call.requested
    assert call.turn == "c" * 16


def test_reads_what_our_instrumentation_adds() -> None:
    call = read(
        "chat gpt-chat",
        {
            **CHAT,
            "wfperf.context.bytes": 37,
            "wfperf.context.messages": 4,
            "wfperf.context.reused_ratio": 0.65,
            "wfperf.prompt.prefix_hash": "6bcfd10b49a833bb",
            "wfperf.total.input_tokens": 30,
            "wfperf.total.output_tokens": 6,
        },
    )

    assert call.context is not None
    assert (call.context.size_bytes, call.context.messages, call.context.reused_ratio) == (37, 4, 0.65)
    assert call.prefix_hash == "6bcfd10b49a833bb"
    # With the answer that was rejected before.
    assert call.tokens == TokenUsage(input=30, output=6, reasoning=1)


def test_a_wait_knows_its_limit() -> None:
    waiting: Attributes = {"source": "agent:L", "waiting_count": 2, "max_running": 1}
    wait = read("waiting for agent:L concurrency", waiting)
    named = read("waiting for pool concurrency", {**waiting, "limiter_name": "pool", "max_queued": 5})

    assert (wait.kind, wait.name, wait.wait_kind) == (OperationKind.WAIT, "agent:L", "concurrency")
    assert (wait.queue_depth, wait.concurrency_limit) == (2, 1)
    assert named.name == "pool"


def test_a_span_that_is_only_named_like_a_wait_is_none() -> None:
    assert read("waiting for pool concurrency", {}).kind is OperationKind.OTHER


def test_a_failed_attempt_is_a_model_call_whose_usage_is_counted_around_it() -> None:
    attributes: Attributes = {
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "bad",
        "pydantic_ai.model_request.attempt": 1,
        "gen_ai.usage.input_tokens": 10,
    }
    attempt = read("model request attempt bad", attributes)

    assert (attempt.kind, attempt.name, attempt.attempt) == (OperationKind.LLM, "bad", 2)
    assert (attempt.tokens, attempt.turn) == (None, None)


def failed(error_type: str) -> Operation:
    tool: Attributes = {
        **RUN,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.call.id": "1",
        "pydantic_ai.tool.retry.cause": "model_retry",
        "pydantic_ai.tool.retry.attempt": 2,
        "pydantic_ai.tool.retry.max_retries": 2,
    }
    events = (Event(name="exception", time_ns=0, attributes={"exception.type": error_type}),)
    written = span("execute_tool search", tool, status=StatusCode.ERROR, events=events, scope=SCOPE)
    operation = normalize(written)
    assert operation is not None
    return operation


def test_a_try_of_a_tool_that_failed_has_its_number_and_the_type_of_its_error() -> None:
    tool = failed("pydantic_ai.exceptions.ToolRetryError")

    assert (tool.kind, tool.attempt) == (OperationKind.TOOL, 2)
    assert tool.error == "pydantic_ai.exceptions.ToolRetryError"


@pytest.mark.parametrize("error_type", ["asyncio.exceptions.CancelledError", "pydantic_ai.exceptions.ApprovalRequired"])
def test_a_cancelled_or_deferred_tool_did_not_fail(error_type: str) -> None:
    assert failed(error_type).error is None


def test_what_pydantic_ai_wrote_comes_before_what_a_vendor_s_processor_made_of_it() -> None:
    relabelled = read("chat gpt-chat", {**CHAT, "openinference.span.kind": "LLM", "llm.token_count.prompt": 20})

    assert relabelled == replace(read("chat gpt-chat", CHAT))


def test_spans_of_other_scopes_are_left_alone() -> None:
    assert understood("chat gpt-chat", CHAT, scope="opentelemetry.instrumentation.genai.openai").dialect == "genai"
    assert understood("run node plan", {"node_id": "plan"}, scope="pydantic-graph").kind is OperationKind.PHASE
