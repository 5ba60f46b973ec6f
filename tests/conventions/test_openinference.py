import json

import pytest

from otel_wfperf.model import Attributes, Event, OperationKind, TokenUsage
from tests.conventions.spans import MS, START_NS, operation_of, span, understood

NODE = json.dumps(
    {"langgraph_node": "writer", "langgraph_step": 3, "langgraph_checkpoint_ns": "writer:1", "thread_id": "t"}
)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("AGENT", OperationKind.AGENT),
        ("TOOL", OperationKind.TOOL),
        ("LLM", OperationKind.LLM),
        ("llm", OperationKind.LLM),
        ("RETRIEVER", OperationKind.RETRIEVAL),
        ("RERANKER", OperationKind.RETRIEVAL),
        ("EMBEDDING", OperationKind.EMBEDDING),
        ("GUARDRAIL", OperationKind.OTHER),
        ("UNKNOWN", OperationKind.OTHER),
    ],
)
def test_maps_the_kind(written: str, kind: OperationKind) -> None:
    assert understood("x", openinference__span__kind=written).kind is kind


def test_a_chain_of_the_nodes_name_is_a_phase() -> None:
    phase = understood("writer", openinference__span__kind="CHAIN", metadata=NODE)

    assert (phase.kind, phase.name, phase.step, phase.task) == (OperationKind.PHASE, "writer", 3, "writer:1")
    assert phase.conversation == "t"


def test_a_node_that_looks_like_an_agent_is_still_a_phase() -> None:
    metadata = '{"langgraph_node": "agent", "langgraph_step": 1}'

    assert understood("agent", openinference__span__kind="AGENT", metadata=metadata).kind is OperationKind.PHASE


def test_a_chain_of_another_name_in_a_node_is_a_router() -> None:
    assert understood("route", openinference__span__kind="CHAIN", metadata=NODE).kind is OperationKind.OTHER


def test_a_chain_outside_a_graph_is_left_for_the_assembler_to_judge() -> None:
    chain = understood("team", openinference__span__kind="CHAIN", parent_id=None)

    assert (chain.kind, chain.workflow) == (OperationKind.WORKFLOW, None)


def test_reads_a_model_call() -> None:
    call = understood(
        "ChatOpenAI",
        openinference__span__kind="LLM",
        metadata=NODE,
        llm__model_name="gpt-4o",
        llm__token_count__prompt=100,
        llm__token_count__completion=20,
        llm__token_count__prompt_details__cache_read=40,
        llm__invocation_parameters='{"temperature": 0}',
        llm__finish_reason="stop",
    )

    assert (call.name, call.model, call.temperature, call.turn) == ("gpt-4o", "gpt-4o", 0.0, None)
    assert call.tokens == TokenUsage(input=100, output=20, cache_read=40)
    assert (call.step, call.task) == (3, None)


def test_takes_messages_rather_than_the_generation_that_wraps_them() -> None:
    def call(generation: str) -> object:
        return understood(
            "ChatOpenAI",
            {
                "llm.input_messages.10.message.content": "second",
                "llm.input_messages.2.message.content": "first",
                "llm.input_messages.2.message.role": "user",
                "llm.output_messages.0.message.content": "plan",
            },
            openinference__span__kind="LLM",
            output__value=json.dumps({"generations": [[{"text": "plan", "generation_info": {"id": generation}}]]}),
        )

    assert call("1") == call("2")


def test_reads_langchains_state_update() -> None:
    message = {"type": "ai", "data": {"content": "a plan", "id": "run-1", "response_metadata": {"token_usage": 3}}}
    again = {"type": "ai", "data": {"content": "a plan", "id": "run-2", "response_metadata": {"token_usage": 4}}}

    first = understood("writer", openinference__span__kind="CHAIN", output__value=json.dumps({"messages": [message]}))
    second = understood("writer", openinference__span__kind="CHAIN", output__value=json.dumps({"messages": [again]}))

    assert first.output_hash == second.output_hash
    assert first.output_bytes == len("a plan")


def test_reads_crewai() -> None:
    crew = understood("research_crew.kickoff", openinference__span__kind="CHAIN", crew_id="1", parent_id=None)
    agent = understood(
        "Writer.write._execute_core",
        openinference__span__kind="AGENT",
        graph__node__id="Writer",
        crew_id="1",
        input__value=json.dumps({"agent": {"role": "Writer", "id": "random"}, "context": "what A found", "tools": []}),
        output__value=json.dumps({"description": "write", "raw": "report", "agent": "Writer"}),
    )

    assert crew.name == "research_crew"
    assert (agent.kind, agent.name, agent.agent) == (OperationKind.AGENT, "Writer", "Writer")
    assert (agent.input_bytes, agent.output_bytes) == (len("Writerwhat A found"), len("report"))


def test_an_agent_without_a_name_names_none() -> None:
    assert understood("my trace", openinference__span__kind="AGENT").agent is None


def test_a_tool_is_named_by_its_attribute() -> None:
    assert understood("web_search.run", openinference__span__kind="TOOL", tool__name="web_search").name == "web_search"


def test_links_that_langchain_puts_into_a_chain_are_no_steps_of_it() -> None:
    for name in ("RunnableSequence", "ChatPromptTemplate", "StrOutputParser"):
        assert understood(name, openinference__span__kind="CHAIN").kind is OperationKind.OTHER
    assert understood("RunnableSequence", openinference__span__kind="CHAIN", parent_id=None).kind is (
        OperationKind.WORKFLOW
    )


def test_the_run_of_an_agent_in_a_node_is_the_agent() -> None:
    metadata = '{"langgraph_node": "writing", "langgraph_step": 2, "lc_agent_name": "writer"}'

    agent = understood("writer", openinference__span__kind="CHAIN", metadata=metadata)
    node = understood("writing", openinference__span__kind="CHAIN", metadata='{"langgraph_node": "writing"}')

    assert (agent.kind, agent.name, agent.agent) == (OperationKind.AGENT, "writer", "writer")
    assert node.kind is OperationKind.PHASE


# Names and attributes as the instrumentations named in openinference.py wrote them.
@pytest.mark.parametrize(
    ("name", "kind", "attributes", "agent"),
    [
        ("boss.run", "AGENT", {}, "boss"),  # smolagents
        ("planner.on_messages_stream", "AGENT", {"graph.node.id": "planner"}, "planner"),  # autogen-agentchat
        ("agent_run [researcher]", "AGENT", {"agent.name": "researcher"}, "researcher"),  # google-adk
        ("Writer.write.execute", "AGENT", {"graph.node.id": "Writer"}, "Writer"),  # crewai
        ("invoke_agent x", "AGENT", {"graph.node.id": "agent_1", "graph.node.name": "x"}, "x"),  # agent-framework
        ("invoke_agent x", "AGENT", {"graph.node.id": "strands_agent", "gen_ai.agent.name": "x"}, "x"),  # strands
        ("Team.arun", "AGENT", {"graph.node.id": "0123456789abcdef"}, "Team"),  # agno
    ],
)
def test_names_the_agent_in_the_way_of_each_framework(name: str, kind: str, attributes: Attributes, agent: str) -> None:
    operation = understood(name, {"openinference.span.kind": kind, **attributes})

    assert (operation.kind, operation.name, operation.agent) == (OperationKind.AGENT, agent, agent)


@pytest.mark.parametrize(
    ("name", "workflow"),
    [
        ("research_crew.kickoff", "research_crew"),  # crewai
        ("RoundRobinGroupChat.run_stream", "RoundRobinGroupChat"),  # autogen-agentchat
        ("invocation [my_app]", "my_app"),  # google-adk
        ("Pipeline.run_async", "Pipeline"),  # haystack
        ("main.<locals>.Flow.run", "Flow"),  # llama-index
        ("news.execute_stream", "news"),  # agno
        (".run", ".run"),
    ],
)
def test_names_a_run_without_the_method_that_was_patched(name: str, workflow: str) -> None:
    run = understood(name, openinference__span__kind="CHAIN", parent_id=None)

    assert (run.kind, run.name, run.workflow) == (OperationKind.WORKFLOW, workflow, None)


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "subject"),
    [
        ("invoke_workflow team", {"gen_ai.operation.name": "invoke_workflow"}, OperationKind.WORKFLOW, "team"),
        ("invoke_node draft", {"gen_ai.operation.name": "invoke_node"}, OperationKind.PHASE, "draft"),
        ("compact_events sliding", {}, OperationKind.CONTEXT, "compact"),
        (
            "workflow.run",
            {"workflow.id": "1", "workflow.name": "flow", "graph.node.id": "workflow_1"},
            OperationKind.WORKFLOW,
            "flow",
        ),
        ("executor.process first", {"executor.id": "first", "executor.type": "A"}, OperationKind.PHASE, "first"),
        ("edge_group.process SingleEdgeGroup", {}, OperationKind.OTHER, "edge_group.process SingleEdgeGroup"),
        ("message.send", {"graph.node.id": "chain_1"}, OperationKind.OTHER, "message.send"),
        (
            "execute_event_loop_cycle",
            {"event_loop.cycle_id": "1", "graph.node.id": "cycle_1", "gen_ai.operation.name": "x"},
            OperationKind.OTHER,
            "execute_event_loop_cycle",
        ),
        ("Flow.begin", {"flow.node.name": "begin"}, OperationKind.PHASE, "Flow.begin"),
        ("Step 3", {}, OperationKind.OTHER, "Step"),
    ],
)
def test_reads_what_the_framework_itself_says_of_a_chain(
    name: str, attributes: Attributes, kind: OperationKind, subject: str
) -> None:
    operation = understood(name, {"openinference.span.kind": "CHAIN", **attributes})

    assert (operation.kind, operation.name) == (kind, subject)
    assert operation.workflow == (subject if kind is OperationKind.WORKFLOW else None)


def test_building_a_workflow_is_no_run() -> None:
    assert understood("workflow.build", openinference__span__kind="CHAIN").setup


def test_a_tool_that_hands_over_is_a_handoff() -> None:
    handoff = understood("handoff to Writer", openinference__span__kind="TOOL")

    assert (handoff.kind, handoff.name) == (OperationKind.HANDOFF, "Writer")


def test_the_total_of_an_agent_is_kept_for_the_assembler_to_judge() -> None:
    total = {"llm.token_count.prompt": 30, "llm.token_count.completion": 15}

    assert understood("boss.run", total, openinference__span__kind="AGENT").tokens == TokenUsage(input=30, output=15)
    assert understood("Step 1", total, openinference__span__kind="CHAIN").tokens is None


def test_a_call_that_kept_only_the_frameworks_own_usage_has_it() -> None:
    usage: Attributes = {"gen_ai.usage.input_tokens": 39, "gen_ai.usage.output_tokens": 6}

    native = understood("call_llm", {**usage, "gen_ai.system": "gcp.vertex.agent"}, openinference__span__kind="LLM")

    assert native.tokens == TokenUsage(input=39, output=6)


def test_the_first_token_is_an_event() -> None:
    event = Event(name="First Token Stream Event", time_ns=START_NS + 20 * MS)

    call = operation_of(span("ChatCompletion", {"openinference.span.kind": "LLM"}, events=(event,)))

    assert call.time_to_first_token_s == 0.02
