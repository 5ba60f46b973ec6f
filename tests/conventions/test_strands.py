"""Attributes and events as strands-agents 1.62.0 wrote them, the ``wfperf.*`` ones as our integration added them."""

from typing import Any

import pytest

from otel_wfperf.conventions import normalize
from otel_wfperf.conventions.content import content_hash
from otel_wfperf.model import Attributes, Event, Operation, OperationKind, StatusCode, TokenUsage
from tests.conventions.spans import START_NS, span

SCOPE = "strands.telemetry.tracer"
USAGE: Attributes = {
    "gen_ai.usage.prompt_tokens": 10,
    "gen_ai.usage.completion_tokens": 5,
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.usage.total_tokens": 15,
    "gen_ai.usage.cache_read.input_tokens": 1,
    "gen_ai.usage.cache_creation.input_tokens": 0,
    "gen_ai.usage.cache_read_input_tokens": 1,
    "gen_ai.usage.cache_write_input_tokens": 0,
}
CHAT: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "strands-agents",
    "gen_ai.request.model": "scripted",
    "gen_ai.server.time_to_first_token": 7,
    "gen_ai.server.request.duration": 3,
    **USAGE,
}
AGENT: Attributes = {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.system": "strands-agents",
    "gen_ai.agent.name": "math",
    "gen_ai.agent.tools": '["add"]',
    **USAGE,
}
TOOL: Attributes = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.system": "strands-agents",
    "gen_ai.tool.name": "add",
    "gen_ai.tool.call.id": "call-0",
    "gen_ai.tool.status": "success",
}
ASKED = (
    ("gen_ai.system.message", {"content": '[{"text": "Calculate."}]'}),
    ("gen_ai.user.message", {"content": '[{"text": "one and two"}]'}),
    (
        "gen_ai.choice",
        {
            "finish_reason": "tool_use",
            "message": '[{"toolUse": {"toolUseId": "call-0", "name": "add", "input": {"a": 1, "b": 2}}}]',
        },
    ),
)


def strands(name: str, attributes: Attributes, *events: tuple[str, Attributes], **settings: Any) -> Operation:
    told = tuple(Event(name=event, time_ns=START_NS, attributes=values) for event, values in events)
    operation = normalize(span(name, attributes, scope=SCOPE, events=told, **settings))
    assert operation is not None
    assert operation.dialect == "strands"
    return operation


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "subject"),
    [
        ("invoke_graph", {"gen_ai.operation.name": "invoke_graph"}, OperationKind.WORKFLOW, "graph"),
        ("invoke_swarm", {"gen_ai.operation.name": "invoke_swarm"}, OperationKind.WORKFLOW, "swarm"),
        (
            "invoke_graph",
            {"gen_ai.operation.name": "invoke_graph", "gen_ai.workflow.name": "research"},
            OperationKind.WORKFLOW,
            "research",
        ),
        ("invoke_agent math", AGENT, OperationKind.AGENT, "math"),
        (
            "execute_event_loop_cycle",
            {"gen_ai.operation.name": "execute_event_loop_cycle", "event_loop.cycle_id": "fe410c1c"},
            OperationKind.OTHER,
            "execute_event_loop_cycle",
        ),
        ("chat", CHAT, OperationKind.LLM, "scripted"),
        ("execute_tool add", TOOL, OperationKind.TOOL, "add"),
        ("memory.search", {"gen_ai.operation.name": "memory.search"}, OperationKind.MEMORY, "memory.search"),
    ],
)
def test_maps_what_strands_writes(name: str, attributes: Attributes, kind: OperationKind, subject: str) -> None:
    operation = strands(name, attributes)

    assert (operation.kind, operation.name) == (kind, subject)
    assert operation.workflow == (subject if kind is OperationKind.WORKFLOW else None)


def test_takes_tokens_from_model_calls_only() -> None:
    """An agent's usage adds up over all runs of the same object."""
    assert strands("chat", CHAT).tokens == TokenUsage(input=10, output=5, cache_read=1)
    assert strands("invoke_agent math", AGENT).tokens is None


def test_the_first_token_comes_after_milliseconds() -> None:
    assert strands("chat", CHAT).time_to_first_token_s == 0.007


def test_reads_the_finish_reason_from_an_attribute_else_from_the_event() -> None:
    asked, answered = ("gen_ai.choice", {"finish_reason": "tool_use"}), ("gen_ai.choice", {"finish_reason": "end_turn"})
    added = {**CHAT, "gen_ai.response.finish_reasons": ("tool_use",)}

    assert strands("chat", CHAT, asked).turn == strands("chat", added).turn == strands("chat", CHAT).turn == "c" * 16
    assert strands("chat", CHAT, answered).turn is None


def test_reads_content_from_events() -> None:
    call = strands("chat", CHAT, *ASKED)
    other = strands("chat", CHAT, ("gen_ai.user.message", {"content": '[{"text": "other"}]'}), *ASKED[2:])

    assert call.input_hash != other.input_hash
    assert call.output_hash == other.output_hash is not None
    assert call.input_bytes == len("Calculate.one and two")
    assert call.prefix_hash is not None


def test_reads_content_of_the_latest_conventions() -> None:
    details = "gen_ai.client.inference.operation.details"
    given = '[{"role": "user", "parts": [{"type": "text", "content": "one and two"}]}]'
    call = strands("chat", CHAT, (details, {"gen_ai.input.messages": given}))
    tool = strands("execute_tool add", {**TOOL, "gen_ai.tool.call.arguments": '{"a": 1, "b": 2}'})

    assert call.input_bytes == len("one and two")
    assert tool.input_hash == content_hash('{"a":1,"b":2}')


def test_what_was_redacted_is_no_content() -> None:
    redacted = "[REDACTED]"
    call = strands(
        "chat", CHAT, ("gen_ai.user.message", {"content": redacted}), ("gen_ai.choice", {"message": redacted})
    )
    tool = strands("execute_tool add", {**TOOL, "gen_ai.tool.call.arguments": redacted})

    assert (call.input_hash, call.output_hash, tool.input_hash) == (None, None, None)


def test_what_our_integration_measured_comes_before_events() -> None:
    added: Attributes = {"wfperf.prompt.hash": "abc", "wfperf.context.bytes": 9, "wfperf.retry.attempt": 2}

    call = strands("chat", {**CHAT, **added}, *ASKED)

    assert (call.input_hash, call.attempt) == ("abc", 2)
    assert call.context is not None
    assert call.context.size_bytes == 9


def test_a_failed_tool_is_named_by_its_exception_never_by_its_text() -> None:
    failed: Attributes = {**TOOL, "gen_ai.tool.status": "error"}
    text = "Error: the secret word"
    raised = strands(
        "execute_tool add",
        failed,
        ("exception", {"exception.type": "ValueError", "exception.message": "the secret word"}),
        status=StatusCode.ERROR,
        status_message=text,
    )
    returned = strands("execute_tool add", failed, status=StatusCode.ERROR, status_message=text)

    assert (raised.error, returned.error, strands("execute_tool add", TOOL).error) == ("ValueError", "tool_error", None)


def test_a_tool_that_passes_the_work_on_is_a_handoff() -> None:
    added = {"wfperf.handoff.from": "scout", "wfperf.handoff.to": "writer"}

    handoff = strands("execute_tool handoff_to_agent", {**TOOL, "gen_ai.tool.name": "handoff_to_agent", **added})

    assert (handoff.kind, handoff.name, handoff.handoff_from) == (OperationKind.HANDOFF, "writer", "scout")


def test_survives_values_of_the_wrong_type() -> None:
    nonsense: Attributes = {
        "gen_ai.operation.name": 7,
        "gen_ai.server.time_to_first_token": "soon",
        "gen_ai.response.finish_reasons": "stop",
        "wfperf.handoff.to": (1,),
    }

    operation = strands("chat", nonsense, ("gen_ai.choice", {"message": 4, "finish_reason": 5}))

    assert (operation.kind, operation.time_to_first_token_s) == (OperationKind.OTHER, None)
