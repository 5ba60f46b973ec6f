from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_wfperf import semconv
from otel_wfperf.conventions import CONVENTIONS, Convention, normalize
from otel_wfperf.model import AttributeValue, Event, OperationKind, StatusCode
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


def test_leaves_out_our_own_annotations_and_placeholders_of_running_spans() -> None:
    assert normalize(span("finding", {}, scope=semconv.ANNOTATION_SCOPE)) is None
    assert normalize(span("agent run", {"logfire.span_type": "pending_span"})) is None
    assert normalize(span("agent run", {"logfire.span_type": "span"})) is not None
