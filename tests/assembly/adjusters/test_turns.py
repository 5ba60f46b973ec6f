import pytest

from otel_wfperf.model import Operation, OperationKind
from tests.assembly.operations import assembled, op

LLM, PHASE, TOOL = OperationKind.LLM, OperationKind.PHASE, OperationKind.TOOL


def test_tools_belong_to_the_model_call_before_them() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("early", "r", 1, 2, kind=TOOL),
        op("l1", "r", 3, 10, kind=LLM, turn="l1"),
        op("t1", "r", 11, 20, kind=TOOL),
        op("t2", "r", 20, 30, kind=TOOL),
        op("l2", "r", 31, 40, kind=LLM, turn="l2"),
        op("t3", "r", 41, 50, kind=TOOL),
    )

    turns = {each.span_id: each.turn for each in execution.of_kind(TOOL, LLM)}
    assert turns == {"early": None, "l1": None, "t1": "l1", "t2": "l1", "l2": None, "t3": "l2"}


def test_a_call_that_still_runs_did_not_ask_for_the_tool() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("l1", "r", 0, 10, kind=LLM, turn="l1"),
        op("l2", "r", 5, 50, kind=LLM, turn="l2"),
        op("t", "r", 11, 20, kind=TOOL),
    )

    assert execution.by_id["t"].turn == "l1"


def test_a_call_that_asked_for_no_tools_binds_none() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("l1", "r", 0, 10, kind=LLM, turn="l1"),
        op("l2", "r", 11, 20, kind=LLM),
        op("t", "r", 21, 30, kind=TOOL),
    )

    assert execution.by_id["t"].turn is None


def test_a_written_turn_stays() -> None:
    execution = assembled(
        op("r", None, 0, 100), op("l", "r", 0, 10, kind=LLM, turn="l"), op("t", "r", 11, 20, kind=TOOL, turn="mine")
    )

    assert execution.by_id["t"].turn == "mine"


def graph(*, tools: str, turn: str | None) -> list[Operation]:
    """A node that asks the model, and one that runs what it asked for."""
    return [
        op("r", None, 0, 100),
        op("agent", "r", 0, 10, kind=PHASE),
        op("chain", "agent", 1, 9),
        op("l", "chain", 2, 8, kind=LLM, turn=turn),
        op("n", "r", 11, 50, kind=PHASE, name=tools),
        op("t1", "n", 12, 20, kind=TOOL),
        op("t2", "n", 21, 30, kind=TOOL),
    ]


def test_tools_in_a_node_of_their_own_belong_to_the_model_call_of_the_node_before() -> None:
    execution = assembled(*graph(tools="tools", turn="l"))

    assert [execution.by_id[span_id].turn for span_id in ("t1", "t2", "l")] == ["l", "l", None]


@pytest.mark.parametrize(("tools", "turn"), [("gather", "l"), ("tools", None)])
def test_other_nodes_and_models_that_asked_for_nothing_bind_no_tools(tools: str, turn: str | None) -> None:
    execution = assembled(*graph(tools=tools, turn=turn))

    assert execution.by_id["t1"].turn is None


def test_tools_inside_a_span_that_runs_them_belong_to_the_model_call_before_it() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("l", "r", 2, 8, kind=LLM, turn="l"),
        op("running tools", "r", 9, 40),
        op("t1", "running tools", 10, 20, kind=TOOL),
        op("t2", "running tools", 21, 30, kind=TOOL),
    )

    assert [execution.by_id[span_id].turn for span_id in ("t1", "t2")] == ["l", "l"]


def test_a_second_node_of_tools_belongs_to_the_same_model_call() -> None:
    again = [op("n2", "r", 51, 60, kind=PHASE, name="tools"), op("t3", "n2", 52, 59, kind=TOOL)]
    execution = assembled(*graph(tools="tools", turn="l"), *again)

    assert execution.by_id["t3"].turn == "l"


def test_attempts_of_one_task_are_numbered() -> None:
    execution = assembled(
        op("r", None, 0, 100),
        op("a", "r", 1, 2, kind=PHASE, task="fetch:1", error="x"),
        op("b", "r", 3, 4, kind=PHASE, task="fetch:1"),
        op("c", "r", 5, 6, kind=PHASE, task="fetch:2"),
        op("d", "r", 7, 8, kind=PHASE),
        op("e", "r", 9, 10, kind=PHASE, task="fetch:2", attempt=7),
    )

    assert [each.attempt for each in execution.of_kind(PHASE)] == [1, 2, 1, None, 7]
