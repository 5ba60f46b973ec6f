"""The report as plain text: what ran, where its time went, what to change. Readable without color."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from otel_wfperf.analysis.prediction import Prediction
from otel_wfperf.model import Execution, Finding, OperationKind
from otel_wfperf.report.columns import clean, clip, pad, wrap
from otel_wfperf.report.overview import Overview, overviews
from otel_wfperf.report.predictions import effect, lengths
from otel_wfperf.report.units import count, duration
from otel_wfperf.report.waterfall import Row, Waterfall, waterfall

# Chosen: one screen for one workflow.
MAX_WORKFLOWS = 3
MAX_ROWS = 24
MAX_FINDINGS = 3
MAX_NOTES = 5
MAX_DEPTH = 6
KIND_COLUMNS = 9
ELSEWHERE = "JSON or HTML report"
DURATION_COLUMNS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The characters that bars are drawn with."""

    path: str
    parallel: str
    wait: str
    edge: str
    times: str
    arrow: str
    ellipsis: str

    @property
    def characters(self) -> str:
        """All of them, to find out whether a terminal can show them."""
        return self.path + self.parallel + self.wait + self.edge + self.times + self.arrow + self.ellipsis


UNICODE = Marks(path="█", parallel="░", wait="~", edge="│", times="\N{MULTIPLICATION SIGN}", arrow="→", ellipsis="…")
ASCII = Marks(path="#", parallel="-", wait="~", edge="|", times="x", arrow="->", ellipsis="...")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How the text is to be laid out.

    Attributes:
        columns: Longest line (characters).
        marks: Characters of the bars.
    """

    columns: int = 100
    marks: Marks = UNICODE

    @property
    def name_columns(self) -> int:
        """Columns of the names (characters)."""
        return min(36, self.columns // 3)

    @property
    def bar_columns(self) -> int:
        """Columns of the bars (characters)."""
        return max(10, self.columns - self.name_columns - KIND_COLUMNS - DURATION_COLUMNS - 6)


def render(
    executions: Iterable[Execution],
    findings: Sequence[Finding],
    errors: Sequence[str] = (),
    *,
    predictions: Sequence[Prediction] = (),
    page: Page | None = None,
) -> str:
    """Write the report; it ends with a line break.

    Args:
        executions: All runs, of one or more workflows.
        findings: Worst first.
        errors: What could not be read, one sentence each.
        predictions: What the changes that were asked about would do.
        page: Its width and characters; 100 columns of Unicode by default.
    """
    page = page or Page()
    found = overviews(executions, findings)
    lines = list(_predictions(predictions, page))
    lines += [] if found else ["No workflow executions found."]
    for overview in found[:MAX_WORKFLOWS]:
        lines += [*_workflow(overview, page), ""]
    if len(found) > MAX_WORKFLOWS:
        lines += [f"... and {count(len(found) - MAX_WORKFLOWS, 'more workflow')} in the {ELSEWHERE}", ""]
    for error in errors:
        lines += wrap(f"not read: {error}", page.columns, rest="  ")
    return written(lines, page)


def render_answer(predictions: Sequence[Prediction], errors: Sequence[str] = (), *, page: Page | None = None) -> str:
    """Write what changes would do, without the report on the runs; it ends with a line break."""
    page = page or Page()
    lines = [*_predictions(predictions, page), "The report on the runs themselves: the same command with --full."]
    for error in errors:
        lines += wrap(f"not read: {error}", page.columns, rest="  ")
    return written(lines, page)


def written(lines: Iterable[str], page: Page) -> str:
    """Join lines to a text; what cannot show the marks cannot show a micro sign either."""
    joined = "\n".join(lines).rstrip() + "\n"
    return joined if page.marks is UNICODE else joined.replace("\N{MICRO SIGN}s", "us")


def _workflow(overview: Overview, page: Page) -> Iterator[str]:
    yield from wrap(headline(overview), page.columns, rest="  ")
    yield from wrap(overview.usage, page.columns, first="  ", rest="  ")
    for line in filter(None, (overview.cpu, overview.unrecorded)):
        yield from wrap(line, page.columns, first="  ", rest="  ")
    yield ""
    yield from _waterfall(overview, page)
    yield ""
    yield from _findings(overview, page)
    notes = overview.notes
    if notes:
        yield ""
        yield "  Notes"
        for note in notes[:MAX_NOTES]:
            yield from wrap(note, page.columns, first="  - ", rest="    ")
        if len(notes) > MAX_NOTES:
            yield f"  ... and {count(len(notes) - MAX_NOTES, 'more note')} in the {ELSEWHERE}"


def _predictions(predictions: Sequence[Prediction], page: Page) -> Iterator[str]:
    before = None
    for prediction in predictions:
        if prediction.scenario != before:
            yield from wrap(f"What if: {prediction.scenario}", page.columns, rest="  ")
        before = prediction.scenario
        yield from wrap(effect(prediction), page.columns, first="  ", rest="    ")
        if prediction.runs_touched:
            yield from wrap(lengths(prediction), page.columns, first="    ", rest="    ")
        yield from wrap("Assuming that:", page.columns, first="    ")
        for assumption in prediction.assumptions:
            yield from wrap(assumption, page.columns, first="    - ", rest="      ")
        yield ""


def headline(overview: Overview) -> str:
    """Say in one line what ran, how often, how it ended and how long it took."""
    runs = count(len(overview.executions), "run")
    return f"{overview.workflow}: {runs}, {overview.status}, {overview.duration}"


def _waterfall(overview: Overview, page: Page) -> Iterator[str]:
    drawn = waterfall(overview.drawn, max_rows=MAX_ROWS)
    if drawn.hidden == 1:
        # Saying that there is one more would take as much room as showing it.
        drawn = waterfall(overview.drawn, max_rows=MAX_ROWS + 1)
    which = "Slowest run" if len(overview.executions) > 1 else "The run"
    length = duration(drawn.execution.duration_ns)
    title = clip(f"  {which}, trace {drawn.execution.trace_id[:8]}", page.name_columns + KIND_COLUMNS + 2)
    scale = "0 s" + length.rjust(page.bar_columns - len("0 s"))
    yield f"{pad(title, page.name_columns + KIND_COLUMNS + 4)}{scale}"
    for row in drawn.rows:
        yield _row(row, drawn, page)
    if drawn.hidden:
        yield f"  ... and {count(drawn.hidden, 'more operation')} in the HTML report"
    marks = page.marks
    legend = f"{marks.path} critical path: the run waited for it; {marks.parallel} in parallel; {marks.wait} waiting"
    yield from wrap(legend, page.columns, first="  ", rest="    ")


def _row(row: Row, drawn: Waterfall, page: Page) -> str:
    marks = page.marks
    calls = f" {marks.times}{row.calls}" if row.calls > 1 else ""
    indent = "  " * min(row.depth, MAX_DEPTH)
    failed = " !" if row.failed else ""
    room = page.name_columns - len(indent) - len(calls) - len(failed)
    label = f"{indent}{clip(clean(row.name), room, ellipsis=marks.ellipsis)}{calls}{failed}"
    length = duration(row.duration_ns).rjust(DURATION_COLUMNS)
    bar = f"{marks.edge}{_bar(row, drawn, page)}{marks.edge}"
    return f"  {pad(label, page.name_columns)} {pad(row.kind.value, KIND_COLUMNS)}{bar}{length}"


def _bar(row: Row, drawn: Waterfall, page: Page) -> str:
    """Draw the operations, then the critical path over them; whatever exists gets at least one cell."""
    cells = [" "] * page.bar_columns
    marks = page.marks
    is_wait = row.kind is OperationKind.WAIT
    for operation in row.operations:
        _fill(cells, drawn, (operation.start_ns, operation.end_ns), marks.wait if is_wait else marks.parallel)
    for interval in () if is_wait else row.on_path:
        _fill(cells, drawn, interval, marks.path)
    return "".join(cells)


def _fill(cells: list[str], drawn: Waterfall, interval: tuple[int, int], mark: str) -> None:
    start_ns, total_ns = drawn.execution.start_ns, max(1, drawn.execution.duration_ns)
    first, last = (min(1.0, max(0.0, (moment_ns - start_ns) / total_ns)) * len(cells) for moment_ns in interval)
    begin = min(round(first), len(cells) - 1)
    for number in range(begin, max(begin + 1, round(last))):
        cells[number] = mark


def _findings(overview: Overview, page: Page) -> Iterator[str]:
    findings = overview.findings
    if not findings:
        yield "  No findings: no detector has evidence for a change that would save noticeable time."
        yield from wrap(f"Most of the time: {overview.shares}.", page.columns, first="  ", rest="    ")
        return
    yield f"  {count(len(findings), 'finding')}, worst first" if len(findings) > 1 else "  1 finding"
    # Saying that there is one more would take as much room as showing it.
    shown = len(findings) if len(findings) == MAX_FINDINGS + 1 else MAX_FINDINGS
    for number, finding in enumerate(findings[:shown], start=1):
        yield from _finding(number, finding, overview, page)
    others = [f"{finding.detector}, {_subject(finding)}" for finding in findings[shown:]]
    if others:
        named = "; ".join(others[:MAX_FINDINGS]) + ("; ..." if len(others) > MAX_FINDINGS else "")
        more = f"... and {count(len(others), 'more finding')} in the {ELSEWHERE}: {named}"
        yield from wrap(more, page.columns, first="  ", rest="      ")
    if overview.all_together:
        yield from wrap(overview.all_together, page.columns, first="  ", rest="    ")


def _finding(number: int, finding: Finding, overview: Overview, page: Page) -> Iterator[str]:
    heading = f"{number}. {finding.severity.value.upper()} {finding.detector}, {_subject(finding)}"
    yield from wrap(heading, page.columns, first="  ", rest="     ")
    yield from wrap(finding.summary, page.columns, first="     ", rest="     ")
    yield from wrap(
        f"{overview.saving(finding)}; confidence: {finding.confidence.value}", page.columns, first=" " * 5, rest=" " * 5
    )
    yield from wrap(finding.recommendation, page.columns, first=f"     {page.marks.arrow} ", rest="       ")


def _subject(finding: Finding) -> str:
    return f"{finding.subject.kind.value} {finding.subject.name}"
