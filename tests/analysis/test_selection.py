from otel_wfperf.analysis.selection import named, names
from tests.detectors.builders import Run


def test_each_kind_has_its_names() -> None:
    run = Run(workflow="research")
    phase = run.phase("plan", 0, 100)
    run.agent("solver", 0, 50, parent=phase)
    run.llm(50, 50, parent=phase, name="chat gpt", model="gpt")
    run.wait("queue", 0, 10)
    executions = [run.build()]

    found = {kind: names(executions, kind) for kind in ("workflow", "phase", "agent", "llm", "wait", "tool")}

    assert found == {
        "workflow": ("research",),
        "phase": ("plan",),
        # A phase that calls a model itself counts as an agent, unless the call belongs to one.
        "agent": ("plan", "solver"),
        "llm": ("chat gpt", "gpt"),
        "wait": ("queue",),
        "tool": (),
    }


def test_what_lies_inside_of_another_match_is_part_of_it() -> None:
    run = Run()
    outer = run.tool("search", 0, 100)
    run.tool("search", 10, 20, parent=run.add_other("retry", 0, 50, parent=outer))
    later = run.tool("search", 200, 20)
    [target] = named("tool:search")

    assert [each.span_id for each in target.operations(run.build())] == [outer, later]


def test_a_root_of_another_kind_stands_for_the_workflow() -> None:
    run = Run(workflow="team")
    execution = run.build(
        10,
    )
    [target] = named("workflow:team")

    assert [each.span_id for each in target.operations(execution)] == [execution.root_id]
