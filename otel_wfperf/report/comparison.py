"""The comparison of two sets of runs: as text for people, as JSON values for programs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from otel_wfperf.analysis.comparison import (
    MIN_RUNS,
    MIN_SHARE,
    Comparison,
    PartComparison,
    Verdict,
    WorkflowComparison,
)
from otel_wfperf.model import Subject
from otel_wfperf.report.columns import clean, clip, pad, wrap
from otel_wfperf.report.document import Document
from otel_wfperf.report.text import Page, written
from otel_wfperf.report.units import count, duration, seconds

# Chosen: one screen for one workflow; what changed is always shown.
MAX_ROWS = 20
_TIME_COLUMNS = 11
_RATIO_COLUMNS = 7
_INTERVAL_COLUMNS = 15
_P_COLUMNS = 10
_VERDICT_COLUMNS = 12
# Chosen: what tokens or calls may differ by without being worth a sentence.
_EQUAL_RATIO = 1.05
_MAX_NAMED = 3
_MAX_CALLS = 5


def comparison_document(comparison: Comparison, errors: Sequence[str] = ()) -> Document:
    """Describe a comparison as JSON values; durations are seconds, what is not known is null."""
    return {
        "verdict": comparison.verdict.value,
        "level": comparison.level,
        "workflows": [_workflow_document(each) for each in comparison.workflows],
        "too_few_runs": [
            {"workflow": workflow, "runs_before": before, "runs_after": after, "runs_needed": MIN_RUNS}
            for workflow, (before, after) in comparison.too_few.items()
        ],
        "other_inputs": [
            {"workflow": workflow, "comparable_before": before, "comparable_after": after, "runs_needed": MIN_RUNS}
            for workflow, (before, after) in comparison.other_inputs.items()
        ],
        "errors": list(errors),
    }


def _workflow_document(found: WorkflowComparison) -> Document:
    return {
        "workflow": found.workflow,
        "verdict": found.verdict.value,
        "whole": _part_document(found.whole),
        "parts": [_part_document(each) for each in found.parts],
        "only_before": [_subject_document(each) for each in found.only_before],
        "only_after": [_subject_document(each) for each in found.only_after],
        "calls": [
            {"kind": each.kind, "name": each.name, "before_per_run": each.before, "after_per_run": each.after}
            for each in found.calls
        ],
    }


def _subject_document(part: Subject) -> Document:
    return {"kind": part.kind.value, "name": part.name}


def _part_document(each: PartComparison) -> Document:
    return {
        **_subject_document(each.part),
        "verdict": each.verdict.value,
        "runs_before": each.runs_before,
        "runs_after": each.runs_after,
        "comparable_before": each.comparable_before,
        "comparable_after": each.comparable_after,
        "before_s": seconds(round(each.before_ns)),
        "after_s": seconds(round(each.after_ns)),
        "ratio": each.ratio if each.is_tested else None,
        "ratio_low": each.ratio_low if each.is_tested else None,
        "ratio_high": each.ratio_high if each.is_tested else None,
        "input_ratio": each.input_ratio if each.is_tested else None,
        "p": each.p if each.is_tested else None,
        "smallest_ratio": each.smallest_ratio if math.isfinite(each.smallest_ratio) else None,
    }


def render_comparison(comparison: Comparison, errors: Sequence[str] = (), *, page: Page | None = None) -> str:
    """Write a comparison as text; it ends with a line break."""
    page = page or Page()
    lines: list[str] = []
    for found in comparison.workflows:
        lines += [*_workflow(found, page), ""]
    for workflow, (before, after) in comparison.too_few.items():
        told = f"{workflow}: not compared, {before} before and {count(after, 'run')} after; at least {MIN_RUNS} each"
        lines += [*wrap(f"{told} are needed.", page.columns, rest="  "), ""]
    for workflow, (before, after) in comparison.other_inputs.items():
        told = f"{workflow}: not compared, {other_inputs(before, after)}"
        lines += [*wrap(f"{told}.", page.columns, rest="  "), ""]
    for error in errors:
        lines += wrap(f"not read: {error}", page.columns, rest="  ")
    return written(lines, page)


def other_inputs(before: int, after: int) -> str:
    """Say how many runs have an input that occurs on both sides (counts), and how many are needed."""
    return (
        f"{before} of the runs before and {after} after were given something that runs of the other side were given "
        f"too; at least {MIN_RUNS} each are needed: repeat the same inputs"
    )


def _workflow(found: WorkflowComparison, page: Page) -> Iterator[str]:
    runs = f"{count(found.whole.runs_before, 'run')} before, {found.whole.runs_after} after"
    yield from wrap(f"{found.workflow}: {headline(found)}, {runs}", page.columns, rest="  ")
    yield from wrap(conclusion(found), page.columns, first="  ", rest="  ")
    yield ""
    shown = [found.whole, *_shown(found)]
    name_columns = page.columns - 2 - 2 * _TIME_COLUMNS - _RATIO_COLUMNS - _INTERVAL_COLUMNS - _P_COLUMNS
    name_columns = max(12, name_columns - _VERDICT_COLUMNS - 2)
    yield _row(("", "before", "after", "ratio", "90 % interval", "p", ""), name_columns)
    for each in shown:
        yield _row(cells(each, name_columns, page), name_columns)
    hidden = len(found.parts) + 1 - len(shown)
    if hidden:
        yield f"  ... and {count(hidden, 'more part')} without a verdict in the JSON report"
    said = list(notes(found))
    if said:
        yield ""
        for note in said:
            yield from wrap(note, page.columns, first="  - ", rest="    ")


def headline(found: WorkflowComparison) -> str:
    """Say the verdict; of parts, where the whole has none."""
    if found.whole.verdict is not Verdict.NO_EVIDENCE or not found.changed:
        return found.verdict.value
    return f"parts {' and '.join(dict.fromkeys(each.verdict.value for each in found.changed))}"


def conclusion(found: WorkflowComparison) -> str:
    """Say in a sentence or two what the runs show, and what they could have shown."""
    whole = found.whole
    if whole.verdict is not Verdict.NO_EVIDENCE:
        interval = f"{whole.ratio_low:.2f} to {whole.ratio_high:.2f}"
        said = f"Runs take {whole.ratio:.2f} times as long as before (90 % interval {interval})."
        return f"{said} {_parts_changed(found) or _most_changed(found)}".rstrip()
    power = (
        f"runs that take {whole.smallest_ratio:.2f} times as long, or 1/{whole.smallest_ratio:.2f}, would have been "
        "found out in four of five cases"
    )
    if not found.changed:
        return f"No evidence of a change; with so many runs, {power}."
    return f"{_parts_changed(found)} No evidence that the whole did: {power}."


def _parts_changed(found: WorkflowComparison) -> str:
    """Name the parts that have a verdict; "" = none has."""
    parts = ", ".join(map(_times, found.changed[:_MAX_NAMED]))
    more = f" and {len(found.changed) - _MAX_NAMED} more" if len(found.changed) > _MAX_NAMED else ""
    return f"Parts changed: {parts}{more}." if parts else ""


def _most_changed(found: WorkflowComparison) -> str:
    """Name the part whose time changed most with the whole, though it has no verdict; "" = none did."""
    slower = found.whole.verdict is Verdict.SLOWER
    tested = [each for each in found.parts if each.is_tested and (each.ratio > 1) == slower]
    if not tested:
        return ""
    most = max(tested, key=lambda each: abs(each.after_ns - each.before_ns))
    return f"Most of it may be {_times(most)}: so few runs cannot tell of a part."


def _times(each: PartComparison) -> str:
    return f"{each.part.kind.value} {each.part.name} ({each.ratio:.2f} times)"


def _shown(found: WorkflowComparison) -> list[PartComparison]:
    """Take what changed and the longest others, in their order."""
    rest = [each for each in found.parts if each.verdict is Verdict.NO_EVIDENCE]
    kept = {id(each) for each in (*found.changed, *rest[: max(0, MAX_ROWS - len(found.changed))])}
    return [each for each in found.parts if id(each) in kept]


def cells(each: PartComparison, name_columns: int, page: Page | None = None) -> tuple[str, ...]:
    """Write one part: its name, cut to so many columns, its figures, and its verdict."""
    kind = "" if each.part.kind.value == "workflow" else f"{each.part.kind.value} "
    name = "whole run" if not kind else f"{kind}{clean(each.part.name)}"
    times = duration(each.before_ns), duration(each.after_ns)
    name = clip(name, name_columns, ellipsis=(page or Page()).marks.ellipsis)
    if not each.is_tested:
        return (name, *times, "", "", "", "not tested")
    interval = f"{each.ratio_low:.2f} to {each.ratio_high:.2f}"
    p = "< 0.0001" if each.p < 0.0001 else f"{each.p:.4f}"
    verdict = "" if each.verdict is Verdict.NO_EVIDENCE else each.verdict.value
    return (name, *times, f"{each.ratio:.2f}", interval, p, verdict)


def _row(cells: tuple[str, ...], name_columns: int) -> str:
    name, *figures, verdict = cells
    widths = (_TIME_COLUMNS, _TIME_COLUMNS, _RATIO_COLUMNS, _INTERVAL_COLUMNS, _P_COLUMNS)
    numbers = "".join(text.rjust(columns) for text, columns in zip(figures, widths, strict=True))
    return f"  {pad(name, name_columns)}{numbers}  {verdict}".rstrip()


def notes(found: WorkflowComparison) -> Iterator[str]:
    """Say what explains the figures or limits them."""
    whole = found.whole
    left_out = whole.runs_before + whole.runs_after - whole.comparable_before - whole.comparable_after
    if whole.is_tested and left_out:
        yield f"{count(left_out, 'run')} left out: no run of the other side was given the same."
    for each in found.calls[:_MAX_CALLS]:
        yield f"{each.kind} {each.name}: {each.before:.3g} -> {each.after:.3g} calls a run."
    if len(found.calls) > _MAX_CALLS:
        yield f"The calls of {len(found.calls) - _MAX_CALLS} more changed; the JSON report has them."
    if not found.calls and abs(math.log(whole.input_ratio)) > math.log(_EQUAL_RATIO):
        yield (
            f"The runs after have {whole.input_ratio:.2f} times the input tokens or calls: if they were given more to "
            "do, compare runs that were given the same."
        )
    if found.only_before:
        yield f"No longer there: {_named(found.only_before)}."
    if found.only_after:
        yield f"New: {_named(found.only_after)}."
    if found.small:
        yield f"{count(found.small, 'part')} of less than {100 * MIN_SHARE:.0f} % of a run not tested."


def _named(parts: Sequence[Subject]) -> str:
    shown = ", ".join(f"{each.kind.value} {each.name}" for each in parts[:5])
    return f"{shown} and {len(parts) - 5} more" if len(parts) > 5 else shown
