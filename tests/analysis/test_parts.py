from otel_wfperf.analysis.parts import PartFigures, run_figures
from otel_wfperf.model import Subject, SubjectKind
from tests.detectors.builders import MS, Run


def phase(name: str) -> Subject:
    return Subject(kind=SubjectKind.PHASE, name=name)


def test_adds_up_the_parts_of_a_run() -> None:
    run = Run()
    outer = run.phase("research", 0, 3000)
    agent = run.agent("reader", 0, 1000, parent=outer)
    run.llm(0, 1000, parent=agent, tokens=(300, 40), prefix_hash="p1", service="svc", service_version="1.4")
    again = run.agent("reader", 500, 1500, parent=outer)
    run.llm(500, 1500, parent=again, tokens=(200, 10), prefix_hash="p2")
    run.tool("load", 2100, 900, parent=outer)
    found = run_figures(run.build())

    reader = found.parts[Subject(kind=SubjectKind.AGENT, name="reader")]
    assert reader == PartFigures(
        duration_ns=2000 * MS,
        calls=2,
        input_tokens=500,
        output_tokens=50,
        span_ids=frozenset({agent, again}),
        within=frozenset({found.whole, phase("research")}),
        versions=frozenset({("svc", "1.4")}),
        models=frozenset({"model-1"}),
        prompts=frozenset({"p1", "p2"}),
    )
    assert (found.parts[phase("research")].calls, found.parts[phase("research")].input_tokens) == (3, 500)
    assert found.parts[found.whole].duration_ns == 3000 * MS


def test_a_part_within_itself_counts_once() -> None:
    run = Run()
    outer = run.phase("review", 0, 2000)
    run.phase("review", 500, 1000, parent=outer)

    assert run_figures(run.build()).parts[phase("review")].span_ids == {outer}


def test_waits_for_people_are_left_out() -> None:
    run = Run()
    outer = run.phase("review", 0, 9000)
    run.wait("human", 1000, 7000, parent=outer)
    found = run_figures(run.build())

    assert {part.name: figures.duration_ns for part, figures in found.parts.items()} == {
        "research": 2000 * MS,
        "review": 2000 * MS,
    }


def test_a_part_that_failed_says_so() -> None:
    run = Run()
    run.phase("review", 0, 2000, error="Timeout")
    run.phase("plan", 2000, 500)
    found = run_figures(run.build())

    assert {part.name: figures.failed for part, figures in found.parts.items()} == {
        "research": False,
        "review": True,
        "plan": False,
    }


def test_workloads_are_equal_within_steps() -> None:
    def workload(calls: int, tokens: int) -> tuple[int, int]:
        return PartFigures(duration_ns=1, calls=calls, input_tokens=tokens).workload

    assert workload(3, 600) == workload(3, 1000)
    assert workload(3, 600) != workload(4, 600)
    assert workload(3, 600) != workload(3, 1100)
    assert workload(40, 600) == workload(42, 600)
    assert workload(40, 600) != workload(60, 600)
