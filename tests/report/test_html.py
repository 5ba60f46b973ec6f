import re
from html.parser import HTMLParser

from otel_wfperf.model import Remove, Severity
from otel_wfperf.report.html import render
from tests.report.runs import TRACE_ID, blocking, execution, finding, operation, research, skewed

VOID = {"meta", "br", "hr", "link"}


class Outline(HTMLParser):
    """Collects elements and text; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def parse(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert not outline.open
    return outline


def test_is_one_file_that_fetches_and_runs_nothing() -> None:
    page = render([research(), skewed()], [finding()], ["a.json: is not JSON"])
    outline = parse(page)

    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert not {tag for tag, _ in outline.tags} & {"script", "link", "img", "iframe", "object", "embed", "form"}
    assert not re.search(r"url\(|@import|https?:|src=|\son\w+=", page)


def test_escapes_everything_that_came_from_outside() -> None:
    evil = "<script>alert(1)</script>\"'&"
    run = execution(operation("run", None, 0, 10, name=evil, span_name=evil), workflow=evil)
    found = finding(workflow=evil, summary=evil, recommendation=evil, evidence={evil: (evil,)}, span_ids=(evil,))
    page = render([run], [found], [evil])

    assert "<script" not in page
    assert "".join(parse(page).text).count(evil) >= 7


def test_shows_findings_with_their_evidence() -> None:
    text = " ".join(parse(render([research()], [finding()])).text)

    for shown in ("high", "missed_parallelism: phase fetch", "Run them at once.", "durations (s)", "0.8, 0.8, 0.8"):
        assert shown in text
    assert "concurrency: max_parallel = 3" in text
    assert "Saves about 1.60 s per run" in text


def test_draws_the_critical_path_and_hatches_waits() -> None:
    outline = parse(render([research()], []))
    bars = [attributes for tag, attributes in outline.tags if tag == "i"]
    sections = [bar for bar in bars if str(bar["class"]).startswith("section")]
    [queue] = [bar for bar in bars if bar["class"] == "span wait" and bar.get("style")]

    assert [bar["title"] for bar in sections][:2] == ["small: 1.00 s", "load: 800 ms"]
    shares = [float(str(bar["style"]).rpartition("width:")[2].rstrip("%")) for bar in sections]
    assert abs(sum(shares) - 100) < 0.01
    assert queue["style"] == "left:58.333%;width:8.333%"


def test_names_what_screen_readers_need() -> None:
    outline = parse(render([research()], [finding()]))
    ids = {attributes["id"] for _, attributes in outline.tags if "id" in attributes}

    labelled = [attributes["aria-labelledby"] for _, attributes in outline.tags if "aria-labelledby" in attributes]
    assert labelled
    assert set(labelled) <= ids
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")
    assert all(attributes.get("aria-label") for _, attributes in outline.tags if attributes.get("role") == "img")


def test_lists_several_workflows_with_links_to_them() -> None:
    runs = [execution(operation("run", None, 0, 10), workflow=name) for name in ("a", "b")]
    outline = parse(render(runs, [finding(workflow="b", severity=Severity.LOW)]))
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]

    assert links == ["#workflow-0", "#workflow-1"]


def test_says_so_when_there_is_nothing() -> None:
    assert "No workflow executions found." in render([], [])


def test_shows_cpu_time_and_blocking_of_agents_where_they_are_known() -> None:
    known, unknown = (" ".join(parse(render([run], [])).text) for run in (blocking(), research()))

    assert "CPU time: writer 100 ms; the event loop was blocked by writer for 300 ms" in known
    assert "CPU time Blocked loop writer 1 1.00 s 0 s 0 0 100 ms 300 ms" in known
    assert "the event loop was blocked" not in unknown


def test_says_what_all_findings_save_together() -> None:
    found = [
        finding(detector=f"rule_{number}", changes={TRACE_ID: (Remove(frozenset(span_ids)),)})
        for number, span_ids in enumerate((("t1", "t2"), ("t2", "t3")))
    ]

    assert "All findings together: saves about 2.00 s of 6.00 s per run, 33 %." in render([research()], found)
