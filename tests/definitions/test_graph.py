from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.graph import GraphEdge, from_graph
from otel_wfperf.definitions.prediction import predict
from otel_wfperf.definitions.rules import lint

IDLE = ("start", "end")


def graph(*edges: tuple[str, str] | tuple[str, str, bool]) -> Definition:
    nodes = list(dict.fromkeys(name for edge in edges for name in edge[:2]))
    return from_graph(nodes, [GraphEdge(*edge) for edge in edges], name="team", source="app:team", ends=IDLE)


def supersteps(definition: Definition) -> list[list[str]]:
    return [[branch.label for branch in phase.branches] for phase in definition.phases]


def test_nodes_run_in_the_superstep_that_their_longest_way_leads_to() -> None:
    definition = graph(("start", "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("a", "d"), ("d", "end"))

    assert supersteps(definition) == [["a"], ["b", "c"], ["d"]]
    assert definition.assumptions == ()
    assert lint(definition) == ()


def test_a_loop_that_can_be_left_is_counted_once() -> None:
    definition = graph(
        ("start", "agent"), ("agent", "tools", True), ("agent", "end", True), ("tools", "agent"), ("tools", "log")
    )

    assert lint(definition) == ()
    assert len(predict(definition).tasks) == 3
    assert any("one pass of each loop" in assumption for assumption in definition.assumptions)


def test_the_way_back_is_left_out_and_not_the_way_there() -> None:
    definition = graph(
        ("start", "plan"), ("plan", "work"), ("work", "check"), ("check", "plan", True), ("check", "end")
    )

    assert supersteps(definition) == [["plan"], ["work"], ["check"]]
    assert definition.assumptions == ("one pass of each loop is counted (back edge: check to plan)",)


def test_a_loop_that_cannot_be_left_is_circular() -> None:
    [finding] = lint(graph(("start", "a"), ("a", "b"), ("b", "a")))

    assert finding.rule == "circular_dependency"
    assert finding.line == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.booleans()), min_size=1))
def test_any_graph_has_each_node_once(edges: Sequence[tuple[str, str, bool]]) -> None:
    definition = graph(*edges)

    placed = [name for names in supersteps(definition) for name in names]
    assert sorted(placed) == sorted({name for edge in edges for name in edge[:2]})
    assert {finding.rule for finding in lint(definition)} <= {"circular_dependency", "splittable_phase"}
