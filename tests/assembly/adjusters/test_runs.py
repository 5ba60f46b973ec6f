from dataclasses import replace

from otel_wfperf.model import Operation, OperationKind, SpanKind
from tests.assembly.operations import assembled, op

AGENT, OTHER, PHASE, WORKFLOW = OperationKind.AGENT, OperationKind.OTHER, OperationKind.PHASE, OperationKind.WORKFLOW


def test_a_chain_is_a_workflow_below_spans_of_the_users_own() -> None:
    execution = assembled(op("http", None, 0, 10), op("chain", "http", 1, 9, kind=WORKFLOW, name="team"))

    assert execution.by_id["chain"].kind is WORKFLOW
    assert execution.workflow == "team"


def test_a_chain_within_a_run_is_a_phase_of_it_however_deep() -> None:
    execution = assembled(
        op("a", None, 0, 10, kind=WORKFLOW),
        op("b", "a", 1, 9, dialect="x"),
        op("c", "b", 2, 8, kind=WORKFLOW),
        op("d", "c", 3, 7, kind=WORKFLOW),
        op("e", "d", 4, 6, kind=OperationKind.LLM),
    )

    assert [execution.by_id[span_id].kind for span_id in "abcd"] == [WORKFLOW, OTHER, PHASE, PHASE]
    assert execution.by_id["e"].phase == "d"


def test_a_chain_within_an_agent_is_a_link_of_it() -> None:
    execution = assembled(
        op("a", None, 0, 10, kind=AGENT, agent="writer"),
        op("b", "a", 1, 9, kind=WORKFLOW),
        op("c", "b", 2, 8, kind=WORKFLOW),
    )

    assert [execution.by_id[span_id].kind for span_id in "bc"] == [OTHER, OTHER]


def test_chains_of_one_name_round_several_agents_are_no_phases() -> None:
    def chains(*agents: str, name: str = "round") -> list[OperationKind]:
        operations = [op("r", None, 0, 99, kind=WORKFLOW)]
        for at, agent in enumerate(agents):
            operations.append(op(f"c{at}", "r", at * 10, at * 10 + 9, kind=WORKFLOW, name=name))
            operations.append(op(f"a{at}", f"c{at}", at * 10, at * 10 + 9, kind=AGENT, name=agent, agent=agent))
        execution = assembled(*operations)
        return [execution.by_id[f"c{at}"].kind for at in range(len(agents))]

    assert chains("A", "B", "B") == [OTHER, OTHER, OTHER]
    assert chains("A", "A") == [PHASE, PHASE]
    assert chains("A", "A", name="Agent workflow") == [OTHER, OTHER]


def own_spans(*, wrapped: bool) -> list[Operation]:
    """Two spans of the user's own below a workflow, with a model call in each or beside them."""
    calls = [op(f"l{each}", each if wrapped else "r", 1, 2, kind=OperationKind.LLM) for each in "ab"]
    return [op("r", None, 0, 9, kind=WORKFLOW, workflow="w"), op("a", "r", 1, 3), op("b", "r", 4, 6), *calls]


def test_the_users_own_spans_that_hold_the_model_calls_are_the_phases() -> None:
    execution = assembled(*own_spans(wrapped=True))

    assert [execution.by_id[span_id].kind for span_id in "ab"] == [PHASE, PHASE]
    assert execution.by_id["la"].phase == "a"


def test_the_users_own_spans_are_no_phases_where_the_workflow_asks_the_model_or_has_agents() -> None:
    beside = assembled(*own_spans(wrapped=False))
    with_agent = assembled(*own_spans(wrapped=True), op("c", "r", 7, 8, kind=AGENT, agent="writer"))
    requests = assembled(*[replace(each, span_kind=SpanKind.CLIENT) for each in own_spans(wrapped=True)])

    assert {each.by_id["a"].kind for each in (beside, with_agent, requests)} == {OTHER}


def test_a_workflow_that_names_itself_stays_one_within_another() -> None:
    execution = assembled(op("a", None, 0, 10, kind=WORKFLOW), op("b", "a", 1, 9, kind=WORKFLOW, workflow="inner"))

    assert execution.by_id["b"].kind is WORKFLOW


def test_an_agent_span_without_a_name_above_agents_or_phases_is_the_run() -> None:
    above_agents = assembled(op("r", None, 0, 9, kind=AGENT), op("a", "r", 1, 5, kind=AGENT, agent="writer"))
    above_phases = assembled(op("r", None, 0, 9, kind=AGENT), op("a", "r", 1, 5, kind=PHASE))
    alone = assembled(op("r", None, 0, 9, kind=AGENT), op("a", "r", 1, 5, kind=OperationKind.LLM))

    assert above_agents.root.kind is above_phases.root.kind is WORKFLOW
    assert alone.root.kind is AGENT


def test_a_named_agent_above_agents_stays_one() -> None:
    execution = assembled(op("r", None, 0, 9, kind=AGENT, agent="boss"), op("a", "r", 1, 5, kind=AGENT, agent="writer"))

    assert execution.root.kind is AGENT
