"""Every recorded file of the reference data through ``wfperf analyze``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.cli import main
from tests.conftest import shared_folder

pytestmark = pytest.mark.shared

DATA = shared_folder() / "data"
FILES = sorted([*DATA.glob("captures/*.pb"), *DATA.glob("captures/*.jsonl"), *DATA.glob("traces/**/*.json")])


def trace_ids(node: Any) -> Iterator[str]:
    """Find the traces in a parsed document by its lists of spans, whatever is around them.

    Of AutoGen's traces those that only create an agent are no run.
    """
    if isinstance(node, dict):
        for span in node.get("spans", ()):
            if not (span.get("name", "").startswith("create_agent ") and not span.get("parentSpanId")):
                yield span["traceId"].lower()
        for value in node.values():
            yield from trace_ids(value)
    elif isinstance(node, list):
        for value in node:
            yield from trace_ids(value)


def traces_in(file: Path) -> set[str]:
    text = (file.with_suffix(".jsonl") if file.suffix == ".pb" else file).read_text(encoding="utf-8")
    documents = map(json.loads, text.splitlines()) if file.suffix in {".pb", ".jsonl"} else [json.loads(text)]
    return {trace_id for document in documents for trace_id in trace_ids(document)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_trace_becomes_part_of_one_execution_whose_path_tiles_it(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", "--format", "json", str(file)]) == 0

    document = json.loads(capfd.readouterr().out)
    found = [trace_id for each in document["executions"] for trace_id in each["trace_ids"]]
    assert sorted(found) == sorted(traces_in(file))
    for execution in document["executions"]:
        covered_s = sum(section["duration_s"] for section in execution["critical_path"])
        assert covered_s == pytest.approx(execution["duration_s"], abs=1e-6)


def test_in_recorded_traces_of_others_one_finding_is_reported_and_it_is_low(capfd: pytest.CaptureFixture[str]) -> None:
    """docs/accuracy.md defends it; one above low has to be defended there, too."""
    found = []
    for file in FILES:
        if file.parent.name != "captures":
            main(["analyze", "--format", "json", str(file)])
            reported = json.loads(capfd.readouterr().out)["findings"]
            trace = file.name.partition("__")[0]
            found += [(trace, each["severity"], each["detector"], each["subject"]["name"]) for each in reported]

    assert found == [("inspect", "low", "context_bloat", "eval browser")]


def test_the_reference_data_is_complete() -> None:
    assert len(FILES) >= 60, DATA
