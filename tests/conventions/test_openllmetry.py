import json

import pytest

from otel_wfperf.model import Attributes, OperationKind, TokenUsage
from tests.conventions.spans import understood

SCOPE = "opentelemetry.instrumentation.langchain"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("workflow", OperationKind.WORKFLOW),
        ("task", OperationKind.PHASE),
        ("agent", OperationKind.AGENT),
        ("tool", OperationKind.TOOL),
        ("session", OperationKind.OTHER),
    ],
)
def test_the_kind_decides_although_the_operation_says_agent(written: str, kind: OperationKind) -> None:
    operation = understood(
        "x", traceloop__span__kind=written, traceloop__entity__name="e", gen_ai__operation__name="invoke_agent"
    )

    assert (operation.kind, operation.dialect) == (kind, "openllmetry")


def test_reads_a_workflow() -> None:
    workflow = understood(
        "team.workflow", traceloop__span__kind="workflow", traceloop__entity__name="team", gen_ai__agent__name="team"
    )

    assert (workflow.name, workflow.workflow, workflow.agent) == ("team", "team", None)


def node(entity: str) -> Attributes:
    return {
        "traceloop.span.kind": "task",
        "traceloop.entity.name": entity,
        "traceloop.workflow.name": "team",
        "traceloop.association.properties.langgraph_node": "writer",
        "traceloop.association.properties.langgraph_step": 5,
        "traceloop.association.properties.langgraph_checkpoint_ns": "writer:1",
    }


def called_with(payload: object) -> str | None:
    return understood(
        "load.tool",
        traceloop__span__kind="tool",
        traceloop__entity__name="load",
        traceloop__entity__input=json.dumps(payload),
    ).input_hash


def test_keyword_arguments_of_decorated_functions_tell_calls_apart() -> None:
    rome, oslo = ({"args": [], "kwargs": {"city": city}} for city in ("Rome", "Oslo"))

    assert called_with(rome) != called_with(oslo)
    assert called_with(rome) == called_with(dict(reversed(rome.items())))
    assert called_with({"args": ["Rome"], "kwargs": {}}) != called_with({"args": ["Oslo"], "kwargs": {}})


def test_tells_a_node_from_a_router() -> None:
    phase = understood("execute_task writer", node("writer"))
    router = understood("execute_task route", node("route"))

    assert (phase.kind, phase.name, phase.step, phase.task) == (OperationKind.PHASE, "writer", 5, "writer:1")
    assert (router.kind, router.task) == (OperationKind.OTHER, None)
    assert phase.workflow == "team"


def test_links_of_a_chain_are_no_phases() -> None:
    for entity in ("RunnableSequence", "ChatPromptTemplate", "StrOutputParser"):
        link = understood(f"{entity}.task", traceloop__span__kind="task", traceloop__entity__name=entity)
        assert link.kind is OperationKind.OTHER


def test_reads_a_model_call_in_both_spellings() -> None:
    old = understood(
        "openai.chat",
        {"gen_ai.prompt.0.content": "hello there", "gen_ai.completion.0.content": "hi"},
        traceloop__workflow__name="team",
        llm__request__type="chat",
        gen_ai__request__model="m",
        gen_ai__usage__prompt_tokens=10,
        gen_ai__usage__completion_tokens=2,
    )
    new = understood(
        "ChatOpenAI.chat",
        traceloop__workflow__name="team",
        gen_ai__operation__name="chat",
        gen_ai__request__model="m",
        gen_ai__usage__input_tokens=10,
        gen_ai__usage__output_tokens=2,
        gen_ai__input__messages='[{"role": "user", "parts": [{"type": "text", "content": "hello there"}]}]',
        gen_ai__output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]',
    )

    assert old.kind is new.kind is OperationKind.LLM
    assert old.tokens == new.tokens == TokenUsage(input=10, output=2)
    assert old.input_bytes == new.input_bytes == len("hello there")
    assert old.output_fragments == new.output_fragments


def test_takes_the_content_out_of_its_envelope() -> None:
    def tool(run: str) -> object:
        return understood(
            "execute_tool search",
            traceloop__span__kind="tool",
            traceloop__entity__name="search",
            traceloop__entity__input=json.dumps({"input_str": "x", "metadata": {"run": run}, "inputs": {"q": "alpha"}}),
            traceloop__entity__output=json.dumps({"output": "results", "kwargs": {"id": run}}),
        )

    assert tool("1") == tool("2")


def test_knows_its_own_spans_that_have_only_genai_attributes() -> None:
    run = understood(
        "invoke_agent team", scope=SCOPE, gen_ai__operation__name="invoke_agent", gen_ai__agent__name="team"
    )

    assert (run.dialect, run.kind, run.name) == ("openllmetry", OperationKind.AGENT, "team")
    assert understood("invoke_agent team", scope="other", gen_ai__operation__name="invoke_agent").dialect == "genai"
