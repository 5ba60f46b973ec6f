"""The comparison of two sets of runs as one HTML file, in the style of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from otel_wfperf.analysis.comparison import MIN_RUNS, Comparison, Verdict, WorkflowComparison
from otel_wfperf.report.comparison import cells, conclusion, headline, notes, other_inputs
from otel_wfperf.report.frame import whole_page
from otel_wfperf.report.markup import Html, element, join
from otel_wfperf.report.units import count

_HEADER = ("Part", "Before", "After", "Ratio", "90 % interval", "p", "Verdict")
# Longer names are cut off.
_NAME_COLUMNS = 80


def render_comparison_page(comparison: Comparison, errors: Sequence[str] = ()) -> str:
    """Write the page; the arguments are those of :func:`otel_wfperf.report.comparison.render_comparison`."""
    main = element(
        "main",
        element("h1", "otel-wfperf comparison"),
        *(_workflow(found) for found in comparison.workflows),
        *_left_out(comparison, errors),
    )
    return whole_page(f"{comparison.verdict.value} - otel-wfperf", main)


def _workflow(found: WorkflowComparison) -> Html:
    runs = f"{count(found.whole.runs_before, 'run')} before, {found.whole.runs_after} after"
    shown = [cells(each, _NAME_COLUMNS) for each in (found.whole, *found.parts)]
    rows = [
        element("tr", element("th", name, scope="row"), *(element("td", value) for value in values))
        for name, *values in shown
    ]
    head = element("tr", *(element("th", name, scope="col") for name in _HEADER))
    table = element("table", element("thead", head), element("tbody", join(rows)), class_="figures")
    said = list(notes(found))
    return element(
        "section",
        element("h2", f"{found.workflow}: {headline(found)}"),
        element("p", runs),
        element("p", conclusion(found), class_="saving" if found.verdict is not Verdict.NO_EVIDENCE else None),
        element("div", table, class_="scroll"),
        element("ul", *(element("li", note) for note in said)) if said else None,
    )


def _left_out(comparison: Comparison, errors: Sequence[str]) -> Iterator[Html]:
    told = [
        f"{workflow}: {before} before and {count(after, 'run')} after; at least {MIN_RUNS} each are needed"
        for workflow, (before, after) in comparison.too_few.items()
    ]
    told += [f"{workflow}: {other_inputs(*counts)}" for workflow, counts in comparison.other_inputs.items()]
    for title, sentences in (("Not compared", told), ("Not read", errors)):
        if sentences:
            yield element("h2", title)
            yield element("ul", *(element("li", sentence) for sentence in sentences))
