from otel_wfperf.model import OperationKind
from otel_wfperf.report.waterfall import Row, Waterfall, waterfall
from tests.report.runs import EPOCH_NS, MS, execution, operation, research


def outline(drawn: Waterfall) -> list[tuple[int, str, int]]:
    """Show depth, name and number of calls of each row."""
    return [(row.depth, row.name, row.calls) for row in drawn.rows]


def row_of(drawn: Waterfall, name: str) -> Row:
    return next(row for row in drawn.rows if row.name == name)


def test_shows_the_tree_with_sequential_calls_in_one_row() -> None:
    drawn = waterfall(research(), max_rows=24)
    assert outline(drawn) == [
        (0, "research", 1),
        (1, "planner", 1),
        (2, "small", 1),
        (1, "fetch", 1),
        (2, "load", 3),
        (1, "aside", 1),
        (1, "slots", 1),
        (1, "writer", 1),
        (2, "large", 1),
    ]
    assert drawn.hidden == 0
    assert row_of(drawn, "load").failed
    assert row_of(drawn, "load").duration_ns == 2400 * MS


def test_calls_that_overlap_keep_their_rows() -> None:
    calls = [operation(f"t{n}", "run", 10 * n, 10 * n + 500, name="search", kind=OperationKind.TOOL) for n in range(3)]
    drawn = waterfall(execution(operation("run", None, 0, 600), *calls), max_rows=24)
    assert [row.name for row in drawn.rows] == ["run", "search", "search", "search"]


def test_phases_with_one_name_keep_their_rows() -> None:
    phases = [
        operation(f"p{n}", "run", 100 * n, 100 * n + 100, name="writer", kind=OperationKind.PHASE) for n in range(3)
    ]
    drawn = waterfall(execution(operation("run", None, 0, 300), *phases), max_rows=24)
    assert [row.calls for row in drawn.rows] == [1, 1, 1, 1]


def test_marks_where_the_critical_path_runs_through_a_row() -> None:
    drawn = waterfall(research(), max_rows=24)
    begin, end = EPOCH_NS + 1000 * MS, EPOCH_NS + 3500 * MS

    assert row_of(drawn, "fetch").on_path == ((begin, end),)
    assert row_of(drawn, "aside").on_path == ()
    assert row_of(drawn, "research").path_ns == 6000 * MS


def test_keeps_what_the_run_waited_for_when_there_is_little_room() -> None:
    drawn = waterfall(research(), max_rows=4)

    assert outline(drawn) == [(0, "research", 1), (1, "fetch", 1), (2, "load", 3), (1, "writer", 1)]
    assert drawn.hidden == 11 - 6


def test_rows_that_are_left_out_hang_their_children_on_the_next_row_above() -> None:
    other = OperationKind.OTHER
    chain = [operation(f"w{n}", f"w{n - 1}" if n else "run", 0, 1000, kind=other) for n in range(5000)]
    call = operation("call", "w4999", 0, 1000, name="model", kind=OperationKind.LLM)
    drawn = waterfall(execution(operation("run", None, 0, 1000), *chain, call), max_rows=2)

    assert outline(drawn) == [(0, "run", 1), (1, "model", 1)]
    assert row_of(drawn, "model").path_ns == 1000 * MS


def test_leaves_out_what_is_too_short_to_see_unless_it_failed() -> None:
    short = operation("short", "run", 0, 4)
    failed = operation("failed", "run", 10, 14, error="ValueError")
    drawn = waterfall(execution(operation("run", None, 0, 1000), short, failed), max_rows=24)

    assert [row.name for row in drawn.rows] == ["run", "failed"]
    assert drawn.hidden == 1


def test_a_run_without_length_has_its_row() -> None:
    assert outline(waterfall(execution(operation("run", None, 0, 0)), max_rows=24)) == [(0, "run", 1)]
