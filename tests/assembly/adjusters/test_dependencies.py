from otel_wfperf.model import Link, Operation, OperationKind, SpanKind
from tests.assembly.operations import TRACE_ID, assembled, op

AGENT, PHASE, TOOL, WORKFLOW = OperationKind.AGENT, OperationKind.PHASE, OperationKind.TOOL, OperationKind.WORKFLOW


def links(*span_ids: str) -> tuple[Link, ...]:
    return tuple(Link(trace_id=TRACE_ID, span_id=span_id) for span_id in span_ids)


def executor(name: str, start_ms: float, end_ms: float, *given: str) -> list[Operation]:
    """Build an executor of Agent Framework: it links to the messages that it was given and sends one itself."""
    return [
        op(name, "run", start_ms, end_ms, kind=PHASE, name=name, links=links(*given), dialect="agent_framework"),
        op(f"send-{name}", name, end_ms - 1, end_ms, span_kind=SpanKind.PRODUCER, dialect="agent_framework"),
    ]


def test_an_executor_depends_on_those_whose_messages_it_was_given() -> None:
    execution = assembled(
        op("run", None, 0, 100, kind=WORKFLOW),
        *executor("plan", 1, 10),
        *executor("left", 11, 40, "send-plan"),
        *executor("right", 41, 60, "send-plan"),
        *executor("join", 61, 90, "send-left", "send-right", "send-right"),
    )

    assert {each.name: each.depends_on for each in execution.of_kind(PHASE)} == {
        "plan": None,
        "left": ("plan",),
        "right": ("plan",),
        "join": ("left", "right"),
    }


def test_a_link_deep_inside_a_step_is_one_to_the_step() -> None:
    execution = assembled(
        op("run", None, 0, 100, kind=WORKFLOW),
        op("edge", "run", 0, 50),
        op("a", "edge", 1, 40, kind=PHASE),
        op("agent", "a", 2, 39, kind=AGENT),
        op("m", "agent", 3, 4),
        op("b", "run", 41, 90, kind=PHASE, links=links("m")),
    )

    assert execution.by_id["b"].depends_on == ("a",)


def test_links_upwards_outside_and_from_anything_but_a_step_say_nothing() -> None:
    outside = (Link(trace_id="0" * 31 + "1", span_id="a"),)
    execution = assembled(
        op("run", None, 0, 100, kind=WORKFLOW),
        op("a", "run", 1, 40, kind=PHASE),
        op("b", "run", 41, 60, kind=PHASE, links=(*links("run", "gone"), *outside)),
        op("c", "run", 61, 90, kind=PHASE),
        op("t", "c", 62, 70, kind=TOOL, links=links("a")),
    )

    assert [each.depends_on for each in execution.operations] == [None] * 5


def test_what_the_emitter_declares_stays() -> None:
    execution = assembled(
        op("run", None, 0, 100, kind=WORKFLOW),
        op("a", "run", 1, 40, kind=PHASE),
        op("b", "run", 41, 60, kind=PHASE, links=links("a"), depends_on=()),
    )

    assert execution.by_id["b"].depends_on == ()
