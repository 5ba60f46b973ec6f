import pytest

from otel_wfperf.analysis.fragments import shares_content
from otel_wfperf.conventions.content import content_hash
from otel_wfperf.model import Attributes, OperationKind, TokenUsage
from tests.conventions.spans import understood


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", OperationKind.LLM),
        ("generate_content", OperationKind.LLM),
        ("text_completion", OperationKind.LLM),
        ("embeddings", OperationKind.EMBEDDING),
        ("retrieval", OperationKind.RETRIEVAL),
        ("fetch_response", OperationKind.OTHER),
        ("execute_tool", OperationKind.TOOL),
        ("create_agent", OperationKind.OTHER),
        ("invoke_agent", OperationKind.AGENT),
        ("invoke_workflow", OperationKind.WORKFLOW),
        ("plan", OperationKind.PLAN),
        ("search_memory", OperationKind.MEMORY),
        ("create_memory_store", OperationKind.MEMORY),
        ("goto", OperationKind.HANDOFF),
        ("memory.inject", OperationKind.MEMORY),
        ("invoke_node", OperationKind.PHASE),
        ("invoke_swarm", OperationKind.WORKFLOW),
        ("execute_event_loop_cycle", OperationKind.OTHER),
        ("something_new", OperationKind.OTHER),
    ],
)
def test_maps_the_operation(operation: str, kind: OperationKind) -> None:
    assert understood("x", gen_ai__operation__name=operation).kind is kind


def test_the_proposed_common_invocation_is_a_workflow_when_it_names_one() -> None:
    operation = "handle_conversation_turn"

    assert understood("x", gen_ai__operation__name=operation, gen_ai__workflow__name="w").kind is OperationKind.WORKFLOW
    assert understood("x", gen_ai__operation__name=operation, gen_ai__agent__name="a").kind is OperationKind.AGENT


def test_the_proposed_common_invocation_without_names_is_a_workflow_when_it_is_the_outermost() -> None:
    def kind(**attributes: bool) -> OperationKind:
        written: Attributes = {"gen_ai.operation.name": "invocation", **attributes}
        return understood("x", written).kind

    assert kind(**{"gen_ai.invocation.is_nested": False}) is OperationKind.WORKFLOW
    assert kind(**{"gen_ai.invocation.is_nested": True}) is kind() is OperationKind.AGENT


def test_before_operations_had_names_a_system_with_a_model_was_a_model_call() -> None:
    call = understood(
        "openai.chat", gen_ai__system="openai", gen_ai__request__model="m", gen_ai__usage__prompt_tokens=3
    )

    assert (call.kind, call.name, call.tokens) == (OperationKind.LLM, "m", TokenUsage(input=3))
    assert understood("x", gen_ai__request__model="m").dialect == ""


def test_a_response_that_is_fetched_later_has_no_tokens_and_a_memory_its_store() -> None:
    fetched = understood("fetch_response", gen_ai__operation__name="fetch_response", gen_ai__usage__input_tokens=3)
    memory = understood("search_memory", gen_ai__operation__name="search_memory", gen_ai__memory__store__id="facts")

    assert fetched.tokens is None
    assert memory.name == "search_memory facts"


def test_sums_tokens_by_mode_where_there_is_no_sum() -> None:
    call = understood(
        "chat m",
        {
            "gen_ai.usage.text.input_tokens": 10,
            "gen_ai.usage.image.input_tokens": 200,
            "gen_ai.usage.text.output_tokens": 3,
        },
        gen_ai__operation__name="chat",
    )

    assert call.tokens == TokenUsage(input=210, output=3)


def test_reads_tokens_that_came_as_text() -> None:
    call = understood("chat m", gen_ai__operation__name="chat", gen_ai__usage__input_tokens="12")

    assert call.tokens == TokenUsage(input=12)


@pytest.mark.parametrize(
    ("name", "value"),
    [("gen_ai.response.time_to_first_chunk", 0.25), ("gen_ai.server.time_to_first_token", 250)],
)
def test_reads_the_time_to_the_first_piece_in_seconds(name: str, value: float) -> None:
    assert understood("chat m", {name: value}, gen_ai__operation__name="chat").time_to_first_token_s == 0.25


def test_names_the_subject_by_its_attribute_else_by_the_rest_of_the_span_name() -> None:
    named = understood("execute_tool x", gen_ai__operation__name="execute_tool", gen_ai__tool__name="search")
    unnamed = understood("invoke_workflow team", gen_ai__operation__name="invoke_workflow")
    bare = understood("invoke_agent", gen_ai__operation__name="invoke_agent")

    assert (named.name, unnamed.name, unnamed.workflow, bare.name) == ("search", "team", "team", "invoke_agent")


@pytest.mark.parametrize(
    "names",
    [
        (
            "input_tokens",
            "output_tokens",
            "cache_read.input_tokens",
            "cache_write.input_tokens",
            "reasoning.output_tokens",
        ),
        (
            "prompt_tokens",
            "completion_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "reasoning_tokens",
        ),
        ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_creation.input_tokens", "reasoning_tokens"),
    ],
)
def test_reads_tokens_in_old_and_new_spellings(names: tuple[str, ...]) -> None:
    values = dict(zip((f"gen_ai.usage.{name}" for name in names), (100, 20, 40, 10, 5), strict=True))

    call = understood("chat m", values, gen_ai__operation__name="chat")

    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40, cache_write=10, reasoning=5)


def test_adds_cached_tokens_that_the_input_leaves_out() -> None:
    call = understood(
        "chat m",
        gen_ai__operation__name="chat",
        gen_ai__usage__input_tokens=10,
        gen_ai__usage__output_tokens=1,
        gen_ai__usage__cache_read__input_tokens=90,
    )

    assert call.tokens == TokenUsage(input=100, output=1, cache_read=90)


def test_takes_an_agents_aggregated_usage() -> None:
    agent = understood(
        "invoke_agent a",
        gen_ai__operation__name="invoke_agent",
        gen_ai__aggregated_usage__input_tokens=7,
        gen_ai__usage__input_tokens=3,
    )

    assert agent.tokens == TokenUsage(input=7)


def test_hashes_the_content_of_messages_not_their_ids() -> None:
    first = '[{"role": "user", "parts": [{"type": "text", "content": "hello"}], "id": "1"}]'
    again = '[{"id": "2", "role": "user", "parts": [{"content": "hello", "type": "text"}]}]'
    other = '[{"role": "user", "parts": [{"type": "text", "content": "bye"}]}]'

    def hashed(messages: str) -> str | None:
        return understood("chat m", gen_ai__operation__name="chat", gen_ai__input__messages=messages).input_hash

    assert hashed(first) == hashed(again) != hashed(other)


def test_messages_without_content_are_no_content() -> None:
    shell = '[{"role":"user","parts":[{"type":"text"}]}]'

    call = understood("chat m", gen_ai__operation__name="chat", gen_ai__input__messages=shell)

    assert (call.input_hash, call.input_bytes, call.input_fragments) == (None, None, frozenset())


def test_reads_a_tools_arguments_and_result() -> None:
    tool = understood(
        "execute_tool t",
        gen_ai__operation__name="execute_tool",
        gen_ai__tool__name="t",
        gen_ai__tool__call__arguments='{"b": 1, "a": 2}',
        gen_ai__tool__call__result="sunny, 21 degrees",
    )

    assert tool.input_hash == content_hash('{"a":2,"b":1}')
    assert (tool.input_bytes, tool.output_bytes) == (16, 17)


def test_finds_a_result_in_the_prompt_that_uses_it() -> None:
    research = understood(
        "chat m",
        gen_ai__operation__name="chat",
        gen_ai__input__messages='[{"role": "user", "content": "research alpha"}]',
        gen_ai__output__messages='[{"role": "assistant", "content": "found alpha"}]',
    )
    writer = understood(
        "chat m",
        gen_ai__operation__name="chat",
        gen_ai__system_instructions='[{"type": "text", "content": "Write it up. Notes: found alpha; found beta"}]',
        gen_ai__input__messages='[{"role": "user", "content": "report"}]',
    )
    other = understood(
        "chat m",
        gen_ai__operation__name="chat",
        gen_ai__input__messages='[{"role": "user", "content": "research beta"}]',
    )

    assert shares_content(research.output_fragments, writer.input_fragments) is True
    assert shares_content(research.output_fragments, other.input_fragments) is False


def test_marks_a_model_call_that_may_have_asked_for_tools() -> None:
    def turn(*reasons: str) -> str | None:
        return understood("chat m", gen_ai__operation__name="chat", gen_ai__response__finish_reasons=reasons).turn

    assert turn("tool_calls") == turn() == "c" * 16
    assert turn("stop") is None
