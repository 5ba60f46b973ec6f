import json
from typing import Any

from otel_wfperf.conventions import normalize
from otel_wfperf.model import Operation, OperationKind, TokenUsage
from tests.conventions.spans import span


def operation(name: str, **attributes: Any) -> Operation:
    written = {
        f"haystack.{key.replace('__', '.')}": value if isinstance(value, str | bool | int) else json.dumps(value)
        for key, value in attributes.items()
    }
    found = normalize(span(name, written))
    assert found is not None
    assert found.dialect == "haystack"
    return found


REPLY = {
    "replies": [
        {
            "role": "assistant",
            "content": [{"text": "hi"}],
            "meta": {
                "model": "m-1",
                "usage": {
                    "prompt_tokens": 12,
                    "completion_tokens": 3,
                    "prompt_tokens_details": {"cached_tokens": 4},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
            },
        }
    ]
}


def test_a_pipeline_is_a_workflow_with_the_name_in_its_metadata() -> None:
    found = operation("haystack.pipeline.run", pipeline__metadata={"name": "faq"}, pipeline__execution_mode="sync")
    assert (found.kind, found.name, found.workflow) == (OperationKind.WORKFLOW, "faq", "faq")

    assert operation("haystack.pipeline.run", pipeline__metadata={}).name == "pipeline"


def test_a_component_is_a_phase_after_what_is_connected_before_it() -> None:
    spec = {"left": {"type": "str", "senders": ["b"]}, "right": {"type": "str", "senders": ["a", "b"]}}
    found = operation(
        "haystack.component.run", component__name="join", component__type="Join", component__input_spec=spec
    )

    assert (found.kind, found.name, found.depends_on) == (OperationKind.PHASE, "join", ("a", "b"))


def test_a_component_that_searches_or_asks_a_model_is_that() -> None:
    search = operation("haystack.component.run", component__name="facts", component__type="InMemoryBM25Retriever")
    assert (search.kind, search.name) == (OperationKind.RETRIEVAL, "facts")

    asked = operation(
        "haystack.component.run", component__name="llm", component__type="OpenAIChatGenerator", component__output=REPLY
    )
    assert (asked.kind, asked.name, asked.model) == (OperationKind.LLM, "m-1", "m-1")
    assert asked.tokens == TokenUsage(input=12, output=3, cache_read=4, reasoning=1)


def test_a_component_that_generates_something_else_is_a_phase() -> None:
    spec = {"text": {"type": "str", "receivers": []}}
    report = operation(
        "haystack.component.run", component__name="r", component__type="ReportGenerator", component__output_spec=spec
    )
    assert (report.kind, report.name) == (OperationKind.PHASE, "r")

    spec = {"replies": {"type": "list", "receivers": []}}
    model = operation("haystack.component.run", component__type="MyGenerator", component__output_spec=spec)
    assert model.kind is OperationKind.LLM


def test_agents_their_model_calls_and_tools_are_told_apart() -> None:
    assert operation("haystack.agent.run", agent__max_steps=3).kind is OperationKind.AGENT
    assert operation("haystack.agent.step", agent__step=1).kind is OperationKind.OTHER
    model = operation("haystack.agent.step.llm", agent__step__llm__output=REPLY)
    assert (model.kind, model.name) == (OperationKind.LLM, "m-1")
    tool = operation("haystack.agent.step.tool", tool__name="search", tool__error=True)
    assert (tool.kind, tool.name, tool.error) == (OperationKind.TOOL, "search", "tool_error")


def test_the_confirmation_of_a_person_is_a_wait() -> None:
    found = operation("haystack.agent.hook.human_in_the_loop.strategy", tool__name="pay")

    assert (found.kind, found.name, found.wait_kind) == (OperationKind.WAIT, "pay", "human")


def test_what_cannot_be_read_is_absent() -> None:
    found = operation("haystack.component.run", component__input_spec="[", component__output="not json")

    assert (found.name, found.depends_on, found.tokens) == ("haystack.component.run", None, None)
