"""The report as one HTML file: no network, no script; readable printed, on a telephone, in the dark, by ear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from otel_wfperf.analysis.prediction import Prediction
from otel_wfperf.analysis.summary import summarize
from otel_wfperf.model import Execution, Finding, OperationKind
from otel_wfperf.report.frame import whole_page
from otel_wfperf.report.markup import Html, element, join
from otel_wfperf.report.overview import Overview, overviews
from otel_wfperf.report.predictions import effect, lengths
from otel_wfperf.report.units import count, duration, duration_s
from otel_wfperf.report.waterfall import Row, Waterfall, waterfall

# Chosen: 2 000 rows of SVG took a browser 1.3 s; a few hundred plain elements are instant.
MAX_ROWS = 80
MAX_WORKFLOWS = 50

UNITS = frozenset({"s", "ns", "bytes", "tokens", "ratio", "usd"})

LETTERS: Mapping[OperationKind, str] = {
    OperationKind.WORKFLOW: "W",
    OperationKind.PHASE: "P",
    OperationKind.AGENT: "A",
    OperationKind.TOOL: "T",
    OperationKind.LLM: "L",
    OperationKind.RETRIEVAL: "R",
    OperationKind.EMBEDDING: "E",
    OperationKind.MEMORY: "M",
    OperationKind.PLAN: "N",
    OperationKind.WAIT: "~",
    OperationKind.CONTEXT: "C",
    OperationKind.HANDOFF: "H",
    OperationKind.OTHER: "·",
}


def render(
    executions: Iterable[Execution],
    findings: Sequence[Finding],
    errors: Sequence[str] = (),
    *,
    predictions: Sequence[Prediction] = (),
    home: str | None = None,
) -> str:
    """Write the page; the arguments are those of :func:`otel_wfperf.report.text.render`, and a link back."""
    found = overviews(executions, findings)
    sections = [_workflow(number, overview) for number, overview in enumerate(found[:MAX_WORKFLOWS])]
    main = element(
        "main",
        element("p", element("a", "All executions", href=home)) if home else None,
        element("h1", "otel-wfperf report"),
        _contents(found) if len(found) > 1 else None,
        _predictions(predictions) if predictions else None,
        *(sections or [element("p", "No workflow executions found.")]),
        _errors(errors) if errors else None,
    )
    title = ", ".join(overview.workflow for overview in found[:3]) or "Nothing"
    return whole_page(f"{title} - otel-wfperf", main)


def _predictions(predictions: Sequence[Prediction]) -> Html:
    articles = [
        element(
            "article",
            element("h3", each.scenario),
            element("p", f"{effect(each)}.", class_="saving"),
            element("p", f"{_sentence(lengths(each))}.") if each.runs_touched else None,
            element("details", element("summary", "Assumptions"), element("ul", *_items(each.assumptions))),
            class_="finding",
        )
        for each in predictions
    ]
    return element("section", element("h2", "What if", id="what-if"), *articles, aria_labelledby="what-if")


def _items(sentences: Iterable[str]) -> Iterator[Html]:
    return (element("li", sentence) for sentence in sentences)


def _contents(found: Sequence[Overview]) -> Html:
    items = [
        element(
            "li",
            element("a", overview.workflow, href=f"#workflow-{number}"),
            f": {count(len(overview.findings), 'finding')}, {overview.duration}",
        )
        for number, overview in enumerate(found[:MAX_WORKFLOWS])
    ]
    if len(found) > MAX_WORKFLOWS:
        items.append(element("li", f"and {count(len(found) - MAX_WORKFLOWS, 'more workflow')} in the JSON report"))
    return element("nav", element("ul", join(items)), aria_label="Workflows")


def _workflow(number: int, overview: Overview) -> Html:
    drawn = waterfall(overview.drawn, max_rows=MAX_ROWS)
    title = f"workflow-{number}"
    return element(
        "section",
        element("h2", overview.workflow, id=title),
        _facts(overview),
        element("h3", "Findings"),
        *_findings(overview),
        element("h3", "Slowest run" if len(overview.executions) > 1 else "The run"),
        _waterfall(drawn),
        _legend(drawn),
        element("h3", "Phases and agents of this run"),
        *_figures(drawn),
        *_notes(overview),
        aria_labelledby=title,
    )


def _facts(overview: Overview) -> Html:
    facts = {
        "Runs": str(len(overview.executions)),
        "Status": overview.status,
        "Duration": overview.duration,
        "Model": overview.usage,
    }
    if overview.cpu:
        facts["CPU"] = overview.cpu
    if overview.unrecorded:
        what, _, lacking = overview.unrecorded.partition(": ")
        facts[what] = lacking
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in facts.items()]
    return element("dl", *pairs, class_="facts")


def _findings(overview: Overview) -> Iterator[Html]:
    if not overview.findings:
        yield element("p", "None: no detector has evidence for a change that would save noticeable time.")
        yield element("p", f"Most of the time: {overview.shares}.")
    for finding in overview.findings:
        yield element(
            "article",
            element(
                "h4",
                element("span", finding.severity.value, class_="severity"),
                f"{finding.detector}: {finding.subject.kind.value} {finding.subject.name}",
            ),
            element("p", finding.summary),
            element(
                "p", f"{_sentence(overview.saving(finding))}; confidence: {finding.confidence.value}.", class_="saving"
            ),
            element("p", finding.recommendation, class_="advice"),
            _evidence(finding),
            class_=f"finding {finding.severity.value}",
        )
    if overview.all_together:
        yield element("p", f"{_sentence(overview.all_together)}.", class_="saving")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evidence(finding: Finding) -> Html:
    rows = [
        element("tr", element("th", _label(name), scope="row"), element("td", _plain(value)))
        for name, value in finding.evidence.items()
    ]
    if finding.advice is not None:
        setting = f"{finding.advice.optimizer}: {finding.advice.knob} = {finding.advice.value}"
        rows.append(element("tr", element("th", "advice to the optimizer", scope="row"), element("td", setting)))
    spans = element("td", ", ".join(finding.span_ids), class_="mono")
    rows.append(element("tr", element("th", "example spans", scope="row"), spans))
    seen = element("td", ", ".join(finding.trace_ids[:10]), class_="mono")
    rows.append(element("tr", element("th", f"seen in {count(len(finding.trace_ids), 'run')}", scope="row"), seen))
    return element("details", element("summary", "Evidence"), element("table", join(rows), class_="evidence"))


def _label(name: str) -> str:
    """Turn the name of a value into words, its unit apart: ``longest_step_s`` is ``longest step (s)``."""
    subject, _, unit = name.rpartition("_")
    if subject and unit in UNITS:
        return f"{subject.replace('_', ' ')} ({unit})"
    return name.replace("_", " ")


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _waterfall(drawn: Waterfall) -> Html:
    run = drawn.execution
    caption = f"Trace {run.trace_id}, {count(len(run.operations), 'operation')}"
    if drawn.hidden:
        caption += f", of which {drawn.hidden} of little weight are not drawn"
    scale = element("span", "0 s"), element("span", duration(run.duration_ns))
    head = element(
        "tr",
        element("th", "Operation", scope="col", class_="name"),
        element("th", element("div", *scale, class_="scale"), scope="col", class_="bars"),
        element("th", "Duration", scope="col", class_="length"),
    )
    return element(
        "table",
        element("caption", caption, class_="mono"),
        element("thead", head),
        element("tbody", _path_row(drawn), *(_row(row, drawn) for row in drawn.rows)),
        class_="waterfall",
    )


def _path_row(drawn: Waterfall) -> Html:
    """Draw the whole critical path in one lane."""
    sections = []
    for section in drawn.path.sections:
        operation = drawn.execution.by_id[section.span_id]
        title = f"{operation.name or operation.span_name}: {duration(section.duration_ns)}"
        sections.append(_bar(drawn, (section.start_ns, section.end_ns), f"section {operation.kind.value}", title=title))
    return element(
        "tr",
        element("th", element("strong", "Critical path"), scope="row", class_="name"),
        element("td", element("div", *sections, class_="lane", aria_hidden="true"), class_="bars"),
        element("td", duration(drawn.execution.duration_ns), class_="length"),
        class_="path",
    )


def _row(row: Row, drawn: Waterfall) -> Html:
    kind = row.kind.value
    name = f"{row.name}, {count(row.calls, 'call')}" if row.calls > 1 else row.name
    label = element(
        "div",
        element("span", LETTERS[row.kind], class_=f"kind {kind}", title=kind, aria_label=kind, role="img"),
        element("span", name, element("span", " failed", class_="failed") if row.failed else None, title=name),
        class_="label",
        style=f"--depth: {min(row.depth, 8)}",
    )
    bars = [_bar(drawn, (each.start_ns, each.end_ns), f"span {kind}") for each in row.operations]
    if row.kind is not OperationKind.WAIT:
        bars += [_bar(drawn, interval, f"on-path {kind}") for interval in row.on_path]
    return element(
        "tr",
        element("th", label, scope="row", class_="name"),
        element("td", element("div", *bars, class_="lane", aria_hidden="true"), class_="bars"),
        element(
            "td", duration(row.duration_ns), class_="length", title=f"{duration(row.path_ns)} on the critical path"
        ),
    )


def _bar(drawn: Waterfall, interval: tuple[int, int], class_: str, *, title: str | None = None) -> Html:
    start_ns, total_ns = drawn.execution.start_ns, max(1, drawn.execution.duration_ns)
    left, right = (min(100.0, max(0.0, 100 * (moment_ns - start_ns) / total_ns)) for moment_ns in interval)
    return element("i", class_=class_, style=f"left:{left:.3f}%;width:{right - left:.3f}%", title=title)


def _legend(drawn: Waterfall) -> Html:
    samples = {
        "span phase": "in parallel, not waited for",
        "on-path phase": "critical path: the run waited for it",
        "span wait": "waiting for a slot, lock, limit or person",
    }
    kinds = [
        element("li", element("span", LETTERS[kind], class_=f"kind {kind.value}", aria_hidden="true"), kind.value)
        for kind in OperationKind
        if any(row.kind is kind for row in drawn.rows)
    ]
    bars = [
        element("li", element("span", element("i", class_=class_), class_="lane", aria_hidden="true"), meaning)
        for class_, meaning in samples.items()
    ]
    return element("ul", *kinds, *bars, class_="legend", aria_label="Legend")


def _figures(drawn: Waterfall) -> Iterator[Html]:
    summary = summarize(drawn.execution, drawn.path)
    phases = [
        (phase.name, phase.calls, duration(phase.duration_ns), duration(phase.critical_path_ns))
        for phase in sorted(summary.phases, key=lambda phase: -phase.critical_path_ns)
    ]
    agents = [
        (
            agent.name,
            agent.calls,
            duration(agent.busy_ns),
            duration(agent.wait_ns),
            agent.tokens.input,
            agent.tokens.output,
            _known(agent.cpu_s),
            _known(agent.loop_blocked_s),
        )
        for agent in sorted(summary.agents, key=lambda agent: -agent.busy_ns)
    ]
    yield _table(("Phase", "Runs", "Duration", "On the critical path"), phases)
    yield _table(("Agent", "Runs", "Busy", "Waiting", "Tokens in", "Tokens out", "CPU time", "Blocked loop"), agents)


def _known(length_s: float | None) -> str:
    return "" if length_s is None else duration_s(length_s)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    if not rows:
        return element("p", f"{header[0]}s: none recorded.", class_="dim")
    head = element("tr", *(element("th", name, scope="col") for name in header))
    body = [
        element("tr", element("th", name, scope="row"), *(element("td", value) for value in values))
        for name, *values in rows
    ]
    table = element("table", element("thead", head), element("tbody", join(body)), class_="figures")
    return element("div", table, class_="scroll")


def _notes(overview: Overview) -> Iterator[Html]:
    if overview.notes:
        yield element("h3", "Notes")
        yield element("ul", *(element("li", note) for note in overview.notes))


def _errors(errors: Sequence[str]) -> Html:
    title = element("h2", "Not read", id="not-read")
    return element(
        "section", title, element("ul", *(element("li", error) for error in errors)), aria_labelledby="not-read"
    )
