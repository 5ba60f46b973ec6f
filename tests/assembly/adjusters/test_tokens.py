from otel_wfperf.analysis.summary import total_tokens
from otel_wfperf.model import OperationKind, TokenUsage
from tests.assembly.operations import assembled, op

AGENT, LLM, PHASE, WORKFLOW = OperationKind.AGENT, OperationKind.LLM, OperationKind.PHASE, OperationKind.WORKFLOW
CALL = TokenUsage(input=10, output=1)
TOTAL = TokenUsage(input=20, output=2)


def test_totals_above_model_calls_are_dropped() -> None:
    execution = assembled(
        op("w", None, 0, 20, kind=WORKFLOW, tokens=TOTAL),
        op("a", "w", 1, 19, kind=AGENT, tokens=TOTAL),
        op("c", "a", 2, 8, kind=LLM, tokens=CALL),
        op("d", "a", 9, 18, kind=LLM, tokens=CALL),
    )

    assert total_tokens(execution.operations) == TOTAL
    assert execution.by_id["a"].tokens is None


def test_a_model_call_within_another_counts() -> None:
    execution = assembled(
        op("w", None, 0, 20, kind=WORKFLOW),
        op("c", "w", 2, 18, kind=LLM, tokens=CALL, model="router"),
        op("d", "c", 9, 12, kind=LLM, tokens=CALL, model="small"),
    )

    assert execution.by_id["c"].tokens is None
    assert execution.by_id["d"].tokens == CALL


def test_an_agents_total_stays_when_no_call_has_tokens() -> None:
    execution = assembled(
        op("w", None, 0, 20, kind=WORKFLOW, tokens=TOTAL),
        op("a", "w", 1, 9, kind=AGENT, tokens=CALL),
        op("c", "a", 2, 8, kind=LLM),
        op("b", "w", 10, 19, kind=AGENT, tokens=CALL),
    )

    assert total_tokens(execution.operations) == TOTAL
    assert (execution.by_id["a"].tokens, execution.root.tokens) == (CALL, None)


def test_a_workflows_total_stays_when_nothing_else_has_any() -> None:
    assert assembled(op("w", None, 0, 20, kind=WORKFLOW, tokens=TOTAL)).root.tokens == TOTAL


def test_other_spans_have_no_tokens() -> None:
    execution = assembled(op("w", None, 0, 20), op("p", "w", 1, 2, kind=PHASE, tokens=CALL))

    assert total_tokens(execution.operations) == TokenUsage()
