from otel_wfperf.conventions import normalize
from otel_wfperf.model import OperationKind, SpanKind
from tests.conventions.spans import span, understood


def test_reads_names_that_nothing_else_bears() -> None:
    agent = understood("invoke_agent triage")

    assert (agent.dialect, agent.kind, agent.name, agent.agent) == (
        "span_names",
        OperationKind.AGENT,
        "triage",
        "triage",
    )
    assert understood("execute_tool search").kind is OperationKind.TOOL
    assert understood("invoke_workflow team").workflow == "team"


def test_chat_needs_to_be_a_client() -> None:
    call = normalize(span("chat gpt-4o", {}, kind=SpanKind.CLIENT))

    assert call is not None
    assert (call.kind, call.model) == (OperationKind.LLM, "gpt-4o")
    assert understood("chat room").kind is OperationKind.OTHER


def test_reads_what_a_client_calls() -> None:
    retrieval = normalize(span("retrieval vector-search", {}, kind=SpanKind.CLIENT))
    embeddings = normalize(span("embeddings e-1", {}, kind=SpanKind.CLIENT))

    assert retrieval is not None
    assert embeddings is not None
    assert (retrieval.kind, retrieval.name) == (OperationKind.RETRIEVAL, "vector-search")
    assert (embeddings.kind, embeddings.model) == (OperationKind.EMBEDDING, "e-1")
    assert understood("retrieval of records").dialect == ""
    assert understood("anthropic.tool_use search").kind is OperationKind.TOOL


def test_leaves_other_names_alone() -> None:
    assert understood("invoke_agent").dialect == ""
    assert understood("execute_toolbox x").dialect == ""
