"""Plain pages: recent executions, and one execution. Everything that came over the wire is escaped."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from otel_wfperf.report.frame import whole_page
from otel_wfperf.report.markup import Html, element
from otel_wfperf.report.units import count, duration_s

# No script at all; the style sheet is inline because a page is one file.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TABLES: Final = (
    "th, td { padding: .2rem .8rem .2rem 0; vertical-align: top; } tr { border-bottom: 1px solid var(--line); }"
)

# Chosen: more than anybody reads; a path may have tens of thousands of sections.
_MAX_ROWS: Final = 500

Document = Mapping[str, Any]


def index(
    executions: Sequence[Document], findings: Sequence[Document], *, live: Sequence[Document], running: int
) -> str:
    """Render what runs, the list of recent executions and the worst findings."""
    rows = [
        (
            element("a", one["trace_id"], href=f"/executions/{one['trace_id']}", class_="mono"),
            one["workflow"],
            one["status"],
            _moment(one["start_unix_ns"]),
            duration_s(one["duration_s"]),
            one["span_count"],
        )
        for one in executions
    ]
    return _page(
        "otel-wfperf",
        element("h1", "Workflow executions"),
        element("p", f"{running} running, {count(len(executions), 'execution')} shown."),
        *_live(live),
        _table(("execution", "workflow", "status", "started (UTC)", "duration", "spans"), rows),
        *_findings(findings),
    )


def _live(executions: Sequence[Document]) -> tuple[Html, ...]:
    """Show what runs: each execution with its open spans, what has stalled first."""
    running = sorted(
        (one for one in executions if not one["root_ended"]), key=lambda one: (not one["stalled"], one["start_unix_ns"])
    )
    rows: list[Sequence[object]] = []
    for one in running:
        state = f"stalled: {one['stalled_reason']}" if one["stalled"] else "running"
        rows.append((one["trace_id"][:8], one["workflow"] or "not known yet", "", state, duration_s(one["age_s"])))
        rows += [
            (
                "",
                " / ".join(filter(None, (span["phase"], span["agent"]))),
                f"{span['kind'] or 'span'} {span['name'] or 'not known yet'}",
                f"stalled: {span['stalled_reason']}" if span["stalled"] else "",
                duration_s(span["age_s"]),
            )
            for span in one["open_spans"]
        ]
    table = _table(("running", "workflow", "open", "state", "for"), rows[:_MAX_ROWS])
    return (table, element("h2", "Finished")) if rows else ()


def running(live: Document) -> str:
    """Render one execution that is not complete, with its open spans."""
    name = live["workflow"] or "not known yet"
    state = "ended; it is analysed as soon as its last spans are here" if live["root_ended"] else "running"
    return _page(
        name,
        element("h1", element("a", "All executions", href="/")),
        element("h2", name),
        element("p", live["trace_id"], class_="mono"),
        element("p", f"{state}; began {_moment(live['start_unix_ns'])}, {duration_s(live['age_s'])} ago."),
        *_live([live])[:1],
    )


def execution(document: Document, findings: Sequence[Document]) -> str:
    """Render one execution from what the store has of it: its spans are no longer here."""
    facts = (
        document["status"],
        _moment(document["start_unix_ns"]),
        duration_s(document["duration_s"]),
        count(document["span_count"], "span"),
    )
    path = [
        (one["name"], one["kind"], duration_s(one["start_s"]), duration_s(one["duration_s"]))
        for one in document["critical_path"]
    ]
    phases = [
        (one["name"], duration_s(one["duration_s"]), duration_s(one["exclusive_s"]), duration_s(one["critical_path_s"]))
        for one in document["phases"]
    ]
    return _page(
        document["workflow"],
        element("h1", element("a", "All executions", href="/")),
        element("h2", document["workflow"]),
        element("p", document["trace_id"], class_="mono"),
        element("p", ", ".join(facts)),
        element("p", "Its spans are no longer in memory, so there is no waterfall; this is what was stored of it."),
        *_findings(findings),
        element("h3", "Critical path"),
        _table(("operation", "kind", "start", "duration"), path[:_MAX_ROWS]),
        *([element("p", f"{len(path) - _MAX_ROWS} more are in /api/v1/executions.")] if len(path) > _MAX_ROWS else []),
        element("h3", "Phases"),
        _table(("phase", "duration", "exclusive", "on the critical path"), phases[:_MAX_ROWS]),
        element("h3", "Agents"),
        _agents(document["agents"]),
    )


def _agents(agents: Sequence[Document]) -> Html:
    rows = [
        (
            one["name"],
            one["calls"],
            duration_s(one["busy_s"]),
            duration_s(one["wait_s"]),
            one["input_tokens"],
            one["output_tokens"],
            one["errors"],
        )
        for one in agents[:_MAX_ROWS]
    ]
    return _table(("agent", "calls", "busy", "waited", "tokens in", "tokens out", "errors"), rows)


def _findings(findings: Sequence[Document]) -> tuple[Html, Html]:
    rows = [
        (
            one["severity"],
            element("a", one["workflow"], href=f"/executions/{one['trace_ids'][-1]}")
            if one["trace_ids"]
            else one["workflow"],
            one["detector"],
            one["summary"],
            one["recommendation"],
            duration_s(one["saving_s"]["median"]) if one["saving_s"] else "",
        )
        for one in findings
    ]
    table = _table(("severity", "workflow", "detector", "what happens", "what to do", "saves about"), rows)
    return element("h3", "Findings"), table if rows else element("p", "None.")


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    return element("table", element("thead", head), element("tbody", *body))


def _moment(unix_ns: int) -> str:
    return datetime.fromtimestamp(unix_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page(title: str, *content: Html) -> str:
    return whole_page(title, element("main", *content), _TABLES)
