import pytest

from otel_wfperf.analysis.fragments import packed
from otel_wfperf.conventions.content import fragments
from otel_wfperf.model import ContextSize, OperationKind, ResourceUse, TokenUsage
from tests.conventions.spans import understood


@pytest.mark.parametrize("kind", [kind for kind in OperationKind if kind is not OperationKind.OTHER])
def test_reads_every_kind_without_an_operation_name(kind: OperationKind) -> None:
    assert understood("anything", wfperf__span__kind=kind.value).kind is kind


def test_reads_a_phase() -> None:
    phase = understood(
        "phase draft",
        wfperf__span__kind="phase",
        wfperf__phase__name="draft",
        wfperf__phase__index=3,
        wfperf__phase__depends_on=("plan", "research"),
        wfperf__parallel__group="writers",
        wfperf__retry__attempt=2,
    )

    assert (phase.name, phase.step, phase.depends_on) == ("draft", 3, ("plan", "research"))
    assert (phase.parallel_group, phase.attempt) == ("writers", 2)


def test_an_empty_list_of_dependencies_is_a_declaration() -> None:
    assert understood("phase a", wfperf__span__kind="phase", wfperf__phase__depends_on=()).depends_on == ()
    assert understood("phase a", wfperf__span__kind="phase").depends_on is None


def test_reads_agent_and_workflow_totals() -> None:
    agent = understood(
        "invoke_agent writer",
        wfperf__span__kind="agent",
        gen_ai__operation__name="invoke_agent",
        gen_ai__agent__name="writer",
        gen_ai__request__model="m",
        wfperf__total__input_tokens=120,
        wfperf__total__output_tokens=30,
    )

    assert (agent.name, agent.agent, agent.model) == ("writer", "writer", "m")
    assert agent.tokens == TokenUsage(input=120, output=30)


def test_reads_a_wait() -> None:
    wait = understood(
        "wait openai",
        wfperf__span__kind="wait",
        wfperf__wait__kind="rate_limit",
        wfperf__wait__resource="openai",
        wfperf__queue__depth=4,
        wfperf__concurrency__limit=8,
    )

    assert (wait.name, wait.wait_kind, wait.queue_depth, wait.concurrency_limit) == ("openai", "rate_limit", 4, 8)


def test_reads_a_model_call_with_context_and_resources() -> None:
    call = understood(
        "chat m",
        wfperf__span__kind="llm",
        gen_ai__operation__name="chat",
        gen_ai__request__model="m",
        gen_ai__usage__input_tokens=100,
        gen_ai__usage__output_tokens=20,
        gen_ai__response__time_to_first_chunk=0.25,
        wfperf__context__tokens=90,
        wfperf__context__limit=1000,
        wfperf__context__reused_ratio=0.5,
        wfperf__cpu__ratio=0.9,
        wfperf__memory__rss=1024,
        wfperf__prompt__hash="1234",
        wfperf__prompt__prefix_hash="12",
    )

    assert call.name == "m"
    assert call.tokens == TokenUsage(input=100, output=20)
    assert call.context == ContextSize(tokens=90, limit_tokens=1000, reused_ratio=0.5)
    assert call.resources == ResourceUse(cpu_ratio=0.9, memory_bytes=1024)
    assert (call.input_hash, call.prefix_hash, call.time_to_first_token_s) == ("1234", "12", 0.25)


def test_takes_hashes_and_fragments_as_they_are_recorded() -> None:
    given, result = fragments("the invoice of March"), fragments("it was paid on the 4th")
    tool = understood(
        "execute_tool pay",
        wfperf__span__kind="tool",
        gen_ai__tool__name="pay",
        wfperf__turn__id="t1",
        wfperf__input__hash="aa",
        wfperf__output__hash="bb",
        wfperf__input__bytes=20,
        wfperf__output__bytes=22,
        wfperf__input__fragments=packed(given),
        wfperf__output__fragments=packed(result),
    )

    assert (tool.name, tool.turn, tool.input_hash, tool.output_hash) == ("pay", "t1", "aa", "bb")
    assert (tool.input_bytes, tool.output_bytes) == (20, 22)
    assert (tool.input_fragments, tool.output_fragments) == (given, result)


def test_falls_back_to_the_operation_when_our_scope_wrote_no_kind() -> None:
    agent = understood("invoke_agent w", scope="otel_wfperf", gen_ai__operation__name="invoke_agent")

    assert (agent.dialect, agent.kind, agent.name) == ("wfperf", OperationKind.AGENT, "w")
    assert understood("x", scope="otel_wfperf").kind is OperationKind.OTHER


def test_reads_a_handoff() -> None:
    handoff = understood(
        "handoff writer", wfperf__span__kind="handoff", wfperf__handoff__from="planner", wfperf__handoff__to="writer"
    )

    assert (handoff.kind, handoff.name, handoff.handoff_from) == (OperationKind.HANDOFF, "writer", "planner")


def test_reads_a_context_that_shrank() -> None:
    call = understood("chat m", wfperf__span__kind="llm", wfperf__context__bytes=700, wfperf__context__growth=-300)

    assert call.context == ContextSize(size_bytes=700, growth_bytes=-300)


def test_reads_what_the_span_processor_wrote() -> None:
    workflow = understood(
        "invoke_workflow w",
        wfperf__span__kind="workflow",
        wfperf__cpu__time=0.1,
        wfperf__event_loop__blocked=0.4,
        wfperf__event_loop__blocked_longest=0.3,
        wfperf__spans__started=9,
        wfperf__spans__dropped=1,
    )

    assert workflow.resources == ResourceUse(cpu_time_s=0.1, loop_blocked_s=0.4, loop_blocked_longest_s=0.3)
    assert (workflow.spans_started, workflow.spans_dropped) == (9, 1)
