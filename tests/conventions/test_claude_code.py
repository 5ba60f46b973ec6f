import pytest

from otel_wfperf.model import Attributes, Operation, OperationKind, TokenUsage
from tests.conventions.spans import understood

# Names and attributes as the documentation lists them; values made up.
REQUEST: Attributes = {
    "span.type": "claude_code.llm_request",
    "session.id": "s-1",
    "model": "claude-x",
    "gen_ai.request.model": "claude-x",
    "input_tokens": 10,
    "output_tokens": 7,
    "cache_read_tokens": 500,
    "cache_creation_tokens": 40,
    "ttft_ms": 250,
    "attempt": 2,
    "success": True,
    "response.has_tool_call": True,
}


def tool(**attributes: str | bool) -> Operation:
    return understood("claude_code.tool", {"span.type": "tool", "tool_name": "Bash", **attributes})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("interaction", OperationKind.AGENT),
        ("llm_request", OperationKind.LLM),
        ("tool", OperationKind.TOOL),
        ("tool.execution", OperationKind.OTHER),
        ("tool.blocked_on_user", OperationKind.WAIT),
        ("hook", OperationKind.OTHER),
        ("something_new", OperationKind.OTHER),
    ],
)
def test_maps_the_name_whatever_prefix_the_type_has(name: str, kind: OperationKind) -> None:
    for span_type in (name, f"claude_code.{name}"):
        operation = understood(f"claude_code.{name}", {"span.type": span_type})
        assert (operation.kind, operation.dialect) == (kind, "claude_code")
    assert understood("renamed", {"span.type": f"claude_code.{name}"}).kind is kind


def test_a_span_type_of_somebody_else_is_not_claude_codes() -> None:
    assert understood("x", {"span.type": "web"}).dialect == ""


def test_adds_what_was_cached_to_the_input() -> None:
    call = understood("claude_code.llm_request", REQUEST)

    assert call.tokens == TokenUsage(input=550, output=7, cache_read=500, cache_write=40)
    assert (call.name, call.model, call.conversation) == ("claude-x", "claude-x", "s-1")
    assert (call.attempt, call.time_to_first_token_s) == (2, 0.25)
    assert (call.turn, call.requested) == ("c" * 16, True)


def test_a_call_that_asked_for_no_tool_is_no_turn() -> None:
    assert understood("claude_code.llm_request", {**REQUEST, "response.has_tool_call": False}).turn is None
    reasoned = {name: value for name, value in REQUEST.items() if name != "response.has_tool_call"}
    assert understood("claude_code.llm_request", {**reasoned, "stop_reason": "end_turn"}).turn is None
    assert understood("claude_code.llm_request", {**reasoned, "stop_reason": "tool_use"}).turn == "c" * 16


def test_waiting_for_a_permission_is_a_wait_for_a_person() -> None:
    wait = understood("claude_code.tool.blocked_on_user", {"decision": "accept", "source": "user_temporary"})

    assert (wait.kind, wait.name, wait.wait_kind) == (OperationKind.WAIT, "permission", "human")


def test_a_tool_is_named_and_was_asked_for() -> None:
    called = tool(tool_use_id="toolu_1", full_command="ls")

    assert (called.name, called.requested, called.input_bytes) == ("Bash", True, 2)


def test_content_that_was_taken_out_is_no_content() -> None:
    assert tool(tool_input="<REDACTED>").input_hash is None


def test_a_tool_that_runs_a_sub_agent_is_that_agent() -> None:
    named = tool(tool_name="Agent", subagent_type="Explore")
    unnamed = tool(tool_name="Task")

    assert (named.kind, named.name, named.agent) == (OperationKind.AGENT, "Explore", "Explore")
    assert (unnamed.kind, unnamed.name) == (OperationKind.AGENT, "Task")


def test_a_request_of_a_sub_agent_is_its_own() -> None:
    asked = understood(
        "claude_code.llm_request", {**REQUEST, "agent_id": "a1", "query_source": "agent:builtin:Explore"}
    )
    main = understood("claude_code.llm_request", {**REQUEST, "query_source": "repl_main_thread"})

    assert (asked.agent, main.agent) == ("Explore", None)


def test_no_success_is_an_error() -> None:
    failed = understood("claude_code.llm_request", {**REQUEST, "success": False, "status_code": 529})
    said = understood("claude_code.tool.execution", {"success": False, "error": "exit 1\nmore"})

    assert (failed.error, said.error) == ("529", "error")
