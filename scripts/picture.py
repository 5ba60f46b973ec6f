"""Draw the README's picture: the waterfall of a recorded LangGraph run, as SVG."""

from collections.abc import Iterator
from html import escape

from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.report.units import duration
from otel_wfperf.report.waterfall import Row, Waterfall, waterfall
from scripts.paths import CAPTURE

WIDTH, ROW, NAMES, LENGTHS = 960, 22, 250, 90
COLOURS = {"workflow": "#5b6270", "phase": "#00639c", "tool": "#9a5b00", "llm": "#00735a"}
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1a1d23}.dim{fill:#565d6a}.ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e8eaee}.dim{fill:#a4acba}.ground{fill:#14161a}}"
)


def picture() -> str:
    """Return docs/waterfall.svg as it should be."""
    spans = read_spans(CAPTURE.read_bytes(), name=CAPTURE.name).spans
    [execution] = assemble(operation for span in spans if (operation := normalize(span)) is not None)
    drawn = waterfall(execution, max_rows=20)
    height = ROW * (len(drawn.rows) + 3)
    title = f"{execution.workflow}: {duration(execution.duration_ns)}; the line below the bars is the critical path"
    rows = "\n".join(_row(drawn, row, ROW * (number + 2)) for number, row in enumerate(drawn.rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>\n'
        f'<text x="12" y="{ROW}" class="dim">{escape(title)}</text>\n{rows}\n</svg>\n'
    )


def _row(drawn: Waterfall, row: Row, top: int) -> str:
    colour = COLOURS.get(row.kind.value, "#6d7480")
    name = f"{row.name} ({row.calls} calls)" if row.calls > 1 else row.name
    failed = " failed" if row.failed else ""
    bars = "".join(_bars(drawn, row, top, colour))
    return (
        f'<text x="{12 + 16 * row.depth}" y="{top + 15}">{escape(name + failed)}</text>{bars}'
        f'<text x="{WIDTH - 12}" y="{top + 15}" text-anchor="end" class="dim">{duration(row.duration_ns)}</text>'
    )


def _bars(drawn: Waterfall, row: Row, top: int, colour: str) -> Iterator[str]:
    scale = (WIDTH - NAMES - LENGTHS) / max(1, drawn.execution.duration_ns)

    def bar(interval: tuple[int, int], y: int, height: int, fill: str) -> str:
        left = NAMES + scale * (interval[0] - drawn.execution.start_ns)
        width = max(1.0, scale * (interval[1] - interval[0]))
        return f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{height}" fill="{fill}"/>'

    for operation in row.operations:
        yield bar((operation.start_ns, operation.end_ns), top + 4, 11, colour)
    for interval in row.on_path:
        yield bar(interval, top + 15, 3, "#d1495b")
