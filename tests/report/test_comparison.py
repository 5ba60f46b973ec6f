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
    assert lines[3].split() == ["before", "after", "ratio", "90", "%", "interval", "p"]
    [writer] = [line for line in lines if "phase writer" in line]
    assert writer.endswith("slower")
    assert " s " in writer
    assert "< 0.0001" in writer
    assert all(len(line) <= 100 for line in lines)


def test_says_what_so_many_runs_could_have_shown() -> None:
    text = " ".join(render_comparison(compare(drawn("a"), drawn("c"))).split())

    assert "No evidence of a change; with so many runs, runs that take 1." in text
    assert "would have been found out in four of five cases." in text


def test_says_why_nothing_was_tested() -> None:
    text = " ".join(render_comparison(compare(drawn("a", tokens=500), drawn("b", tokens=5000))).split())

    assert "No evidence: only 0 runs before and 0 after have inputs that occur on both sides" in text
    assert "not tested" in text


def test_tells_what_was_left_out() -> None:
    before = drawn("a", calls=(3, 4)) + drawn("b", workflow="old", runs=3)
    text = " ".join(render_comparison(compare(before, drawn("c", calls=(3,)) + drawn("d", workflow="old"))).split())

    assert "left out: no run of the other side has an input of that size." in text
    assert "old: not compared, 3 before and 30 runs after; at least 5 each are needed." in text


def test_fits_narrow_terminals_and_plain_characters() -> None:
    text = render_comparison(slower(), ["broken.json: is no trace"], page=Page(columns=80, marks=ASCII))

    assert text.isascii()
    assert text.endswith("not read: broken.json: is no trace\n")
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_document_can_be_written_as_json() -> None:
    for comparison in (slower(), compare(drawn("a", tokens=500), drawn("b", tokens=5000))):
        document = json.loads(json.dumps(comparison_document(comparison, ["x"]), allow_nan=False))
        assert document["verdict"] == comparison.verdict.value
        assert document["errors"] == ["x"]
        [workflow] = document["workflows"]
        assert workflow["whole"]["runs_before"] == 30
        assert (workflow["whole"]["p"] is None) != comparison.workflows[0].whole.is_tested


def test_figures_are_read_back_from_what_the_store_keeps() -> None:
    run = Run()
    phase = run.phase("writer", 0, 2000)
    run.llm(0, 1500, parent=phase, tokens=(300, 40))
    agent = run.agent("reader", 2000, 500)
    run.llm(2000, 400, parent=agent, tokens=(100, 10))
    execution = run.build()
    stored = figures_of_document(json.loads(json.dumps(execution_document(execution))))
    known = run_figures(execution)

    assert {part: each.duration_ns for part, each in stored.parts.items()} == {
        part: each.duration_ns for part, each in known.parts.items()
    }
    assert stored.parts[stored.whole].workload == known.parts[known.whole].workload
    assert not stored.parts[stored.whole].failed
