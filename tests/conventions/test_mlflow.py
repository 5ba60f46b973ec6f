import json

import pytest

from otel_wfperf.model import Attributes, Event, OperationKind, TokenUsage
from tests.conventions.spans import MS, START_NS, operation_of, span, understood

# Written by mlflow-tracing 3.17.2: decorated functions, autologging of OpenAI and LangChain.
NODE: Attributes = {
    "metadata": '{"thread_id": "t-1", "langgraph_step": 1, "langgraph_node": "planner",'
    ' "langgraph_checkpoint_ns": "planner:1"}',
    "mlflow.spanInputs": '{"notes": []}',
    "mlflow.spanOutputs": '{"notes": ["the plan"]}',
    "mlflow.spanType": '"CHAIN"',
    "mlflow.traceRequestId": '"tr-8bbff388"',
}
COMPLETION: Attributes = {
    "mlflow.chat.tokenUsage": (
        '{"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, "cache_read_input_tokens": 40}'
    ),
    "mlflow.llm.model": '"gpt-4o-mini"',
    "mlflow.message.format": '"openai"',
    "mlflow.spanInputs": '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "plan it"}]}',
    "mlflow.spanOutputs": json.dumps(
        {
            "id": "chatcmpl_1",
            "choices": [
                {
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "the plan", "tool_calls": None},
                }
            ],
        }
    ),
    "mlflow.spanType": '"CHAT_MODEL"',
    "temperature": "0.3",
}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("WORKFLOW", OperationKind.WORKFLOW),
        ("TASK", OperationKind.PHASE),
        ("AGENT", OperationKind.AGENT),
        ("TOOL", OperationKind.TOOL),
        ("LLM", OperationKind.LLM),
        ("CHAT_MODEL", OperationKind.LLM),
        ("EMBEDDING", OperationKind.EMBEDDING),
        ("RETRIEVER", OperationKind.RETRIEVAL),
        ("RERANKER", OperationKind.RETRIEVAL),
        ("MEMORY", OperationKind.MEMORY),
        ("PARSER", OperationKind.OTHER),
        ("GUARDRAIL", OperationKind.OTHER),
    ],
)
def test_maps_the_type_with_and_without_quotes(written: str, kind: OperationKind) -> None:
    encoded, plain = (understood("x", mlflow__spanType=each) for each in (f'"{written}"', written))

    assert (encoded.kind, plain.kind, encoded.dialect) == (kind, kind, "mlflow")


def test_a_workflow_names_one_and_a_chain_does_not() -> None:
    assert understood("flow", mlflow__spanType='"WORKFLOW"').workflow == "flow"
    for written in ('"CHAIN"', '"UNKNOWN"'):
        run = understood("flow", mlflow__spanType=written, parent_id=None)
        assert (run.kind, run.workflow) == (OperationKind.WORKFLOW, None)


def test_reads_a_node_of_a_graph() -> None:
    node = understood("planner", NODE)

    assert (node.kind, node.name, node.step, node.task) == (OperationKind.PHASE, "planner", 1, "planner:1")
    assert node.conversation == "t-1"
    assert understood("route", NODE).kind is OperationKind.OTHER


def test_reads_a_model_call() -> None:
    call = understood("Completions", COMPLETION)

    assert (call.name, call.model, call.temperature, call.turn) == ("gpt-4o-mini", "gpt-4o-mini", 0.3, None)
    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40)
    assert (call.input_bytes, call.output_bytes, call.requested) == (len("plan it"), len("the plan"), False)


def test_a_model_call_that_asks_for_tools_is_a_turn() -> None:
    answer = str(COMPLETION["mlflow.spanOutputs"]).replace('"stop"', '"tool_calls"')

    asking = understood("Completions", {**COMPLETION, "mlflow.spanOutputs": answer})

    assert (asking.turn, asking.requested) == ("c" * 16, True)


@pytest.mark.parametrize("name", ["mlflow.chunk.item.0", "new_token"])
def test_the_first_piece_of_a_stream_is_an_event(name: str) -> None:
    events = (
        Event(name="exception", time_ns=START_NS + 1),
        Event(name=name, time_ns=START_NS + 30 * MS),
        Event(name=name, time_ns=START_NS + 50 * MS),
    )

    assert operation_of(span("Completions", COMPLETION, events=events)).time_to_first_token_s == 0.03


def test_a_session_is_the_conversation() -> None:
    run = understood("flow", {"mlflow.spanType": '"WORKFLOW"', "mlflow.trace.session": '"s-2"'})

    assert run.conversation == "s-2"


# With MLFLOW_ENABLE_OTEL_GENAI_SEMCONV the names of the spans are lost.
SCOPE = "mlflow.tracing.provider"


def test_reads_its_own_types_where_the_genai_conventions_have_no_word() -> None:
    node = understood("CHAIN", {"metadata": NODE["metadata"], "gen_ai.operation.name": "CHAIN"}, scope=SCOPE)
    retrieval = understood("RETRIEVER", scope=SCOPE, gen_ai__operation__name="RETRIEVER")

    assert (node.kind, node.name, node.step) == (OperationKind.PHASE, "planner", 1)
    assert retrieval.kind is OperationKind.RETRIEVAL


def test_reads_translated_calls() -> None:
    call = understood(
        "chat gpt-4o-mini",
        scope=SCOPE,
        gen_ai__operation__name="chat",
        gen_ai__request__model="gpt-4o-mini",
        gen_ai__response__finish_reasons=("stop",),
        gen_ai__usage__input_tokens=50,
        gen_ai__usage__output_tokens=7,
    )
    tool = understood("execute_tool search", scope=SCOPE, gen_ai__operation__name="execute_tool")

    assert (call.kind, call.model, call.tokens, call.turn) == (
        OperationKind.LLM,
        "gpt-4o-mini",
        TokenUsage(input=50, output=7),
        None,
    )
    assert (tool.kind, tool.name) == (OperationKind.TOOL, "search")
