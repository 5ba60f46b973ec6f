from otel_wfperf.model import OperationKind
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
