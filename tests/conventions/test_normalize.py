from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_wfperf import semconv
from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import CONVENTIONS, Convention, normalize
from otel_wfperf.model import AttributeValue, Event, OperationKind, SpanKind, StatusCode
from tests.conventions.spans import span, understood

# Every attribute that a dialect reads, found by looking at what it asks for.
NAMES = sorted(
    {
        *(value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)),
        *("openinference.span.kind", "traceloop.span.kind", "traceloop.entity.name", "traceloop.workflow.name"),
        *("traceloop.entity.input", "traceloop.entity.output", "input.value", "output.value", "metadata"),
        *("llm.model_name", "llm.token_count.prompt", "llm.token_count.completion", "llm.invocation_parameters"),
        *("llm.input_messages.0.message.content", "llm.input_messages.x.message.content", "llm.input_messages."),
        *("gen_ai.prompt.0.content", "gen_ai.completion.0.content", "gen_ai.input.messages", "gen_ai.output.messages"),
        *("gen_ai.system_instructions", "gen_ai.tool.call.arguments", "gen_ai.response.finish_reasons"),
        *("gen_ai.usage.prompt_tokens", "gen_ai.aggregated_usage.input_tokens", "llm.request.type", "crew_id"),
        *("traceloop.association.properties.langgraph_node", "traceloop.association.properties.langgraph_step"),
        *("graph.node.id", "agent.name", "tool.name", "session.id", "logfire.span_type", "llm.finish_reason"),
        *("langsmith.span.kind", "langfuse.observation.type", "mlflow.spanType", "mcp.method.name", "span.type"),
    }
)
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["chat", "invoke_agent", "invoke_workflow", "CHAIN", "LLM", "AGENT", "TOOL", "workflow", "task", "{}"]
    ),
    st.sampled_from(['{"messages": [{"role": "user"}]}', '{"inputs": 3}', '[[{"type": "ai", "data": 1}]]', "[" * 2000]),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=5), TEXTS)
VALUES: st.SearchStrategy[AttributeValue] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    attributes=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12),
    resource=st.dictionaries(st.sampled_from(["service.name", "host.name", "process.pid"]), VALUES, max_size=3),
    event=st.dictionaries(st.sampled_from(["exception.type", "exception.message"]), VALUES, max_size=2),
    status=st.sampled_from(StatusCode),
    name=st.text(max_size=10),
)
def test_survives_every_attribute_value(
    attributes: Mapping[str, AttributeValue],
    resource: Mapping[str, AttributeValue],
    event: Mapping[str, AttributeValue],
    status: StatusCode,
    name: str,
) -> None:
    events = (Event(name="exception", time_ns=1, attributes=event),)

    operation = normalize(span(name, attributes, resource=resource, status=status, events=events))

    if operation is not None:
        assert isinstance(operation.name, str)
        assert operation.agent is None or isinstance(operation.agent, str)
        assert operation.tokens is None or (operation.tokens.input >= 0 and operation.tokens.output >= 0)
        assert operation.step is None or operation.step >= 0
        assert all(0 <= each < 2**63 for each in operation.output_fragments) or semconv.OUTPUT_FRAGMENTS in attributes


class Everything(Mapping[str, AttributeValue]):
    """Has every attribute that is asked for; which of some values it has depends on the name alone."""

    def __init__(self, values: Sequence[AttributeValue], seed: int) -> None:
        self._values = values
        self._seed = seed

    def __getitem__(self, name: str) -> AttributeValue:
        return self._values[(crc32(name.encode()) ^ self._seed) % len(self._values)]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


WORDS = (
    *("chat", "invoke_agent", "invoke_node", "goto", "CHAIN", "LLM", "AGENT", "TOOL", "chain", "llm", "tool"),
    *("workflow", "task", "generation", "span", '"CHAIN"', '"CHAT_MODEL"', "tools/call", "ERROR", "log", "stop"),
    *("0", "12", '"x"', "select * from t", "http://[", '{"input": 1, "total": []}', '["a", 1]', "{'a': 1}"),
)
SPAN_NAMES = ("claude_code.tool", "claude_code.llm_request", "Step 1", "invocation [x]", "run graph g", "a.run", "x")
EVENTS = ("exception", "new_token", "First Token Stream Event")
SCOPES = ("", "logfire", "logfire.openai_agents", "logfire.openai", "pydantic-graph", "mlflow.x", "autogen x")


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    values=st.lists(st.one_of(VALUES, st.sampled_from(WORDS)), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
    names=st.tuples(st.sampled_from(SPAN_NAMES), st.sampled_from(SCOPES), st.sampled_from(EVENTS)),
    kind=st.sampled_from(SpanKind),
)
def test_every_convention_survives_whatever_is_in_the_attributes_that_it_asks_for(
    values: Sequence[AttributeValue], seed: int, names: tuple[str, str, str], kind: SpanKind
) -> None:
    name, scope, event = names
    attributes = Everything(values, seed)
    events = (Event(name=event, time_ns=1, attributes=attributes),)
    written = span(name, attributes, scope=scope, kind=kind, status=StatusCode.ERROR, events=events)

    for convention in CONVENTIONS:
        convention.recognises(written)
        operation = convention.operation(written)
        assert isinstance(operation.name, str)
        assert operation.agent is None or isinstance(operation.agent, str)


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.name or "generic")
def test_every_convention_writes_its_name_on_what_it_reads(convention: Convention) -> None:
    assert convention.operation(span("s", {})).dialect == convention.name


def test_names_are_unique_and_the_fallback_is_last() -> None:
    names = [convention.name for convention in CONVENTIONS]

    assert len(set(names)) == len(names)
    assert names[-1] == ""


def test_our_kind_comes_before_a_vendors_and_a_vendors_before_the_operation() -> None:
    both = understood(
        "x",
        wfperf__span__kind="phase",
        traceloop__span__kind="task",
        openinference__span__kind="CHAIN",
        gen_ai__operation__name="invoke_agent",
    )
    vendors = understood("x", traceloop__span__kind="task", gen_ai__operation__name="invoke_agent")
    arize = understood("x", openinference__span__kind="TOOL", gen_ai__operation__name="invoke_agent")

    assert (both.dialect, both.kind) == ("wfperf", OperationKind.PHASE)
    assert (vendors.dialect, vendors.kind) == ("openllmetry", OperationKind.PHASE)
    assert (arize.dialect, arize.kind) == ("openinference", OperationKind.TOOL)


def test_what_a_framework_wrote_comes_before_what_a_vendor_puts_on_it() -> None:
    relabelled = {"openinference.span.kind": "AGENT", "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}

    assert understood("invoke_agent a", relabelled, scope="strands.telemetry.tracer").dialect == "strands"
    assert understood("invoke_agent a", relabelled, scope="other").dialect == "openinference"


def test_leaves_out_our_own_annotations() -> None:
    assert normalize(span("finding", {}, scope=semconv.ANNOTATION_SCOPE)) is None


PLACEHOLDER = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": "0" * 16}


def test_a_placeholder_is_the_span_that_has_started() -> None:
    placeholder = {**PLACEHOLDER, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}

    root = normalize(span("invoke_agent a", placeholder))
    below = normalize(span("invoke_agent a", {**placeholder, "logfire.pending_parent_id": "d" * 16}))

    assert root is not None
    assert below is not None
    assert (root.kind, root.span_id, root.parent_id, root.ended) == (OperationKind.AGENT, "b" * 16, None, False)
    assert below.parent_id == "d" * 16


def test_a_placeholder_counts_once_and_one_that_stands_for_nothing_not_at_all() -> None:
    placeholder = normalize(span("work", PLACEHOLDER))
    real = normalize(replace(span("work", {"logfire.span_type": "span"}), span_id="b" * 16, parent_id=None))
    assert placeholder is not None
    assert real is not None

    [execution] = assemble([placeholder, real])

    assert execution.operations == (real,)
    assert normalize(span("work", PLACEHOLDER, parent_id=None)) is None


def test_one_execution_may_mix_dialects() -> None:
    written = [
        ("team", None, "", {"wfperf.span.kind": "workflow", "gen_ai.workflow.name": "team"}),
        ("plan", "1", "", {"openinference.span.kind": "CHAIN"}),
        ("Chat Completion", "2", "logfire.openai", {"gen_ai.operation.name": "chat", "gen_ai.response.id": "r"}),
        ("claude_code.interaction", "1", "", {"span.type": "interaction"}),
        ("claude_code.tool", "4", "", {"tool_name": "search"}),
        ("tools/call search", "5", "", {"mcp.method.name": "tools/call"}),
        ("POST", "6", "", {"http.request.method": "POST", "server.address": "api.example.com"}),
    ]
    spans = [
        replace(span(name, attributes, scope=scope, parent_id=parent and parent * 16), span_id=str(number) * 16)
        for number, (name, parent, scope, attributes) in enumerate(written, start=1)
    ]

    [execution] = assemble([operation for each in spans if (operation := normalize(each)) is not None])

    assert [(each.kind.value, each.name, each.dialect) for each in execution.operations] == [
        ("workflow", "team", "wfperf"),
        ("phase", "plan", "openinference"),
        ("llm", "Chat Completion", "logfire"),
        ("agent", "claude_code", "claude_code"),
        ("tool", "search", "claude_code"),  # as long as MCP's own span of it
        ("other", "POST api.example.com", "leaves"),
    ]
