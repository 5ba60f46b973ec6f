"""Attributes as google-adk 2.13.0 wrote them, the ``wfperf.*`` ones as our integration added them."""

import pytest

from otel_wfperf.conventions import normalize
from otel_wfperf.model import Attributes, Event, Operation, OperationKind, StatusCode, TokenUsage
from tests.conventions.spans import span, understood

SCOPE = "gcp.vertex.agent"
SESSION = {"gen_ai.conversation.id": "7d0f"}
MODEL_CALL: Attributes = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.request.model": "gemini-3-flash",
    "gen_ai.agent.name": "math",
    "gcp.vertex.agent.event_id": "8634428f",
    "gcp.vertex.agent.invocation_id": "e-b19c16ac",
    "gen_ai.provider.name": "gcp.gemini",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.usage.cache_read.input_tokens": 1,
    "gen_ai.usage.reasoning.output_tokens": 2,
    **SESSION,
}
# In the schema before version 2, round the one above.
CALL_LLM: Attributes = {
    "gen_ai.system": "gcp.vertex.agent",
    "gen_ai.request.model": "gemini-3-flash",
    "gcp.vertex.agent.llm_request": "{}",
    "gcp.vertex.agent.llm_response": "{}",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 5,
    "gen_ai.response.finish_reasons": ("stop",),
}
TOOL: Attributes = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "add",
    "gen_ai.tool.type": "FunctionTool",
    "gen_ai.agent.name": "math",
    "gen_ai.tool.call.id": "c0",
}


def adk(name: str, attributes: Attributes) -> Operation:
    operation = understood(name, attributes, scope=SCOPE)
    assert operation.dialect == "adk"
    return operation


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "subject"),
    [
        (
            "invoke_workflow math",
            {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "math"},
            OperationKind.WORKFLOW,
            "math",
        ),
        (
            "invoke_agent math",
            {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "math"},
            OperationKind.AGENT,
            "math",
        ),
        ("invoke_node plan", {"gen_ai.operation.name": "invoke_node"}, OperationKind.PHASE, "plan"),
        ("generate_content gemini-3-flash", MODEL_CALL, OperationKind.LLM, "gemini-3-flash"),
        ("call_llm", CALL_LLM, OperationKind.LLM, "gemini-3-flash"),
        ("execute_tool add", TOOL, OperationKind.TOOL, "add"),
        ("compact_events", {"gen_ai.operation.name": "compact_events"}, OperationKind.CONTEXT, "compact"),
        ("invocation", {}, OperationKind.OTHER, "invocation"),
        ("invocation", {"gen_ai.workflow.name": "math"}, OperationKind.WORKFLOW, "math"),
    ],
)
def test_maps_what_the_adk_writes(name: str, attributes: Attributes, kind: OperationKind, subject: str) -> None:
    operation = adk(name, attributes)

    assert (operation.kind, operation.name) == (kind, subject)
    assert operation.workflow == (subject if kind is OperationKind.WORKFLOW else None)


def test_other_scopes_are_other_dialects() -> None:
    assert understood("invoke_node plan", {"gen_ai.operation.name": "invoke_node"}).dialect == "genai"


def test_a_model_call_has_its_tokens_on_both_of_its_spans() -> None:
    inner, outer = adk("generate_content gemini-3-flash", MODEL_CALL), adk("call_llm", CALL_LLM)

    assert inner.tokens == TokenUsage(input=10, output=5, cache_read=1, reasoning=2)
    assert outer.tokens == TokenUsage(input=10, output=5)
    assert inner.model == outer.model == "gemini-3-flash"
    assert inner.agent == "math"
    assert inner.conversation == "7d0f"


def test_a_model_call_may_ask_for_tools_whatever_its_finish_reason() -> None:
    assert adk("generate_content gemini-3-flash", MODEL_CALL).turn == "c" * 16


def test_the_note_about_tools_that_ran_at_once_repeats_them() -> None:
    note = adk("execute_tool (merged)", {**TOOL, "gen_ai.tool.name": "(merged tools)"})

    assert (note.kind, note.repeats) == (OperationKind.OTHER, True)
    assert not adk("execute_tool add", TOOL).repeats


def test_a_tool_that_passes_the_work_on_is_a_handoff() -> None:
    transfer = adk(
        "execute_tool transfer_to_agent",
        {
            **TOOL,
            "gen_ai.tool.name": "transfer_to_agent",
            "wfperf.handoff.from": "math",
            "wfperf.handoff.to": "helper",
        },
    )

    assert (transfer.kind, transfer.name, transfer.handoff_from) == (OperationKind.HANDOFF, "helper", "math")


def test_reads_what_our_integration_adds_to_a_node() -> None:
    added: Attributes = {
        "wfperf.phase.name": "left",
        "wfperf.retry.attempt": 2,
        "wfperf.phase.depends_on": ("plan",),
        "wfperf.parallel.group": "after plan@1",
        "wfperf.parallel.width": 2,
        "wfperf.input.hash": "abc",
    }
    node = adk("invoke_node left", {"gen_ai.operation.name": "invoke_node", **SESSION, **added})
    graph = adk("invoke_workflow left", {"gen_ai.operation.name": "invoke_workflow", **added})

    for phase in (node, graph):
        assert (phase.kind, phase.name, phase.attempt) == (OperationKind.PHASE, "left", 2)
        assert (phase.depends_on, phase.parallel_group) == (("plan",), "after plan@1")
        assert phase.input_hash == "abc"


def test_reads_the_context_that_our_integration_measures() -> None:
    added: Attributes = {"wfperf.context.bytes": 300, "wfperf.context.messages": 4, "wfperf.context.reused_ratio": 0.5}

    call = adk("generate_content gemini-3-flash", {**MODEL_CALL, **added})

    assert call.context is not None
    assert (call.context.size_bytes, call.context.messages, call.context.reused_ratio) == (300, 4, 0.5)


def test_names_the_kind_of_an_error_not_its_message() -> None:
    failed = span(
        "invoke_node left",
        {"gen_ai.operation.name": "invoke_node"},
        status=StatusCode.ERROR,
        status_message="ConnectionError: the secret word",
        events=(Event(name="exception", time_ns=0, attributes={"exception.type": "ConnectionError"}),),
        scope=SCOPE,
    )

    operation = normalize(failed)

    assert operation is not None
    assert operation.error == "ConnectionError"


def test_survives_values_of_the_wrong_type() -> None:
    nonsense: Attributes = {
        "gen_ai.operation.name": 7,
        "gen_ai.tool.name": (1, 2),
        "wfperf.handoff.to": 3,
        "wfperf.phase.name": None,
        "gen_ai.usage.input_tokens": "ten",
    }

    assert adk("something", nonsense).kind is OperationKind.OTHER
