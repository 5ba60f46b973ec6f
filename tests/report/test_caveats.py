from dataclasses import replace

from otel_wfperf.model import OperationKind
from otel_wfperf.report.caveats import hidden_steps, late_ends, unrecorded
from tests.report.runs import execution, operation, research


def test_names_what_no_run_has() -> None:
    bare = execution(operation("root", None, 0, 100))
    calls = research().operations
    untold = [replace(each, tokens=None) for each in calls]
    told = [replace(each, input_hash="h") for each in calls]

    assert unrecorded([bare]) == "phases, model calls"
    assert unrecorded([bare, execution(*untold)]) == "tokens, content of calls"
    assert unrecorded([research()]) == "content of calls"
    assert unrecorded([execution(*told)]) == ""


def test_a_root_that_ended_before_its_children_is_told_with_the_real_extent() -> None:
    early = execution(operation("root", None, 0, 10), operation("work", "root", 5, 4000))
    usual = execution(operation("root", None, 0, 100), operation("work", "root", 5, 101))

    [note] = late_ends([early, usual])
    assert note == (
        "the root ended before what is inside it in 1 run: after 10.0 ms, while its operations took 4.00 s; only what "
        "the root lasted is judged"
    )
    assert not list(late_ends([usual]))


def test_an_empty_span_that_hides_the_agent_beside_it_is_told() -> None:
    def run(inner_parent: str) -> list[str]:
        found = execution(
            operation("root", None, 0, 100),
            operation("graphql", "root", 1, 95),
            operation("triage", inner_parent, 2, 94, kind=OperationKind.AGENT),
        )
        return list(hidden_steps(found))

    [note] = run("root")
    assert note.startswith("the run seems to wait for graphql, which holds nothing, and not for triage beside it")
    assert run("graphql") == []
