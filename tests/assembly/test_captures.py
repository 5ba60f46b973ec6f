"""Real exports of other projects' instrumentations.

The captures under ``tests/fixtures`` run everywhere; the ``shared`` ones need the reference data. What truly happened
in them is told in the reference data's INDEX.md.
"""

from pathlib import Path

import pytest

from otel_wfperf.analysis.fragments import shares_content
from otel_wfperf.analysis.summary import total_tokens
from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.model import Execution, ExecutionStatus, OperationKind, TokenUsage
from otel_wfperf.otlp.files import read_spans

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "captures"
AGENT, LLM, PHASE, TOOL, WORKFLOW = (
    OperationKind.AGENT,
    OperationKind.LLM,
    OperationKind.PHASE,
    OperationKind.TOOL,
    OperationKind.WORKFLOW,
)
HEALTHY_PHASES = ["planner", "research_a", "research_b", "research_b", "writer", "reviewer"]
SLOW_PHASES = ["planner", "research_a", "research_b", *["fetch"] * 5, *["writer"] * 5]
HEALTHY_TOKENS = TokenUsage(input=191, output=72, cache_read=93)
SLOW_TOKENS = TokenUsage(input=5586, output=96, cache_read=2792)


def executions(path: Path) -> list[Execution]:
    contents = read_spans(path.read_bytes(), name=path.name)
    return assemble(operation for span in contents.spans if (operation := normalize(span)) is not None)


def names(execution: Execution, kind: OperationKind) -> list[str]:
    return [operation.name for operation in execution.of_kind(kind)]


@pytest.mark.parametrize("emitter", ["openinference", "openllmetry"])
def test_langgraph_reads_the_same_in_both_dialects(emitter: str) -> None:
    runs = executions(FIXTURES / f"langgraph-{emitter}-healthy.jsonl")

    assert len(runs) == 2
    for run in runs:
        assert (run.workflow, run.status, run.completeness) == ("research_team", ExecutionStatus.OK, 1.0)
        assert run.dialects == (emitter,)
        assert sorted(names(run, PHASE)) == sorted(HEALTHY_PHASES)
        assert list(dict.fromkeys(names(run, PHASE))) == ["planner", "research_a", "research_b", "writer", "reviewer"]
        assert names(run, WORKFLOW) == ["research_team"]
        assert (len(run.of_kind(LLM)), names(run, TOOL)) == (6, ["web_search"])
        assert total_tokens(run.operations) == HEALTHY_TOKENS


@pytest.mark.parametrize("emitter", ["openinference", "openllmetry"])
def test_langgraph_retries_and_steps(emitter: str) -> None:
    for run in executions(FIXTURES / f"langgraph-{emitter}-healthy.jsonl"):
        first, second = [phase for phase in run.of_kind(PHASE) if phase.name == "research_b"]
        parallel = {phase.name for phase in run.of_kind(PHASE) if phase.step == 2}

        assert (first.error, first.attempt, second.error, second.attempt) == ("ConnectionError", 1, None, 2)
        assert parallel == {"research_a", "research_b"}
        [tool] = run.of_kind(TOOL)
        assert tool.turn == run.of_kind(LLM)[1].span_id
        assert tool.phase == "research_a"


@pytest.mark.parametrize("emitter", ["openinference", "openllmetry"])
def test_langgraph_results_are_found_in_the_prompts_that_use_them(emitter: str) -> None:
    for run in executions(FIXTURES / f"langgraph-{emitter}-healthy.jsonl"):
        prompt_of = {call.phase: call.input_fragments for call in run.of_kind(LLM)}
        result_of = {phase.name: phase.output_fragments for phase in run.of_kind(PHASE) if phase.error is None}

        assert shares_content(result_of["research_a"], prompt_of["writer"]) is True
        assert shares_content(result_of["research_b"], prompt_of["writer"]) is True
        assert shares_content(result_of["writer"], prompt_of["reviewer"]) is True
        assert shares_content(result_of["research_a"], prompt_of["research_b"]) is False


def test_langgraph_without_nodes_has_the_same_workflow_and_calls() -> None:
    runs = executions(FIXTURES / "langgraph-genai-healthy.jsonl")

    assert len(runs) == 2
    for run in runs:
        assert (run.workflow, run.dialects, run.root.kind) == ("research_team", ("genai",), WORKFLOW)
        assert (len(run.of_kind(LLM)), names(run, TOOL), names(run, PHASE)) == (6, ["web_search"], [])
        assert total_tokens(run.operations) == HEALTHY_TOKENS


def test_langgraph_without_nodes_slow() -> None:
    [run] = executions(FIXTURES / "langgraph-genai-bottleneck.jsonl")

    assert (run.workflow, len(run.of_kind(LLM))) == ("slow_team", 8)
    assert total_tokens(run.operations) == SLOW_TOKENS


def test_crewai() -> None:
    [run] = executions(FIXTURES / "crewai-openinference-healthy.jsonl")

    assert (run.workflow, run.root.kind) == ("research_crew", WORKFLOW)
    assert names(run, AGENT) == ["Researcher A", "Researcher B", "Writer"]
    [tool] = run.of_kind(TOOL)
    assert (tool.name, tool.agent) == ("web_search", "Researcher A")


def test_openai_agents() -> None:
    [run] = executions(FIXTURES / "openai-agents-openinference-healthy.jsonl")

    assert (run.workflow, run.root.kind) == ("research_workflow", WORKFLOW)
    assert names(run, AGENT) == ["ResearcherA", "ResearcherB", "Triage", "Writer"]
    assert len(run.of_kind(LLM)) == 6
    assert names(run, TOOL) == ["web_search", "flaky"]
    assert all(call.agent for call in run.of_kind(LLM, TOOL))
    assert total_tokens(run.operations).input == 17 + 20 + 15 + 30 + 16 + 18


def test_pydantic_ai() -> None:
    [run] = executions(FIXTURES / "pydantic-ai-native-healthy.jsonl")

    assert (run.workflow, run.root.kind) == ("coordinator", AGENT)
    assert sorted(names(run, AGENT)) == ["coordinator", "researcher_a", "researcher_b", "writer"]
    assert sorted(names(run, TOOL)) == ["delegate", "flaky", "web_search"]
    assert len(run.of_kind(LLM)) == 7
    assert all(operation.tokens is None for operation in run.of_kind(AGENT))
    [flaky] = [tool for tool in run.of_kind(TOOL) if tool.name == "flaky"]
    assert (flaky.error, flaky.agent) == ("pydantic_ai.exceptions.ToolRetryError", "researcher_b")


@pytest.mark.shared
@pytest.mark.parametrize("emitter", ["openinference", "openllmetry"])
@pytest.mark.parametrize("ending", ["jsonl", "pb"])
def test_slow_langgraph_reads_the_same_in_both_dialects(shared: Path, emitter: str, ending: str) -> None:
    [run] = executions(shared / "data" / "captures" / f"langgraph-{emitter}-bottleneck.{ending}")

    assert (run.workflow, run.status, run.dialects) == ("slow_team", ExecutionStatus.OK, (emitter,))
    assert names(run, PHASE) == SLOW_PHASES
    assert [phase.attempt for phase in run.of_kind(PHASE) if phase.name == "fetch"] == [1, 2, 3, 4, 5]
    assert [phase.error for phase in run.of_kind(PHASE) if phase.error] == ["TimeoutError"] * 4
    assert len(run.of_kind(LLM)) == 8
    assert total_tokens(run.operations) == SLOW_TOKENS
    prompt_of = {call.phase: call.input_fragments for call in run.of_kind(LLM)}
    result_of = {phase.name: phase.output_fragments for phase in run.of_kind(PHASE) if phase.error is None}
    assert shares_content(result_of["research_a"], prompt_of["research_b"]) is False
    assert shares_content(result_of["planner"], prompt_of["research_a"]) is True


@pytest.mark.shared
def test_autogen_below_a_span_of_the_users_own_is_called_what_that_is_called(shared: Path) -> None:
    [rooted] = executions(shared / "data" / "captures" / "autogen-native-rooted-bottleneck.jsonl")

    assert (rooted.workflow, rooted.trace_ids) == ("root", (rooted.trace_id,))
    assert names(rooted, AGENT) == ["planner", "res_a", "res_b", "writer"]


@pytest.mark.shared
def test_every_capture_and_trace_assembles(shared: Path) -> None:
    for path in sorted([*(shared / "data" / "captures").glob("*.pb"), *(shared / "data" / "traces").glob("*.json")]):
        if ".metrics." not in path.name:
            for execution in executions(path):
                below = sum(1 for _ in execution.descendants(execution.root_id))
                assert below == len(execution.operations) - 1, path.name


@pytest.mark.shared
def test_notes_the_emitter_that_ends_all_spans_at_once(shared: Path) -> None:
    flagged = {
        path.name
        for path in (shared / "data" / "traces").glob("*.json")
        for execution in executions(path)
        if any(adjustment.adjuster == "same_end" for adjustment in execution.adjustments)
    }

    assert flagged == {"langfuse__beeai-2025-08-01.json"}


@pytest.mark.shared
def test_moves_skewed_hosts_together(shared: Path) -> None:
    [execution] = executions(shared / "data" / "traces" / "zipkin__skew.json")

    for operation in execution.operations:
        for child in execution.children(operation.span_id):
            assert operation.start_ns <= child.start_ns <= child.end_ns <= operation.end_ns
