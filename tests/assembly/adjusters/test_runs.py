from otel_wfperf.model import OperationKind
from tests.assembly.operations import assembled, op

AGENT, OTHER, PHASE, WORKFLOW = OperationKind.AGENT, OperationKind.OTHER, OperationKind.PHASE, OperationKind.WORKFLOW


def test_a_chain_is_a_workflow_below_spans_of_the_users_own() -> None:
    execution = assembled(op("http", None, 0, 10), op("chain", "http", 1, 9, kind=WORKFLOW, name="team"))

    assert execution.by_id["chain"].kind is WORKFLOW
    assert execution.workflow == "team"


def test_a_chain_within_a_run_is_a_link_of_it_however_deep() -> None:
    execution = assembled(
        op("a", None, 0, 10, kind=WORKFLOW),
        op("b", "a", 1, 9),
        op("c", "b", 2, 8, kind=WORKFLOW),
        op("d", "c", 3, 7, kind=WORKFLOW),
    )

    assert [execution.by_id[span_id].kind for span_id in "abcd"] == [WORKFLOW, OTHER, OTHER, OTHER]


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
