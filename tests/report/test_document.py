import json
from typing import Any

import pytest

from otel_wfperf.model import Remove
from otel_wfperf.report.document import document, execution_document, finding_document
from tests.report.runs import EPOCH_NS, TRACE_ID, execution, finding, operation, research, skewed

# The contract: these names, at least. Source: docs, "Findings JSON".
EXECUTION_FIELDS = {
    "trace_id",
    "workflow",
    "status",
    "start_unix_ns",
    "duration_s",
    "completeness",
    "span_count",
    "dialects",
    "critical_path",
    "phases",
    "agents",
    "llm",
}
FINDING_FIELDS = {
    "detector",
    "severity",
    "confidence",
    "workflow",
    "subject",
    "trace_ids",
    "span_ids",
    "summary",
    "evidence",
    "saving_s",
    "recommendation",
    "advice",
}


def test_has_the_fields_of_the_contract() -> None:
    content = document([research()], [finding()], ["a.json: is not JSON"])

    assert set(content) == {"executions", "findings", "together", "what_if", "errors"}
    [run], [found] = content["executions"], content["findings"]
    assert set(run) >= EXECUTION_FIELDS
    assert set(found) >= FINDING_FIELDS
    assert content["errors"] == ["a.json: is not JSON"]


def test_describes_a_run() -> None:
    run = execution_document(research())

    assert run["trace_id"] == TRACE_ID
    assert (run["status"], run["start_unix_ns"], run["duration_s"]) == ("ok", EPOCH_NS, 6.0)
    assert (run["span_count"], run["dialects"], run["completeness"]) == (11, ["wfperf"], 1.0)
    assert run["llm"] == {"calls": 2, "input_tokens": 590, "output_tokens": 79, "cache_read_tokens": 0}
    assert run["phases"][1] == {
        "name": "fetch",
        "calls": 1,
        "duration_s": 2.5,
        "exclusive_s": 2.5,
        "critical_path_s": 2.5,
    }
    assert run["agents"][1] == {
        "name": "writer",
        "calls": 1,
        "busy_s": 2.0,
        "wait_s": 0.0,
        "input_tokens": 500,
        "output_tokens": 70,
        "errors": 0,
        "cpu_s": None,
        "loop_blocked_s": None,
    }


@pytest.mark.parametrize("jitter_ns", [0, 1, 333_333_333, 123_456_789])
def test_sections_of_the_critical_path_tile_the_run(jitter_ns: int) -> None:
    calls = [operation(f"c{n}", "root", n * 7, n * 7 + 6) for n in range(500)]
    run = execution_document(execution(operation("root", None, 0, 3500 + jitter_ns // 1_000_000), *calls))
    path: list[dict[str, Any]] = run["critical_path"]

    assert sum(section["duration_ns"] for section in path) == run["duration_ns"]
    assert sum(section["duration_s"] for section in path) == pytest.approx(run["duration_s"], abs=1e-9)
    ends_s = [section["start_s"] + section["duration_s"] for section in path]
    assert [section["start_s"] for section in path] == pytest.approx([0.0, *ends_s[:-1]], abs=1e-9)


def test_sections_name_their_operation() -> None:
    first = execution_document(research())["critical_path"][0]
    assert (first["span_id"], first["name"], first["kind"]) == ("m1", "small", "llm")
    assert (first["start_s"], first["duration_s"]) == (0.0, 1.0)


def test_describes_a_finding() -> None:
    found = finding_document(finding())

    assert found["subject"] == {"kind": "phase", "name": "fetch"}
    assert found["saving_s"] == {"median": 1.6, "low": 1.5, "high": 1.7}
    assert found["advice"] == {"optimizer": "concurrency", "knob": "max_parallel", "value": 3}
    assert found["evidence"]["durations_s"] == [0.8, 0.8, 0.8]
    assert found["fingerprint"] == finding().fingerprint


def test_saving_and_advice_may_be_missing() -> None:
    found = finding_document(finding(saving=None, advice=None))
    assert found["saving_s"] is None
    assert found["advice"] is None


def test_is_json_whatever_the_evidence_holds() -> None:
    evidence = {"ratio": float("nan"), "limit": float("inf"), "nested": {"pairs": ((1, 2), (3, None))}}
    found = finding_document(finding(evidence=evidence))

    assert json.loads(json.dumps(found, allow_nan=False))["evidence"] == {
        "ratio": None,
        "limit": None,
        "nested": {"pairs": [[1, 2], [3, None]]},
    }


def test_tells_what_assembly_changed() -> None:
    run = execution_document(skewed())
    assert run["status"] == "incomplete"
    assert run["completeness"] == 0.9
    [adjustment] = run["adjustments"]
    assert adjustment == {
        "adjuster": "clock_skew",
        "span_ids": ["t1"],
        "detail": "moved the spans of host b by 12 ms",
    }


def test_tells_what_all_findings_save_together() -> None:
    found = [
        finding(detector=f"rule_{number}", changes={TRACE_ID: (Remove(frozenset(span_ids)),)})
        for number, span_ids in enumerate((("t1", "t2"), ("t2", "t3")))
    ]

    assert document([research()], found)["together"] == [
        {
            "workflow": "research",
            "findings": 2,
            "runs": 1,
            "saving_s": {"median": 2.0, "low": 2.0, "high": 2.0},
            "duration_s": 6.0,
        }
    ]
    assert document([research()], found[:1])["together"] == []
