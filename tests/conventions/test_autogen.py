"""Attributes as autogen-core 0.7.5 wrote them."""

from otel_wfperf.conventions import normalize
from otel_wfperf.model import OperationKind, SpanKind
from tests.conventions.spans import span, understood

TEAM = "4f0bf589-d8c4-47c2-9769-8acfff30dfb7"
RUNTIME = "autogen SingleThreadedAgentRuntime"


def test_a_turn_of_an_agent_names_its_team() -> None:
    agent = understood(
        "invoke_agent planner",
        scope="autogen-core",
        gen_ai__operation__name="invoke_agent",
        gen_ai__system="autogen",
        gen_ai__agent__name="planner",
        gen_ai__agent__id=f"planner_{TEAM}/{TEAM}",
        gen_ai__agent__description="An agent that provides assistance with ability to use tools.",
    )

    assert (agent.kind, agent.name, agent.agent, agent.dialect) == (
        OperationKind.AGENT,
        "planner",
        "planner",
        "autogen",
    )
    assert agent.conversation == TEAM


def test_an_agent_without_a_team_has_no_conversation() -> None:
    agent = understood(
        "invoke_agent planner",
        scope="autogen-core",
        gen_ai__operation__name="invoke_agent",
        gen_ai__agent__name="planner",
    )

    assert agent.conversation is None


def test_a_tool_keeps_the_id_of_its_call() -> None:
    tool = understood(
        "execute_tool web_search",
        scope="autogen-core",
        gen_ai__operation__name="execute_tool",
        gen_ai__system="autogen",
        gen_ai__tool__name="web_search",
        gen_ai__tool__description="s",
        gen_ai__tool__call__id="call_190",
    )

    assert (tool.kind, tool.name, tool.requested) == (OperationKind.TOOL, "web_search", True)


def test_making_an_agent_is_no_work() -> None:
    made = understood(
        "create_agent planner",
        scope="autogen-core",
        gen_ai__operation__name="create_agent",
        gen_ai__system="autogen",
        gen_ai__agent__name="planner",
    )

    assert (made.kind, made.setup) == (OperationKind.OTHER, True)


def test_a_step_of_a_message_is_named_without_ids() -> None:
    step = understood(
        f"autogen process planner_{TEAM}.({TEAM})-A",
        scope=RUNTIME,
        messaging__operation="process",
        messaging__destination=f"planner_{TEAM}.({TEAM})-A",
        sender_agent_type=f"GraphManager_{TEAM}",
        sender_agent_class="GraphFlowManager",
        recipient_agent_type=f"planner_{TEAM}",
        recipient_agent_class="ChatAgentContainer",
        message_context='{"sender": "None"}',
        message="{}",
    )

    assert (step.kind, step.name, step.dialect) == (OperationKind.OTHER, "process planner", "autogen")
    assert (step.conversation, step.workflow) == (TEAM, "GraphFlow")


def test_a_step_to_a_topic_is_named_after_it() -> None:
    step = understood(
        f"autogen publish output_topic_{TEAM}.({TEAM})-T",
        scope=RUNTIME,
        messaging__operation="publish",
        messaging__destination=f"output_topic_{TEAM}.({TEAM})-T",
    )

    assert (step.name, step.conversation, step.workflow) == ("publish output_topic", TEAM, None)


def test_a_step_without_a_destination_is_found_by_its_sender() -> None:
    step = understood(
        "autogen ack ",
        scope=RUNTIME,
        messaging__operation="receive",
        messaging__destination="",
        sender_agent_type=f"GraphManager_{TEAM}",
        sender_agent_class="GraphFlowManager",
    )

    assert (step.name, step.conversation, step.workflow) == ("ack", TEAM, "GraphFlow")


def test_agents_of_core_have_names_of_their_own() -> None:
    step = understood(
        "autogen send asker.(default)-A",
        scope=RUNTIME,
        messaging__operation="publish",
        messaging__destination="asker.(default)-A",
    )

    assert (step.name, step.conversation) == ("send asker", None)


def test_other_messaging_is_left_to_others() -> None:
    step = understood("publish jobs", messaging__operation="publish", messaging__destination="jobs")

    assert step.dialect == ""


def test_values_of_the_wrong_type_are_absent() -> None:
    written = span(
        "autogen ", {"messaging.destination": 3, "sender_agent_class": 4}, scope=RUNTIME, kind=SpanKind.PRODUCER
    )
    step = normalize(written)

    assert step is not None
    assert (step.kind, step.name, step.conversation) == (OperationKind.OTHER, "", None)
