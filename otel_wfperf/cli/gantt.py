"""A predicted schedule as text: a bar for each step, the critical path marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from otel_wfperf.definitions.places import Place
from otel_wfperf.definitions.prediction import Prediction
from otel_wfperf.definitions.profiles import Profile, ProfileSource
from otel_wfperf.report.columns import clean, clip, pad, wrap
from otel_wfperf.report.text import Page
from otel_wfperf.report.units import count, duration_s

_DURATION_COLUMNS = 10


def render(prediction: Prediction, page: Page, notes: Iterable[str] = ()) -> str:
    """Write the schedule; it ends with a line break.

    Args:
        prediction: What is shown.
        page: Width and characters.
        notes: What else the reader should know, one sentence each.
    """
    bar_columns = max(10, page.columns - page.name_columns - _DURATION_COLUMNS - 4)
    lines = [*_heading(prediction, page), ""]
    end = duration_s(prediction.at_medians.duration_s)
    lines.append(f"  {pad('', page.name_columns)} 0 s{end.rjust(bar_columns - 3)}")
    lines += _rows(prediction, page, bar_columns)
    marks = page.marks
    legend = f"{marks.path} critical path; {marks.parallel} in parallel; every step at its median"
    lines += ["", *wrap(legend, page.columns, first="  ", rest="    ")]
    lines += wrap(f"Critical path: {_critical_path(prediction, page)}", page.columns, first="  ", rest="    ")
    for note in (*_profile_notes(prediction), *notes):
        lines += wrap(note, page.columns, first="  - ", rest="    ")
    return "\n".join(lines) + "\n"


def _heading(prediction: Prediction, page: Page) -> list[str]:
    total = prediction.total
    phases = count(len(prediction.definition.phases), "phase")
    interval = f"90 % interval: {duration_s(total.low_s)} to {duration_s(total.high_s)}"
    capacity = f", at most {prediction.max_parallel} at once" if prediction.max_parallel else ""
    at_once = prediction.work_s / (prediction.at_medians.duration_s or 1.0)
    first = (
        f"{prediction.definition.name}: {phases}, {count(len(prediction.tasks), 'step')}{capacity}, "
        f"about {duration_s(total.median_s)}"
    )
    second = f"{interval}; {duration_s(prediction.work_s)} of work, {at_once:.1f} steps at once on average"
    return [*wrap(first, page.columns, rest="  "), *wrap(second, page.columns, first="  ", rest="  ")]


def _rows(prediction: Prediction, page: Page, bar_columns: int) -> Iterator[str]:
    critical = set(prediction.at_medians.critical_path())
    phase = branch = None
    for number, task in enumerate(prediction.tasks):
        if task.place.phase != phase:
            phase = task.place.phase
            yield f"  {_titled(prediction, Place(phase), page.columns - 2, page)}"
        if task.place.branch is not None and task.place != branch and _is_titled(prediction):
            yield f"    {_titled(prediction, task.place, page.columns - 4, page)}"
        branch = task.place
        indent = "    " if task.place.branch is None or not _is_titled(prediction) else "      "
        text = clean(task.step.agent or task.step.text or "(no agent)")
        label = indent + clip(text, page.name_columns - len(indent), ellipsis=page.marks.ellipsis)
        mark = page.marks.path if number in critical else page.marks.parallel
        length = duration_s(prediction.profiles[number].median_s).rjust(_DURATION_COLUMNS)
        bar = _bar(prediction, number, mark, bar_columns)
        yield f"  {pad(label, page.name_columns)}{page.marks.edge}{bar}{page.marks.edge}{length}"


def _bar(prediction: Prediction, number: int, mark: str, columns: int) -> str:
    times, total_s = prediction.at_medians, prediction.at_medians.duration_s or 1.0
    first = min(round(times.starts_s[number] / total_s * columns), columns - 1)
    last = max(first + 1, round(times.ends_s[number] / total_s * columns))
    return " " * first + mark * (last - first) + " " * (columns - last)


def _is_titled(prediction: Prediction) -> bool:
    """Tell whether branches have a line of their own: nodes of a graph are named by their step already."""
    return not prediction.definition.from_graph


def _titled(prediction: Prediction, place: Place, columns: int, page: Page) -> str:
    phase = prediction.definition.phases[place.phase]
    named = phase if place.branch is None else phase.branches[place.branch]
    title = f"{named.name}: {named.title}" if named.title and named.title != named.name else named.name
    return clip(clean(title), columns, ellipsis=page.marks.ellipsis)


def _critical_path(prediction: Prediction, page: Page) -> str:
    names = []
    for number in prediction.at_medians.critical_path():
        task = prediction.tasks[number]
        name = task.step.agent or prediction.definition.phases[task.place.phase].name
        names.append(f"{name} ({duration_s(prediction.profiles[number].median_s)})")
    return f" {page.marks.arrow} ".join(names)


def _profile_notes(prediction: Prediction) -> Iterator[str]:
    """Say where the durations are from."""
    found: dict[ProfileSource, dict[str, Profile]] = {}
    for task, profile in zip(prediction.tasks, prediction.profiles, strict=True):
        found.setdefault(profile.source, {})[task.step.agent or "steps without an agent"] = profile
    for source in ProfileSource:
        names = found.get(source, {})
        listed = ", ".join(sorted(names))
        if not names:
            continue
        if source is ProfileSource.LIVE:
            measured = ", ".join(f"{name} ({count(names[name].count, 'call')})" for name in sorted(names))
            yield f"measured: {measured}"
        elif source is ProfileSource.PRIOR:
            yield f"not measured, usual times of such agents taken (--profiles gives yours): {listed}"
        elif source is ProfileSource.ASSUMED:
            low, high = next(iter(names.values())).quantiles_s
            guess = "so the total is a guess; " if len(found) == 1 else ""
            yield f"nothing known, {guess}{duration_s(low)} to {duration_s(high)} assumed for each: {listed}"
        else:
            yield f"as the definition says: {listed}"
