import json

import pytest

from otel_wfperf.model import Attributes, Event, OperationKind, TokenUsage
from tests.conventions.spans import MS, START_NS, operation_of, span, understood

SCOPE = "opentelemetry.instrumentation.langchain"


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("workflow", OperationKind.WORKFLOW),
        ("task", OperationKind.PHASE),
        ("agent", OperationKind.AGENT),
        ("tool", OperationKind.TOOL),
        ("session", OperationKind.OTHER),
        ("server", OperationKind.OTHER),
        ("handoff", OperationKind.HANDOFF),
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


# Written by opentelemetry-instrumentation-langchain 0.62.4 for an agent of langchain 1.5.2 in a node.
AGENT: Attributes = {
    "gen_ai.operation.name": "execute_task",
    "traceloop.association.properties.langgraph_node": "writing",
    "traceloop.association.properties.lc_agent_name": "writer",
    "traceloop.entity.name": "writer",
    "traceloop.span.kind": "task",
    "traceloop.workflow.name": "team",
}
ECHO: Attributes = {
    "gen_ai.agent.name": "writer",
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.workflow.nodes": ("model",),
    "traceloop.association.properties.langgraph_node": "writing",
}


def test_the_task_of_an_agent_in_a_node_is_the_agent_and_the_span_beside_it_repeats_it() -> None:
    agent = understood("execute_task writer", AGENT, scope=SCOPE)
    echo = understood("invoke_agent writer", ECHO, scope=SCOPE)
    outermost = understood("invoke_agent team", scope=SCOPE, gen_ai__operation__name="invoke_agent")

    assert (agent.kind, agent.name, agent.agent, agent.repeats) == (OperationKind.AGENT, "writer", "writer", False)
    assert (echo.kind, echo.agent, echo.repeats) == (OperationKind.OTHER, None, True)
    assert (outermost.kind, outermost.repeats) == (OperationKind.AGENT, False)


def test_a_task_that_retrieves_is_a_retrieval() -> None:
    retrieval = understood(
        "vector_db_retrieve R",
        scope=SCOPE,
        gen_ai__operation__name="vector_db_retrieve",
        traceloop__entity__name="R",
        traceloop__span__kind="task",
        traceloop__association__properties__langgraph_node="b",
    )

    assert (retrieval.kind, retrieval.name) == (OperationKind.RETRIEVAL, "R")


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "subject"),
    [
        # -crewai: kinds on tasks and agents, none on the crew
        ("crewai.workflow", {"crewai.crew.name": "news"}, OperationKind.WORKFLOW, "news"),
        ("crewai.workflow", {}, OperationKind.WORKFLOW, "crew"),
        ("Write it up.task", {"traceloop.span.kind": "task"}, OperationKind.PHASE, "Write it up"),
        ("Writer.agent", {"traceloop.span.kind": "agent"}, OperationKind.AGENT, "Writer"),
    ],
)
def test_reads_crewai(name: str, attributes: Attributes, kind: OperationKind, subject: str) -> None:
    written: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": "crewai", **attributes}

    operation = understood(name, written, scope="opentelemetry.instrumentation.crewai")

    assert (operation.kind, operation.name, operation.dialect) == (kind, subject, "openllmetry")


def test_a_long_description_is_no_name() -> None:
    task = understood(f"{'word ' * 100}.task", traceloop__span__kind="task")

    assert len(task.name) == 80


def test_reads_mcp() -> None:
    scope = "opentelemetry.instrumentation.mcp"
    tool = understood("search.tool", scope=scope, traceloop__span__kind="tool", traceloop__entity__name="search")
    session = understood("mcp.client.session", scope=scope, traceloop__span__kind="session")
    listing = understood("tools/list.mcp", scope=scope)

    assert (tool.kind, tool.name) == (OperationKind.TOOL, "search")
    assert (session.kind, listing.kind) == (OperationKind.OTHER, OperationKind.OTHER)
    assert listing.dialect == "openllmetry"


def test_reads_handoffs() -> None:
    agents = understood(
        "Triage → Writer.handoff",
        {"gen_ai.handoff.from_agent": "Triage", "gen_ai.handoff.to_agent": "Writer"},
        traceloop__span__kind="handoff",
        gen_ai__operation__name="handoff",
    )
    graph = understood(
        "goto a, b",
        {"langgraph.command.source_node": "route", "langgraph.command.goto_nodes": '["a", "b"]'},
        scope=SCOPE,
        gen_ai__operation__name="goto",
    )

    assert (agents.kind, agents.name, agents.handoff_from) == (OperationKind.HANDOFF, "Writer", "Triage")
    assert (graph.kind, graph.name, graph.handoff_from) == (OperationKind.HANDOFF, "a, b", "route")


def test_the_request_type_is_enough() -> None:
    for written, kind in (("chat", OperationKind.LLM), ("embedding", OperationKind.EMBEDDING), ("rerank", None)):
        call = understood("cohere.x", llm__request__type=written)
        assert (call.kind, call.dialect) == (kind or OperationKind.RETRIEVAL, "openllmetry")


def test_setting_an_agent_up_is_no_run() -> None:
    assert understood("create_agent writer", scope=SCOPE, gen_ai__operation__name="create_agent").setup


def test_the_first_piece_of_a_stream_is_an_event() -> None:
    pieces = tuple(Event(name="gen_ai.content.completion.chunk", time_ns=START_NS + at * MS) for at in (40, 25, 60))
    attributes: Attributes = {"gen_ai.operation.name": "chat", "traceloop.workflow.name": "pipeline"}

    assert operation_of(span("openai.chat", attributes, events=pieces)).time_to_first_token_s == 0.025
