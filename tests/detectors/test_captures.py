"""What the detectors say about traffic that others' instrumentations recorded; data/captures/INDEX.md has the truth."""

from pathlib import Path

import pytest

from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.detectors import detect
from otel_wfperf.model import Confidence, Finding, Severity
from otel_wfperf.otlp.files import read_spans

pytestmark = pytest.mark.shared

HEALTHY = (
    "autogen-native-healthy",
    "crewai-openinference-healthy",
    "langgraph-genai+openai-healthy",
    "langgraph-genai-healthy",
    "langgraph-openinference-healthy",
    "langgraph-openllmetry-healthy",
    "openai-agents-openinference-healthy",
    "pydantic-ai-native-healthy",
)


def findings(shared: Path, capture: str) -> tuple[Finding, ...]:
    contents = read_spans((shared / "data/captures" / f"{capture}.pb").read_bytes(), name=f"{capture}.pb")
    operations = [operation for span in contents.spans if (operation := normalize(span)) is not None]
    return detect(assemble(operations))


@pytest.mark.parametrize("capture", HEALTHY)
def test_is_silent_about_healthy_runs_cold_starts_and_all(shared: Path, capture: str) -> None:
    assert findings(shared, capture) == ()


@pytest.mark.parametrize("capture", ["langgraph-openinference-bottleneck", "langgraph-openllmetry-bottleneck"])
def test_finds_the_serial_researchers_and_the_growing_prompt_of_langgraph(shared: Path, capture: str) -> None:
    series, growing = findings(shared, capture)

    assert (series.detector, series.subject.name) == ("missed_parallelism", "research_a, research_b")
    assert series.confidence is Confidence.OBSERVED
    assert series.saving is not None
    assert series.saving.median_s == pytest.approx(0.45, abs=0.03)
    assert (growing.detector, growing.subject.name, growing.severity) == ("context_bloat", "writer", Severity.LOW)


def test_finds_the_serial_researchers_of_crewai(shared: Path) -> None:
    [series] = findings(shared, "crewai-openinference-bottleneck")

    assert (series.detector, series.subject.name) == ("missed_parallelism", "Researcher A, Researcher B")


def test_claims_no_more_than_low_where_content_and_phases_are_missing(shared: Path) -> None:
    for capture in (
        "langgraph-genai-bottleneck",
        "pydantic-ai-native-bottleneck",
        "openai-agents-openinference-bottleneck",
    ):
        assert {each.severity for each in findings(shared, capture)} <= {Severity.LOW, Severity.INFO}, capture
