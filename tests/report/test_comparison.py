import json

from otel_wfperf.analysis.comparison import Comparison, compare
from otel_wfperf.analysis.parts import run_figures
from otel_wfperf.report.comparison import comparison_document, render_comparison
from otel_wfperf.report.document import execution_document
from otel_wfperf.report.figures import figures_of_document
from otel_wfperf.report.text import ASCII, Page
from tests.analysis.test_comparison import drawn
from tests.detectors.builders import Run


def slower() -> Comparison:
    return compare(drawn("a"), drawn("b", factor=2.5, slower="writer"))


def test_says_what_became_slower_with_units() -> None:
    lines = render_comparison(slower()).splitlines()

    assert lines[0] == "research: slower, 30 runs before, 30 after"
    assert lines[1].startswith("  Runs take ")
    assert " ".join(lines[1:3]).endswith("Parts changed: phase writer   (2.97 times).")
    assert lines[4].split() == ["before", "after", "ratio", "90", "%", "interval", "p"]
    [writer] = [line for line in lines if line.startswith("  phase writer")]
    assert writer.endswith("slower")
    assert " s " in writer
    assert "< 0.0001" in writer
    assert all(len(line) <= 100 for line in lines)


def test_says_what_so_many_runs_could_have_shown() -> None:
    text = " ".join(render_comparison(compare(drawn("a"), drawn("c"))).split())

    assert "No evidence of a change; with so many runs, runs that take 1." in text
    assert "would have been found out in four of five cases." in text


def test_the_headline_is_of_parts_where_the_whole_shows_nothing() -> None:
    text = render_comparison(compare(drawn("a"), drawn("e", factor=2.0, slower="plan")))
    said = " ".join(text.split())

    assert text.startswith("research: parts slower, 30 runs before, 30 after\n")
    assert "Parts changed: phase plan (" in said
    assert "times). No evidence that the whole did: runs that take 1." in said


def test_the_headline_of_the_whole_names_the_parts() -> None:
    many, few = (
        render_comparison(compare(drawn("a", runs=runs, spread=0.02), drawn("b", runs=runs, spread=0.02, calls=(4,))))
        for runs in (30, 5)
    )

    assert many.startswith("research: slower, 30 runs before, 30 after\n  Runs take 1.3")
    assert "Parts changed: phase writer (1.3" in " ".join(many.split())
    assert "Most of it may be phase writer (1.3" in " ".join(few.split())
    assert "  - tool load: 3 -> 4 calls a run.\n" in few


def test_more_input_tokens_are_told() -> None:
    text = " ".join(render_comparison(compare(drawn("a", tokens=500), drawn("b", tokens=1000))).split())

    assert "The runs after have 2.00 times the input tokens or calls: if they were given more to do, compare" in text


def test_tells_what_was_left_out() -> None:
    before = drawn("a", inputs={"x": 1.0, "y": 1.0}) + drawn("b", workflow="old", runs=3)
    before += drawn("e", workflow="other", inputs={"x": 1.0})
    after = drawn("c", inputs={"x": 1.0}) + drawn("d", workflow="old")
    after += drawn("f", workflow="other", inputs={"y": 1.0})
    text = " ".join(render_comparison(compare(before, after)).split())

    assert "15 runs left out: no run of the other side was given the same." in text
    assert "old: not compared, 3 before and 30 runs after; at least 5 each are needed." in text
    assert "other: not compared, 0 of the runs before and 0 after were given something that runs" in text


def test_fits_narrow_terminals_and_plain_characters() -> None:
    text = render_comparison(slower(), ["broken.json: is no trace"], page=Page(columns=80, marks=ASCII))

    assert text.isascii()
    assert text.endswith("not read: broken.json: is no trace\n")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_document_can_be_written_as_json() -> None:
    for comparison in (slower(), compare(drawn("a"), drawn("b", calls=(9,)))):
        document = json.loads(json.dumps(comparison_document(comparison, ["x"]), allow_nan=False))
        assert document["verdict"] == comparison.verdict.value
        assert document["errors"] == ["x"]
        [workflow] = document["workflows"]
        assert workflow["whole"]["runs_before"] == 30
        assert workflow["whole"]["p"] == comparison.workflows[0].whole.p
        assert workflow["calls"] == [
            {"kind": each.kind, "name": each.name, "before_per_run": each.before, "after_per_run": each.after}
            for each in comparison.workflows[0].calls
        ]


def test_figures_are_read_back_from_what_the_store_keeps() -> None:
    run = Run()
    phase = run.phase("writer", 0, 2000)
    run.llm(0, 1500, parent=phase, tokens=(300, 40))
    agent = run.agent("reader", 2000, 500)
    run.llm(2000, 400, parent=agent, tokens=(100, 10))
    execution = run.build(input_hash="h1")
    stored = figures_of_document(json.loads(json.dumps(execution_document(execution))))
    known = run_figures(execution)

    assert {part: each.duration_ns for part, each in stored.parts.items()} == {
        part: each.duration_ns for part, each in known.parts.items()
    }
    assert stored.parts[stored.whole].workload == known.parts[known.whole].workload
    assert not stored.parts[stored.whole].failed
    assert stored.input_hash == known.input_hash == "h1"
