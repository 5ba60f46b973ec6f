"""Attributes as agent-framework-core 1.23.0 wrote them."""

from otel_wfperf.conventions import normalize
from otel_wfperf.model import OperationKind, SpanKind, TokenUsage
from tests.conventions.spans import span, understood

SCOPE = "agent_framework"


def test_a_run_of_a_workflow_is_named_by_its_builder() -> None:
    run = understood(
        "workflow.run",
        scope=SCOPE,
        workflow__id="9fceec23-5653-4954-b03c-69f22ca68856",
        workflow__name="research",
        gen_ai__conversation__id="session-1",
    )

    assert (run.kind, run.name, run.workflow, run.dialect) == (
        OperationKind.WORKFLOW,
        "research",
        "research",
        "agent_framework",
    )
    assert run.conversation == "session-1"


def test_a_workflow_without_a_name_is_not_named_by_its_id() -> None:
    run = understood("workflow.run", scope=SCOPE, workflow__id="9fceec23-5653-4954-b03c-69f22ca68856")

    assert run.name == "workflow"


def test_an_executor_is_a_phase() -> None:
    phase = understood(
        "executor.process res_a",
        scope=SCOPE,
        executor__id="res_a",
        executor__type="AgentExecutor",
        message__type="MessageType.STANDARD",
        message__payload_type="WorkflowMessage",
    )

    assert (phase.kind, phase.name, phase.step, phase.depends_on) == (OperationKind.PHASE, "res_a", None, None)


def test_what_our_integration_adds_to_an_executor_is_read() -> None:
    phase = understood(
        "executor.process join",
        scope=SCOPE,
        executor__id="join",
        wfperf__phase__index=3,
        wfperf__parallel__group="step 3",
        wfperf__phase__depends_on=("res_a", "res_b"),
        wfperf__input__bytes=94,
    )

    assert (phase.step, phase.parallel_group, phase.depends_on) == (3, "step 3", ("res_a", "res_b"))
    assert phase.input_bytes == 94


def test_steps_of_a_message_are_messages_whatever_their_span_kind() -> None:
    sent = normalize(span("message.send", {"message.type": "str"}, scope=SCOPE, kind=SpanKind.PRODUCER))
    routed = understood(
        "edge_group.process FanInEdgeGroup",
        scope=SCOPE,
        edge_group__type="FanInEdgeGroup",
        message__source_id="res_a",
        edge_group__delivered=True,
        edge_group__delivery_status="buffered",
    )

    assert sent is not None
    assert (sent.kind, sent.name, sent.span_kind) == (OperationKind.OTHER, "message.send str", SpanKind.PRODUCER)
    assert (routed.kind, routed.span_kind) == (OperationKind.OTHER, SpanKind.CONSUMER)


def test_building_a_workflow_is_no_run() -> None:
    built = understood("workflow.build", scope=SCOPE, workflow_builder__name="research", workflow__definition="{}")

    assert (built.kind, built.setup) == (OperationKind.OTHER, True)


def test_a_model_call_has_tokens_under_the_names_of_its_release() -> None:
    call = understood(
        "chat scripted",
        scope=SCOPE,
        gen_ai__operation__name="chat",
        server__address="Unknown",
        gen_ai__request__model="scripted",
        gen_ai__provider__name="scripted",
        gen_ai__response__id="r1",
        gen_ai__response__finish_reasons='["tool_calls"]',
        gen_ai__usage__input_tokens=10,
        gen_ai__usage__output_tokens=5,
        gen_ai__usage__cache_creation__input_tokens=3,
        gen_ai__usage__cache_read__input_tokens=4,
        gen_ai__usage__reasoning__output_tokens=2,
        wfperf__context__messages=2,
    )

    assert (call.kind, call.model, call.turn, call.requested) == (OperationKind.LLM, "scripted", "c" * 16, True)
    assert call.tokens == TokenUsage(input=10, output=5, cache_read=4, cache_write=3, reasoning=2)
    assert call.context is not None
    assert call.context.messages == 2


def test_an_unknown_model_is_the_one_that_answered() -> None:
    call = understood(
        "chat unknown",
        scope=SCOPE,
        gen_ai__operation__name="chat",
        gen_ai__request__model="unknown",
        gen_ai__response__model="m-1",
    )

    assert (call.name, call.model) == ("m-1", "m-1")


def test_a_tool_that_no_model_asked_for_was_not_requested() -> None:
    def tool(call_id: str) -> bool:
        return understood(
            "execute_tool search",
            scope=SCOPE,
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="search",
            gen_ai__tool__call__id=call_id,
            gen_ai__tool__type="function",
        ).requested

    assert tool("c1")
    assert not tool("unknown")


def test_a_tool_belongs_to_the_turn_that_our_integration_names() -> None:
    tool = understood(
        "execute_tool search", scope=SCOPE, gen_ai__operation__name="execute_tool", wfperf__turn__id="50af3919558ba537"
    )

    assert tool.turn == "50af3919558ba537"


def test_an_agent_without_a_name_is_not_named_by_its_id() -> None:
    agent = understood(
        "invoke_agent a5920f82-d164-4615-9ffc-c83e048f1ae8",
        scope=SCOPE,
        gen_ai__operation__name="invoke_agent",
        gen_ai__agent__name="a5920f82-d164-4615-9ffc-c83e048f1ae8",
        gen_ai__agent__id="a5920f82-d164-4615-9ffc-c83e048f1ae8",
    )

    assert (agent.kind, agent.name, agent.agent) == (OperationKind.AGENT, "agent", "agent")


def test_calls_of_mcp_are_read_as_such() -> None:
    call = understood("tools/call search", scope=SCOPE, mcp__method__name="tools/call", gen_ai__tool__name="search")

    assert (call.kind, call.name, call.dialect) == (OperationKind.TOOL, "search", "mcp")


def test_values_of_the_wrong_type_are_absent() -> None:
    phase = understood("executor.process", scope=SCOPE, executor__id=3, wfperf__phase__index="x")

    assert (phase.kind, phase.name, phase.step) == (OperationKind.PHASE, "executor.process", None)
