from otel_wfperf.model import OperationKind
from tests.assembly.operations import assembled, op

AGENT, LLM, PHASE, TOOL, WORKFLOW = (
    OperationKind.AGENT,
    OperationKind.LLM,
    OperationKind.PHASE,
    OperationKind.TOOL,
    OperationKind.WORKFLOW,
)


def test_everything_belongs_to_the_nearest_agent_and_phase() -> None:
    execution = assembled(
        op("w", None, 0, 20, kind=WORKFLOW),
        op("plan", "w", 0, 9, kind=PHASE),
        op("sub", "plan", 1, 8, kind=PHASE),
        op("boss", "sub", 2, 7, kind=AGENT),
        op("http", "boss", 2, 3),
        op("call", "http", 2, 3, kind=LLM),
        op("helper", "boss", 4, 6, kind=AGENT),
        op("tool", "helper", 5, 6, kind=TOOL),
    )
    owners = {each.span_id: (each.agent, each.phase) for each in execution.operations}

    assert owners == {
        "w": (None, None),
        "plan": (None, None),
        "sub": (None, "plan"),
        "boss": ("boss", "sub"),
        "http": ("boss", "sub"),
        "call": ("boss", "sub"),
        "helper": ("helper", "sub"),
        "tool": ("helper", "sub"),
    }


def test_an_agent_that_the_span_names_itself_stays() -> None:
    execution = assembled(op("a", None, 0, 9, kind=AGENT), op("c", "a", 1, 5, kind=LLM, agent="other"))

    assert execution.by_id["c"].agent == "other"
