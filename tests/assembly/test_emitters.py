"""The same workflow as every emitter tells it, compared with what truly happened (INDEX.md of the captures)."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from otel_wfperf.assembly import Assembler, assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.model import Execution, ExecutionStatus, Operation
from otel_wfperf.otlp.files import read_spans
from tests.assembly.canonical import canonical

pytestmark = pytest.mark.shared

RESEARCH_TEAM = """
workflow research_team
  phase planner @1
    llm fake-1 23 (11) 12
  phase research_a @2
    llm fake-1 35 (17) 12
    tool web_search
    llm fake-1 43 (21) 12
  phase research_b @2 failed: ConnectionError
  phase research_b @2 try 2
    llm fake-1 27 (13) 12
  phase writer @3
    llm fake-1 33 (16) 12
  phase reviewer @4
    llm fake-1 30 (15) 12
"""
SLOW_TEAM = """
workflow slow_team
  phase planner @1
    llm fake-1 16 (8) 12
  phase research_a @2
    llm fake-1 18 (9) 12
  phase research_b @3
    llm fake-1 18 (9) 12
  phase fetch @4 failed: TimeoutError
  phase fetch @4 try 2 failed: TimeoutError
  phase fetch @4 try 3 failed: TimeoutError
  phase fetch @4 try 4 failed: TimeoutError
  phase fetch @4 try 5
  phase writer @5
    llm fake-1 17 (8) 12
  phase writer @6
    llm fake-1 562 (281) 12
  phase writer @7
    llm fake-1 1107 (553) 12
  phase writer @8
    llm fake-1 1652 (826) 12
  phase writer @9
    llm fake-1 2196 (1098) 12
"""
LANGGRAPH = {"healthy": (RESEARCH_TEAM, 2), "bottleneck": (SLOW_TEAM, 1)}

# What an emitter of LangGraph leaves out, by the first word of the lines that its executions lack.
NODES = "writes no span for a node; a retry, its error and what ran at once go with it"
DIFFERENCES: dict[str, dict[str, str]] = {
    "openinference": {},
    "openllmetry": {},
    "genai": {"phase": NODES},
    "genai+openai": {"phase": NODES},
}
# All but one pair were recorded.
RECORDED = [
    (name, variant)
    for name in DIFFERENCES
    for variant in LANGGRAPH
    if (name, variant) != ("genai+openai", "bottleneck")
]

# What truly happened, less what the only emitter leaves out.
OTHERS = {
    # Left out by the CrewAI instrumentation: model calls and with them tokens, the guardrail that failed once.
    "crewai-openinference-healthy": """
workflow research_crew
  agent Researcher A || Researcher B
    tool web_search
  agent Researcher B || Researcher A
  agent Writer
""",
    "crewai-openinference-bottleneck": """
workflow slow_crew
  agent Researcher A
  agent Researcher B
  agent Writer
""",
    # Left out: the two 429 of the writer's first call, which the client repeats by itself; what chat calls had cached.
    "openai-agents-openinference-healthy": """
workflow research_workflow
  agent ResearcherA || ResearcherB
    llm fake-1 17 (0) 12
    tool web_search
    llm fake-1 20 (0) 12
  agent ResearcherB || ResearcherA
    llm fake-1 15 (0) 12
    tool flaky failed: error
    llm fake-1 30 (0) 12
  agent Triage
    llm fake-1 16 (0) 12
    handoff Writer
  agent Writer
    llm fake-1 18 (9) 12
""",
    "openai-agents-openinference-bottleneck": """
workflow slow_workflow
  agent ResearcherA
    llm fake-1 8 (0) 12
  agent ResearcherB
    llm fake-1 8 (0) 12
  agent Writer
    llm fake-1 615 (307) 12
  agent Writer
    llm fake-1 1818 (909) 12
  agent Writer
    llm fake-1 3621 (1810) 12
  agent Writer
    llm fake-1 6024 (3012) 12
""",
    # Left out: that the call after ``flaky`` is its retry; the sleep of the bottleneck, which is the tool's own time.
    "pydantic-ai-native-healthy": """
agent coordinator
  llm fake-1 15 (7) 12
  tool delegate
    agent researcher_a || researcher_b
      llm fake-1 16 (8) 12
      tool web_search
      llm fake-1 18 (9) 12
    agent researcher_b || researcher_a
      llm fake-1 14 (7) 12
      tool flaky failed: ToolRetryError
      llm fake-1 20 (10) 12
    agent writer
      llm fake-1 10 (5) 12
  llm fake-1 17 (8) 12
""",
    "pydantic-ai-native-bottleneck": """
agent coordinator
  llm fake-1 15 (7) 12
  tool delegate
    agent researcher_a
      llm fake-1 16 (8) 12
      tool web_search
      llm fake-1 18 (9) 12
    agent researcher_b
      llm fake-1 14 (7) 12
      tool flaky failed: ToolRetryError
      llm fake-1 20 (10) 12
    agent writer
      llm fake-1 6010 (3005) 12
  llm fake-1 17 (8) 12
""",
    # Left out by AutoGen: the run itself, model calls and with them tokens.
    "autogen-native-healthy": """
workflow GraphFlow
  agent planner
  agent res_a || res_b
    tool web_search
  agent res_b || res_a
    tool flaky failed: ValueError
  agent writer
""",
    "autogen-native-bottleneck": """
workflow GraphFlow
  agent planner
  agent res_a
    tool web_search
  agent res_b
    tool flaky failed: ValueError
  agent writer
""",
    "autogen-native-rooted-bottleneck": """
other root
  agent planner
  agent res_a
    tool web_search
  agent res_b
    tool flaky failed: ValueError
  agent writer
""",
}


def operations(shared: Path, capture: str, ending: str = "pb") -> list[Operation]:
    path = shared / "data" / "captures" / f"{capture}.{ending}"
    spans = read_spans(path.read_bytes(), name=path.name).spans
    return [operation for span in spans if (operation := normalize(span)) is not None]


def lines(text: str) -> list[str]:
    return text.strip("\n").splitlines()


def without(tree: Sequence[str], left_out: dict[str, str]) -> Counter[str]:
    """Take lines out of a tree. What is left has no order then: the lines that went were what gave it one."""
    return Counter(line.strip() for line in tree if line.split()[0] not in left_out)


@pytest.mark.parametrize(("emitter", "variant"), RECORDED)
def test_every_emitter_of_langgraph_tells_the_same(shared: Path, emitter: str, variant: str) -> None:
    expected, runs = LANGGRAPH[variant]
    left_out = DIFFERENCES[emitter]

    executions = assemble(operations(shared, f"langgraph-{emitter}-{variant}"))

    assert len(executions) == runs
    for execution in executions:
        assert (execution.status, execution.completeness) == (ExecutionStatus.OK, 1.0)
        told = canonical(execution)
        if left_out:
            assert without(told, {}) == without(lines(expected), left_out)
            assert told[0] == lines(expected)[0]
        else:
            assert told == lines(expected)


@pytest.mark.parametrize("capture", OTHERS)
@pytest.mark.parametrize("ending", ["pb", "jsonl"])
def test_captures_of_other_frameworks_tell_what_happened(shared: Path, capture: str, ending: str) -> None:
    [execution] = assemble(operations(shared, capture, ending))

    assert (execution.status, execution.completeness) == (ExecutionStatus.OK, 1.0)
    assert canonical(execution) == lines(OTHERS[capture])


def test_every_capture_is_compared(shared: Path) -> None:
    recorded = {path.stem for path in (shared / "data" / "captures").glob("*.pb")}
    compared = {*OTHERS, *(f"langgraph-{emitter}-{variant}" for emitter in DIFFERENCES for variant in LANGGRAPH)}

    assert {name for name in recorded if not name.endswith(".metrics")} == compared - {
        "langgraph-genai+openai-bottleneck"
    }


@pytest.mark.parametrize("variant", ["healthy", "bottleneck"])
def test_autogen_is_one_run_of_22_traces_and_four_that_set_agents_up(shared: Path, variant: str) -> None:
    spans = operations(shared, f"autogen-native-{variant}")
    [run] = assemble(spans)

    assert len({each.trace_id for each in spans}) == 26
    assert (len(run.trace_ids), run.trace_ids[0]) == (22, run.trace_id)
    assert streamed(spans, seed=7) == [run]


def streamed(spans: Sequence[Operation], *, seed: int) -> list[Execution]:
    """Feed spans one by one in any order, and wait for the quiet period."""
    shuffled = list(spans)
    random.Random(seed).shuffle(shuffled)
    assembler = Assembler()
    for span in shuffled:
        assembler.add([span], now_ns=0)
    executions = assembler.due(now_ns=2_000_000_000)
    assert assembler.open() == ()
    return executions
