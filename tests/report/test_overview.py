from dataclasses import replace

from otel_wfperf.model import Execution, ExecutionStatus, OperationKind, ResourceUse, Saving, Severity
from otel_wfperf.report.overview import overviews
from tests.report.runs import PROMPT, execution, finding, operation, research, skewed


def run(workflow: str, length_ms: int, *, trace: int = 1, status: ExecutionStatus = ExecutionStatus.OK) -> Execution:
    root = operation("root", None, 0, length_ms)
    return execution(root, workflow=workflow, trace_id=f"{trace:032x}", status=status)


def test_puts_the_worst_findings_first_then_the_longest() -> None:
    runs = [run("short", 10), run("long", 1000), run("troubled", 10), run("worst", 10)]
    findings = [finding(workflow="worst", severity=Severity.CRITICAL), finding(workflow="troubled")]

    assert [each.workflow for each in overviews(runs, findings)] == ["worst", "troubled", "long", "short"]


def test_gives_each_workflow_its_own_findings() -> None:
    [one, _] = overviews([run("a", 10), run("b", 10)], [finding(workflow="a"), finding(workflow="b")])
    assert [each.workflow for each in one.findings] == ["a"]


def test_draws_the_slowest_run_that_has_an_end() -> None:
    runs = [run("a", 10, trace=1), run("a", 30, trace=2), run("a", 99, trace=3, status=ExecutionStatus.INCOMPLETE)]
    [overview] = overviews(runs, [])

    assert overview.drawn.trace_id == f"{2:032x}"
    assert overview.status == "2 ok, 1 incomplete"
    assert overview.duration == "median 30.0 ms (10.0 ms to 99.0 ms)"


def test_counts_calls_and_tokens_of_a_run() -> None:
    [one] = overviews([research()], [])
    [two] = overviews([research(), research()], [])
    [none] = overviews([run("a", 10)], [])

    assert one.usage == "2 LLM calls, 590 tokens in, 79 tokens out, 1 operation failed"
    assert two.usage == "2 LLM calls, 590 tokens in, 79 tokens out per run, 2 operations failed"
    assert none.usage == "no LLM calls recorded"


def test_says_when_tokens_are_not_recorded() -> None:
    unknown = tuple(replace(each, tokens=None) for each in research().operations)
    [overview] = overviews([execution(*unknown)], [])
    assert overview.usage == "2 LLM calls, tokens not recorded, 1 operation failed"


def test_predicts_in_figures_and_as_a_share() -> None:
    [overview] = overviews([research()], [])
    exact = Saving(median_s=1.5, low_s=1.5, high_s=1.5)

    assert overview.saving(finding()) == "saves about 1.60 s per run, 27 % of it (90 % interval: 1.50 s to 1.70 s)"
    assert overview.saving(finding(saving=exact)) == "saves about 1.50 s per run, 25 % of it"
    assert overview.saving(finding(saving=None)) == "saving not predictable"


def test_notes_what_assembly_changed_once_and_what_is_missing() -> None:
    [overview] = overviews([skewed(), skewed(), research()], [])
    assert overview.notes == (
        "clock_skew: moved the spans of host b by 12 ms (in 2 runs)",
        "2 runs with missing spans; least complete: 90 %",
    )


def test_names_what_owns_most_of_the_critical_path() -> None:
    [overview] = overviews([research()], [])

    assert overview.shares == "fetch 42 %, writer 33 %, planner 17 %"


def test_a_failure_that_others_only_pass_on_is_counted_once() -> None:
    run = execution(
        operation("run", None, 0, 100, error="TimeoutError"),
        operation("phase", "run", 0, 100, error="TimeoutError"),
        operation("tool", "phase", 0, 100, error="TimeoutError"),
    )
    [overview] = overviews([run], [])

    assert overview.usage == "no LLM calls recorded, 1 operation failed"


def test_tokens_of_agents_count_where_no_model_call_was_recorded() -> None:
    [overview] = overviews([execution(operation("run", None, 0, 100, tokens=PROMPT))], [])

    assert overview.usage == "no LLM calls recorded, 90 tokens in, 9 tokens out"


def loaded(*, cpu_s: float, blocked_s: float | None = None, agents: int = 1) -> Execution:
    """A run of one second with agents that use the CPU, each more than the one before."""
    calls = [
        operation(
            f"a{number}",
            "run",
            0,
            1000,
            name=f"agent {number}",
            kind=OperationKind.AGENT,
            agent=f"agent {number}",
            resources=ResourceUse(cpu_time_s=cpu_s * (number + 1), loop_blocked_s=blocked_s),
        )
        for number in range(agents)
    ]
    return execution(operation("run", None, 0, 1000, kind=OperationKind.WORKFLOW), *calls)


def test_names_who_used_the_cpu_and_who_blocked_the_loop() -> None:
    [busy] = overviews([loaded(cpu_s=0.1, agents=4)], [])
    [blocking] = overviews([loaded(cpu_s=0.01, blocked_s=0.3)], [])
    [both] = overviews([loaded(cpu_s=0.1, blocked_s=0.3)], [])

    assert busy.cpu == "CPU time: agent 3 400 ms, agent 2 300 ms, agent 1 200 ms and 1 more agent"
    assert blocking.cpu == "The event loop was blocked by agent 0 for 300 ms"
    assert both.cpu == "CPU time: agent 0 100 ms; the event loop was blocked by agent 0 for 300 ms"


def test_a_little_cpu_time_is_not_worth_a_line() -> None:
    [little] = overviews([loaded(cpu_s=0.04)], [])
    [none] = overviews([research()], [])

    assert (little.cpu, none.cpu) == ("", "")


def test_a_saving_says_in_how_many_runs_and_is_a_share_of_these() -> None:
    runs = [run("research", 1000, trace=1), *(run("research", 100, trace=trace) for trace in (2, 3, 4))]
    saving = Saving(median_s=0.5, low_s=0.5, high_s=0.5)
    [overview] = overviews(runs, [])

    some = overview.saving(finding(saving=saving, trace_ids=(f"{1:032x}",)))
    every = overview.saving(finding(saving=saving, trace_ids=tuple(each.trace_id for each in runs)))

    assert some == "saves about 500 ms per run in 1 of 4 runs, 50 % of these"
    assert every == "saves about 500 ms per run, 500 % of it"
