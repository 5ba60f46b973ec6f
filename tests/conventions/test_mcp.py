from otel_wfperf.model import Attributes, OperationKind
from tests.conventions.spans import understood

# Written by the SDK, mcp 2.
SERVER: Attributes = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "add",
    "jsonrpc.request.id": "3",
    "mcp.method.name": "tools/call",
    "mcp.protocol.version": "2026-07-28",
}


def test_calling_a_tool_is_a_tool_call_on_both_sides() -> None:
    server = understood("tools/call add", SERVER)
    client = understood("MCP send tools/call add", {"mcp.method.name": "tools/call", "jsonrpc.request.id": "3"})

    for call in (server, client):
        assert (call.kind, call.name, call.dialect) == (OperationKind.TOOL, "add", "mcp")


def test_other_methods_are_no_work_of_the_workflow() -> None:
    listing = understood("tools/list", {"mcp.method.name": "tools/list"})
    prompt = understood("prompts/get greet", {"mcp.method.name": "prompts/get", "gen_ai.prompt.name": "greet"})

    assert (listing.kind, listing.name) == (OperationKind.OTHER, "mcp tools/list")
    assert (prompt.kind, prompt.name) == (OperationKind.OTHER, "mcp prompts/get greet")


def test_a_tool_call_without_a_name_is_still_one() -> None:
    assert understood("tools/call", {"mcp.method.name": "tools/call"}).kind is OperationKind.TOOL
    assert understood("x", {"mcp.method.name": 7}).kind is OperationKind.OTHER
