"""Names and values that would do harm if a page took them for markup, and what a browser made of a page with them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MARK: Final = "harmed"
_DO: Final = f"document.documentElement.setAttribute('{MARK}','1')"
# Each with a number in it, so that it can be told apart on the page.
_PAYLOADS: Final = (
    f"<script>{_DO}</script>@",
    f'"><script>{_DO}</script>@',
    f"'><script>{_DO}</script>@",
    f"</td></tr></table><script>{_DO}</script>@",
    f"</title><script>{_DO}</script>@",
    f"</style><script>{_DO}</script>@",
    f"<img src=x onerror={_DO}>@",
    f'" onmouseover="{_DO}" autofocus onfocus="{_DO}" x="@',
    f"' style='animation:x' onanimationstart='{_DO}' x='@",
    f"<svg/onload={_DO}>@",
    f"<svg><animate onbegin={_DO} attributeName=x dur=1s>@",
    f"javascript:{_DO}//@",
    f"<a href=javascript:{_DO}>@</a>",
    f"<iframe srcdoc='<script>parent.{_DO}</script>'></iframe>@",
    "<meta http-equiv=refresh content='0;url=data:text/html,gone'>@",
    "<base href=https://evil.example/>@",
    "<link rel=stylesheet href=https://evil.example/x.css>@",
    "<form action=https://evil.example><input name=a></form>@",
    f"<!--><script>{_DO}</script>@-->",
    f"\u003cscript\u003e{_DO}\u003c/script\u003e@&lt;script&gt;",
    f"{{{{constructor.constructor('{_DO}')()}}}}@",
    f"<math><mtext><table><mglyph><style><img src=x onerror={_DO}>@",
    f"\x00<scr\x00ipt>{_DO}</script>@",
    f"<scr<script>ipt>{_DO}</script>@",
    f"\u2028<script>{_DO}</script>\u202e@",
)
_ELEMENTS: Final = frozenset(
    {"script", "img", "iframe", "object", "embed", "base", "link", "form", "input", "math", "animate", "meta"}
)
_PLACES: Final = (
    "gen_ai.agent.name",
    "gen_ai.tool.name",
    "gen_ai.request.model",
    "gen_ai.conversation.id",
    "error.type",
    "server.address",
    "app.note",
)


def payload(number: int) -> str:
    """Return the hostile text of a number."""
    return _PAYLOADS[number % len(_PAYLOADS)].replace("@", f" payload-{number}-end")


def executions(texts: int) -> Iterator[tuple[str, bytes, int]]:
    """Make executions of ten spans with hostile names and values: trace id, request, how many texts are in it.

    Every third span is slow, fails and is repeated, so that there is something to find and to show.
    """
    number = 0
    trace = 1
    while number < texts:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = payload(number)
        spans = resource.scope_spans.add().spans
        trace_id = (trace * 7919).to_bytes(16, "big")
        used = 1
        for at in range(10):
            span = spans.add(
                trace_id=trace_id,
                span_id=(at + 1).to_bytes(8, "big"),
                parent_span_id=b"" if at == 0 else (1).to_bytes(8, "big"),
                name=payload(number + used),
                start_time_unix_nano=1_800_000_000_000_000_000 + at * 500_000_000,
                end_time_unix_nano=1_800_000_000_000_000_000 + (6_000 if at == 0 else (at + 1) * 500) * 1_000_000,
            )
            used += 1 + _describe(span, at, number + used + 1)
        yield trace_id.hex(), request.SerializeToString(), used
        number += used
        trace += 1


def _describe(span: Span, at: int, number: int) -> int:
    """Give a span hostile values; return how many."""
    operation = "invoke_workflow" if at == 0 else ("invoke_agent", "execute_tool", "chat")[at % 3]
    span.attributes.add(key="gen_ai.operation.name").value.string_value = operation
    if at == 0:
        span.attributes.add(key="gen_ai.workflow.name").value.string_value = payload(number)
        return 1
    for offset, key in enumerate(_PLACES):
        span.attributes.add(key=key).value.string_value = payload(number + offset)
    span.attributes.add(key=payload(number)).value.string_value = payload(number + 1)
    span.events.add(name=payload(number), time_unix_nano=span.start_time_unix_nano)
    if at % 3 == 0:
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = payload(number + 2)
    return len(_PLACES)


class _Elements(HTMLParser):
    """Collects what a page must not have."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        own = tag == "meta" and ("charset" in values or values.get("name") == "viewport")
        if tag in _ELEMENTS and not own:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name == MARK or (value or "").strip().lower().startswith("javascript:"):
                self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def visit(browser: Path, url: str, profile: Path) -> tuple[list[str], str]:
    """Show a page in Chromium; return the harm done (elements, scripts, complaints of the browser) and its text."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]
    command = [str(browser), *flags, f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    page = _Elements()
    page.feed(done.stdout)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return page.found + complaints, "".join(page.text)


def control_page() -> str:
    """Return a page on which the payloads do their harm, to see that it would be noticed."""
    policy = "<meta http-equiv=Content-Security-Policy content=\"img-src 'none'\">"
    bodies = "".join(payload(number) for number in range(len(_PAYLOADS)) if "refresh" not in payload(number))
    return f"<!doctype html><html><head>{policy}</head><body>{bodies}</body></html>"
