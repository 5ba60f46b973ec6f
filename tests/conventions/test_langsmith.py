import json

import pytest

from otel_wfperf.model import Attributes, Event, OperationKind, StatusCode, TokenUsage
from tests.conventions.spans import operation_of, span, understood

# Written by langsmith 0.15.1 for a graph of langgraph 1.2.24 and for decorated functions.
NODE: Attributes = {
    "gen_ai.completion": '{"notes":["the plan"]}',
    "gen_ai.operation.name": "chain",
    "gen_ai.prompt": '{"notes":[]}',
    "gen_ai.system": "langchain",
    "langsmith.metadata.langgraph_checkpoint_ns": "planner:d52aa80e",
    "langsmith.metadata.langgraph_node": "planner",
    "langsmith.metadata.langgraph_step": 1,
    "langsmith.metadata.thread_id": "t-1",
    "langsmith.span.kind": "chain",
    "langsmith.trace.name": "planner",
    "langsmith.trace.session_name": "default",
}
CALL: Attributes = {
    "gen_ai.completion": json.dumps(
        {
            "generations": [
                [
                    {
                        "text": "the plan",
                        "generation_info": {"finish_reason": "stop"},
                        "message": {
                            "lc": 1,
                            "type": "constructor",
                            "kwargs": {"content": "the plan", "type": "ai", "tool_calls": []},
                        },
                    }
                ]
            ]
        }
    ),
    "gen_ai.operation.name": "chat",
    "gen_ai.prompt": json.dumps(
        {"messages": [[{"lc": 1, "type": "constructor", "kwargs": {"content": "plan it", "type": "human"}}]]}
    ),
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.total_tokens": 120,
    "langsmith.metadata.langgraph_node": "planner",
    "langsmith.metadata.langgraph_step": 1,
    "langsmith.metadata.ls_model_name": "gpt-4o-mini",
    "langsmith.metadata.ls_temperature": 0.2,
    "langsmith.metadata.usage_metadata": (
        '{"input_tokens":100,"output_tokens":20,"total_tokens":120,'
        '"input_token_details":{"cache_read":40},"output_token_details":{"reasoning":5}}'
    ),
    "langsmith.span.kind": "llm",
}


@pytest.mark.parametrize(
    ("run_type", "operation", "kind"),
    [
        ("retriever", "embeddings", OperationKind.RETRIEVAL),
        ("embedding", "embeddings", OperationKind.EMBEDDING),
        ("prompt", "chat", OperationKind.OTHER),
        ("parser", "parser", OperationKind.OTHER),
        ("tool", "execute_tool", OperationKind.TOOL),
        ("llm", "chat", OperationKind.LLM),
    ],
)
def test_the_run_type_decides_not_the_operation(run_type: str, operation: str, kind: OperationKind) -> None:
    run = understood("x", langsmith__span__kind=run_type, gen_ai__operation__name=operation)

    assert (run.kind, run.dialect) == (kind, "langsmith")


def test_reads_a_node_of_a_graph() -> None:
    node = understood("planner", NODE)

    assert (node.kind, node.name, node.step, node.task) == (OperationKind.PHASE, "planner", 1, "planner:d52aa80e")
    assert node.conversation == "t-1"


def test_another_chain_in_a_node_is_a_router() -> None:
    router = understood("RunnableCallable", NODE)

    assert (router.kind, router.input_hash) == (OperationKind.OTHER, None)


def test_the_run_of_an_agent_in_a_node_is_the_agent() -> None:
    agent = understood("planner", {**NODE, "langsmith.metadata.lc_agent_name": "planner"})

    assert (agent.kind, agent.agent) == (OperationKind.AGENT, "planner")


def test_a_decorated_function_is_left_for_the_assembler_to_judge() -> None:
    run = understood("pipeline", parent_id=None, langsmith__span__kind="chain", langsmith__metadata__session_id="s")

    assert (run.kind, run.workflow, run.conversation) == (OperationKind.WORKFLOW, None, "s")


def test_reads_a_model_call() -> None:
    call = understood("ChatOpenAI", CALL)

    assert (call.name, call.model, call.temperature) == ("gpt-4o-mini", "gpt-4o-mini", 0.2)
    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40, reasoning=5)
    assert (call.turn, call.requested) == (None, False)
    assert (call.input_bytes, call.output_bytes) == (len("plan it"), len("the plan"))


def test_a_model_call_that_asks_for_tools_is_a_turn() -> None:
    completion = str(CALL["gen_ai.completion"]).replace('"stop"', '"tool_calls"')
    asking = understood("ChatOpenAI", {**CALL, "gen_ai.completion": completion})

    assert (asking.turn, asking.requested) == ("c" * 16, True)


def test_reads_details_that_were_not_written_as_json() -> None:
    call = understood(
        "ChatOpenAI",
        langsmith__span__kind="llm",
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=20,
        gen_ai__usage__input_token_details="{'cache_read': 40}",
        gen_ai__usage__output_token_details="{'reasoning': 5}",
    )

    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40, reasoning=5)


@pytest.mark.parametrize("details", ["{'cache_read': ", "[1]", "{1: 2}", "(" * 1000, "x" * 5000])
def test_details_of_another_form_are_none(details: str) -> None:
    call = understood(
        "ChatOpenAI",
        langsmith__span__kind="llm",
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__input_token_details=details,
    )

    assert call.tokens == TokenUsage(input=100)


def test_finds_the_type_of_an_error_in_its_text() -> None:
    text = "ConnectionError('flaky')Traceback (most recent call last):\n"
    event = Event(name="exception", time_ns=1, attributes={"exception.type": "Exception", "exception.message": text})

    failed = operation_of(span("b", NODE, status=StatusCode.ERROR, events=(event,)))

    assert failed.error == "ConnectionError"


def test_a_tool_is_what_a_model_asked_for_when_it_has_the_id_of_the_call() -> None:
    tool = understood(
        "search",
        langsmith__span__kind="tool",
        gen_ai__tool__name="search",
        gen_ai__tool__call__id="call_1",
        gen_ai__prompt='{"q":"alpha"}',
        gen_ai__completion='{"output":{"content":"result alpha","type":"tool","tool_call_id":"call_1"}}',
    )

    assert (tool.name, tool.requested, tool.output_bytes) == ("search", True, len("result alpha"))
