import json
from datetime import UTC, datetime

import pytest

from otel_wfperf.model import Attributes, OperationKind, TokenUsage
from tests.conventions.spans import START_NS, understood

# Written by langfuse 5.0.4, whose handler followed a graph of langgraph 1.2.24.
NODE: Attributes = {
    "langfuse.observation.input": '{"notes": []}',
    "langfuse.observation.metadata.langgraph_checkpoint_ns": '"planner:0826d753"',
    "langfuse.observation.metadata.langgraph_node": '"planner"',
    "langfuse.observation.metadata.langgraph_step": "1",
    "langfuse.observation.metadata.thread_id": '"t-1"',
    "langfuse.observation.output": '{"notes": ["the plan"]}',
    "langfuse.observation.type": "chain",
    "langfuse.trace.name": "my trace",
    "session.id": "s-1",
}
GENERATION: Attributes = {
    "langfuse.observation.input": '[{"role": "user", "content": "plan it"}]',
    "langfuse.observation.model.name": "gpt-4o-mini",
    "langfuse.observation.model.parameters": '{"temperature": 0.3, "max_tokens": "Infinity", "top_p": 1}',
    "langfuse.observation.output": '{"role": "assistant", "content": "the plan"}',
    "langfuse.observation.type": "generation",
}


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("generation", OperationKind.LLM),
        ("embedding", OperationKind.EMBEDDING),
        ("agent", OperationKind.AGENT),
        ("tool", OperationKind.TOOL),
        ("retriever", OperationKind.RETRIEVAL),
        ("guardrail", OperationKind.OTHER),
        ("evaluator", OperationKind.OTHER),
        ("event", OperationKind.OTHER),
    ],
)
def test_maps_the_type(written: str, kind: OperationKind) -> None:
    observation = understood("x", langfuse__observation__type=written)

    assert (observation.kind, observation.dialect) == (kind, "langfuse")


def test_reads_a_node_of_a_graph_whose_metadata_is_json() -> None:
    node = understood("planner", NODE)

    assert (node.kind, node.step, node.task) == (OperationKind.PHASE, 1, "planner:0826d753")
    assert node.conversation == "s-1"


def test_reads_metadata_of_earlier_releases_without_quotes() -> None:
    plain = {key: str(value).strip('"') if ".metadata." in key else value for key, value in NODE.items()}

    assert understood("planner", plain) == understood("planner", NODE)


def test_a_node_that_the_handler_took_for_an_agent_is_a_phase() -> None:
    written: Attributes = {**NODE, "langfuse.observation.type": "agent"}

    assert understood("planner", written).kind is OperationKind.PHASE
    assert understood("planner", {**written, "langfuse.observation.metadata.lc_agent_name": '"planner"'}).kind is (
        OperationKind.AGENT
    )


@pytest.mark.parametrize("written", ["span", "chain"])
def test_a_decorated_function_is_left_for_the_assembler_to_judge(written: str) -> None:
    run = understood("pipeline", parent_id=None, langfuse__observation__type=written)

    assert (run.kind, run.workflow) == (OperationKind.WORKFLOW, None)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        # LangChain's handler takes the parts out of the whole; the total tells.
        (
            {"input": 60, "output": 15, "total": 120, "input_cache_read": 40, "output_reasoning": 5},
            TokenUsage(input=100, output=20, cache_read=40, reasoning=5),
        ),
        # The OpenAI wrapper passes the provider's map on.
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            TokenUsage(input=100, output=20, cache_read=40, reasoning=5),
        ),
        # Anthropic's figures, by hand.
        (
            {"input": 10, "output": 2, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 5},
            TokenUsage(input=65, output=2, cache_read=50, cache_write=5),
        ),
        ({"input": 4}, TokenUsage(input=4)),
    ],
)
def test_reads_usage_in_every_form(usage: dict[str, object], tokens: TokenUsage) -> None:
    call = understood("ask", {**GENERATION, "langfuse.observation.usage_details": json.dumps(usage)})

    assert call.tokens == tokens


def test_reads_a_model_call() -> None:
    call = understood("ask", GENERATION)

    assert (call.name, call.model, call.temperature, call.turn) == ("gpt-4o-mini", "gpt-4o-mini", 0.3, None)
    assert (call.input_bytes, call.output_bytes) == (len("plan it"), len("the plan"))


def test_a_model_call_that_asks_for_tools_is_a_turn() -> None:
    answer = '{"role": "assistant", "content": "", "tool_calls": [{"name": "search", "args": {}}]}'

    asking = understood("ask", {**GENERATION, "langfuse.observation.output": answer})

    assert (asking.turn, asking.requested) == ("c" * 16, True)


def test_the_first_token_is_a_moment() -> None:
    moment = datetime.fromtimestamp(START_NS / 1e9 + 0.25, tz=UTC).isoformat().replace("+00:00", "Z")

    call = understood("ask", {**GENERATION, "langfuse.observation.completion_start_time": json.dumps(moment)})

    assert call.time_to_first_token_s == pytest.approx(0.25, abs=1e-6)


@pytest.mark.parametrize("moment", ['"yesterday"', '"0001-01-01T00:00:00"', "7", '"1970-01-01T00:00:00Z"'])
def test_a_moment_that_makes_no_sense_is_none(moment: str) -> None:
    call = understood("ask", {**GENERATION, "langfuse.observation.completion_start_time": moment})

    assert call.time_to_first_token_s is None


def test_the_level_is_an_error_although_the_status_is_none() -> None:
    failed = understood(
        "g",
        langfuse__observation__type="generation",
        langfuse__observation__level="ERROR",
        langfuse__observation__status_message="overloaded\nmore",
    )

    assert failed.error == "overloaded"


def test_spans_of_others_that_pass_through_are_not_langfuses() -> None:
    passing = understood("chat m", gen_ai__operation__name="chat", langfuse__trace__name="my trace")

    assert passing.dialect == "genai"
