import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest

from otel_wfperf.assembly import assemble
from otel_wfperf.cli import main
from otel_wfperf.conventions import normalize
from otel_wfperf.otlp.files import read_spans
from otel_wfperf.report.document import execution_document
from otel_wfperf.store import Analysed, Position, Store
from tests.cli.conftest import Wfperf

SECOND = 1_000_000_000
EPOCH_NS = 1_700_000_000 * SECOND


def span(trace: int, span_id: int, name: str, start_s: float, end_s: float, **attributes: str) -> dict[str, Any]:
    """Build an OTLP/JSON span; span 1 is the root; run ``n`` starts ``n`` minutes after the epoch."""
    start_ns = EPOCH_NS + trace * 60 * SECOND
    return {
        "traceId": f"{trace + 1:032x}",
        "spanId": f"{span_id:016x}",
        "parentSpanId": "" if span_id == 1 else f"{1:016x}",
        "name": name,
        "startTimeUnixNano": str(start_ns + round(start_s * SECOND)),
        "endTimeUnixNano": str(start_ns + round(end_s * SECOND)),
        "status": {"code": 2} if attributes.get("error__type") else {},
        "attributes": [
            {"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in attributes.items()
        ],
    }


def traces(
    runs: int, *, seed: int, first: int = 0, factor: float = 1.0, workflow: str = "team", failed: int = 0
) -> str:
    """Write runs of two phases of about 1 and 2 s; the second one takes ``factor`` times as long."""
    random = Random(seed)
    spans = []
    for number in range(first, first + runs):
        plan_s = math.exp(random.gauss(0, 0.3))
        end_s = plan_s + 2 * factor * math.exp(random.gauss(0, 0.3))
        trouble = {"error__type": "TimeoutError"} if number < first + failed else {}
        spans += [
            span(number, 1, workflow, 0, end_s, wfperf__span__kind="workflow", **trouble),
            span(number, 2, "plan", 0, plan_s, wfperf__span__kind="phase"),
            span(number, 3, "write", plan_s, end_s, wfperf__span__kind="phase"),
        ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


@pytest.fixture
def before(tmp_path: Path) -> Path:
    path = tmp_path / "before.json"
    path.write_text(traces(30, seed=1))
    return path


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def test_slower_runs_are_told_and_fail(before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=2, first=100, factor=1.5))

    assert main(["compare", str(before), str(after)]) == 1
    assert main(["compare", "--fail-on", "never", str(before), str(after)]) == 0

    printed = capfd.readouterr()
    assert printed.out.startswith("team: slower, 30 runs before, 30 after\n  Runs take 1.20 times as long as before")
    assert printed.err == ""
    rows = {line[2:22].strip(): line for line in printed.out.splitlines() if line.startswith("  ")}
    assert rows["phase write"].endswith("slower")
    assert not rows["phase plan"].endswith("slower")


def test_equal_runs_show_nothing_and_say_what_they_could_have_shown(
    before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=3, first=100))

    assert main(["compare", str(before), str(after)]) == 0

    said = capfd.readouterr().out
    assert said.startswith("team: no evidence, 30 runs before, 30 after\n  No evidence of a change; with so many runs,")
    assert "times as long, or 1/1." in said


def test_faster_runs_succeed(before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=2, first=100, factor=0.5))

    assert main(["compare", str(before), str(after)]) == 0
    assert capfd.readouterr().out.startswith("team: faster")


def test_a_tolerated_change_is_no_regression(before: Path, tmp_path: Path) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=2, first=100, factor=1.5))

    assert main(["compare", "--tolerance", "100%", str(before), str(after)]) == 0


def test_json_is_one_document(before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=2, first=100, factor=1.5))
    assert main(["compare", "--format", "json", str(before), str(after)]) == 1

    content = json.loads(capfd.readouterr().out)
    [workflow] = content["workflows"]
    assert (content["verdict"], workflow["workflow"], workflow["verdict"]) == ("slower", "team", "slower")
    assert {part["name"]: part["verdict"] for part in workflow["parts"]} == {"plan": "no evidence", "write": "slower"}
    assert workflow["whole"]["p"] < 0.01

    report = tmp_path / "report.json"
    assert main(["compare", "-o", str(report), str(before), str(after)]) == 1
    assert json.loads(report.read_text()) == content
    assert str(report) in capfd.readouterr().err


def test_html_is_one_page(before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = written(tmp_path / "after.json", traces(30, seed=2, first=100, factor=1.5))
    page = tmp_path / "change.html"

    assert main(["compare", "-o", str(page), str(before), str(after)]) == 1

    content = page.read_text()
    assert content.startswith("<!doctype html>")
    assert "<h2>team: slower</h2>" in content
    assert "Runs take 1.20 times as long as before" in content
    assert content.count('scope="row"') == 3
    assert main(["compare", "-o", str(tmp_path / "x.pdf"), str(before), str(after)]) == 2
    assert "the ending .pdf is that of no report" in capfd.readouterr().err


def calling(runs: int, *, first: int, calls: int) -> str:
    """Write runs of calls of one tool, 0.1 s each."""
    spans = []
    for number in range(first, first + runs):
        tool = {"wfperf__span__kind": "tool", "gen_ai__tool__name": "get_rates"}
        spans += [
            span(number, 1, "team", 0, 3 + 0.1 * calls + number * 7 % 10 / 1000, wfperf__span__kind="workflow"),
            *(span(number, 2 + call, "get_rates", 0.1 * call, 0.1 * call + 0.1, **tool) for call in range(calls)),
        ]
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})


def test_fewer_calls_are_faster_and_more_of_them_fail(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain = str(written(tmp_path / "plain.json", calling(6, first=0, calls=5)))
    cached = str(written(tmp_path / "cached.json", calling(6, first=100, calls=1)))

    assert main(["compare", plain, cached]) == 0
    faster = capfd.readouterr().out
    assert main(["compare", cached, plain]) == 1

    assert faster.startswith("team: faster, 6 runs before, 6 after\n")
    assert "  - tool get_rates: 5 -> 1 calls a run.\n" in faster


def test_reads_standard_input_and_directories(before: Path, tmp_path: Path, wfperf: Wfperf) -> None:
    folder = tmp_path / "after"
    folder.mkdir()
    for number in range(3):
        written(folder / f"{number}.json", traces(10, seed=number, first=100 + 10 * number))

    result = wfperf("compare", "-", folder, given=before.read_bytes())

    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"team: no evidence, 30 runs before, 30 after")


@pytest.mark.parametrize(
    ("after", "problem"),
    [
        (traces(4, seed=2), "too few runs: team: 30 before, 4 after; at least 5 on each side are needed"),
        (traces(30, seed=2, workflow="crew"), "no workflow is on both sides"),
        (traces(0, seed=2), "holds no runs; record at least 5"),
        (traces(9, seed=2, failed=9), "holds no runs that succeeded (9 failed)"),
    ],
)
def test_what_cannot_be_compared_is_an_error_that_says_what_is_needed(
    after: str, problem: str, before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(before), str(written(tmp_path / "after.json", after))]) == 2
    assert problem in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-", "-"], "standard input can be one side only"),
        (["missing.json", "missing.json"], "missing.json: cannot be read"),
        (["--tolerance", "much", "a", "b"], "'much' is no percentage"),
        (["store:missing.db", "store:missing.db"], "there is no store at missing.db"),
        (["store:x?flow=team", "x"], "unknown store key: flow (did you mean workflow?)"),
        (["store:x?since=long", "x"], "since: 'long' is neither a time ago"),
        (["store:x?limit=0", "x"], "limit: '0' is no number of runs"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(
    arguments: list[str], problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    assert problem in capfd.readouterr().err


def test_failed_runs_are_left_out(before: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    after = written(tmp_path / "after.json", traces(33, seed=3, first=100, failed=3))

    assert main(["compare", str(before), str(after)]) == 0

    printed = capfd.readouterr()
    assert printed.out.startswith("team: no evidence, 30 runs before, 30 after")
    assert "3 runs that failed are not compared" in printed.err


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Keep 30 runs, and 30 slower ones that began 100 minutes later."""
    path = tmp_path / "data" / "store.sqlite"
    path.parent.mkdir()
    opened = Store.open(f"sqlite:///{path}")
    slower = traces(30, seed=2, first=100, factor=1.5)
    spans = [each for content in (traces(30, seed=1), slower) for each in read_spans(content.encode(), name="x").spans]
    executions = assemble(each for span in spans if (each := normalize(span)) is not None)
    opened.save(
        (Analysed(execution=each, last_offset=1, document=execution_document(each)) for each in executions),
        consumer="analyzer",
        position=Position(log_id="a" * 32, offset=1),
        now_unix_ns=EPOCH_NS,
    )
    opened.close()
    return path


def test_selections_of_a_store_are_compared_with_each_other_and_with_files(
    store: Path, before: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    moment = "2023-11-14T23:00:00Z"
    early, late = f"store:{store}?until={moment}", f"store:{store.parent}?workflow=team&since={moment}&limit=100"

    assert main(["compare", early, late]) == 1
    from_store = capfd.readouterr()
    assert main(["compare", str(before), late]) == 1
    from_both = capfd.readouterr()

    assert from_store.out.startswith("team: slower, 30 runs before, 30 after\n")
    assert (from_store, from_store.err) == (from_both, "")


def test_a_file_that_is_no_store_is_named(before: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", f"store:{before}", str(before)]) == 2
    assert "cannot be opened as a store" in capfd.readouterr().err


def test_a_selection_that_is_cut_says_so(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["compare", f"store:{store}?limit=10", f"store:{store}"])
    assert "only the newest 10 runs are read" in capfd.readouterr().err
