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


def found(shared: Path, capture: str, detector: str) -> Finding:
    [finding] = [each for each in findings(shared, capture) if each.detector == detector]
    return finding


LANGGRAPH = ("langgraph-openinference-bottleneck", "langgraph-openllmetry-bottleneck")


@pytest.mark.parametrize("capture", LANGGRAPH)
def test_finds_what_was_planted_in_langgraph_and_nothing_else(shared: Path, capture: str) -> None:
    assert {(each.detector, each.subject.name) for each in findings(shared, capture)} == {
        ("missed_parallelism", "research_a, research_b"),
        ("retry_storm", "fetch"),
        ("context_bloat", "writer"),
    }


@pytest.mark.parametrize("capture", LANGGRAPH)
def test_the_serial_researchers_of_langgraph_could_run_together(shared: Path, capture: str) -> None:
    series = found(shared, capture, "missed_parallelism")

    assert series.confidence is Confidence.OBSERVED
    assert series.saving is not None
    assert series.saving.median_s == pytest.approx(0.45, abs=0.03)
    assert found(shared, capture, "context_bloat").severity is Severity.LOW


@pytest.mark.parametrize("capture", LANGGRAPH)
def test_four_failures_of_one_task_with_a_fixed_pause_are_a_retry_storm(shared: Path, capture: str) -> None:
    storm = found(shared, capture, "retry_storm")

    assert (storm.confidence, storm.severity) == (Confidence.PROVEN, Severity.MEDIUM)
    assert (storm.evidence["attempts"], storm.evidence["failed_attempts"]) == (5, 4)
    assert storm.evidence["pause_growth_ratio"] == pytest.approx(1.0, abs=0.05)
    assert storm.saving is not None
    assert storm.saving.median_s == pytest.approx(0.21, abs=0.03)


def test_a_retry_storm_without_spans_of_its_attempts_is_a_hole_that_nothing_is_claimed_about(shared: Path) -> None:
    """Chats and tools are all that this emitter writes: no node, no attempt, no error; 0.2 s between two chats."""
    assert "retry_storm" not in {each.detector for each in findings(shared, "langgraph-genai-bottleneck")}


@pytest.mark.parametrize(
    "capture",
    [
        "autogen-native-bottleneck",
        "autogen-native-rooted-bottleneck",
        "crewai-openinference-bottleneck",
        "openai-agents-openinference-bottleneck",
        "pydantic-ai-native-bottleneck",
    ],
)
def test_retries_inside_the_client_and_a_single_failure_are_no_retry_storm(shared: Path, capture: str) -> None:
    """The 429s of CrewAI and OpenAI Agents are a longer call and no more; the flaky tools fail once."""
    errors = {"retry_storm", "loop", "n_plus_one", "timeout_burn", "error_hotspot"}

    assert errors.isdisjoint(each.detector for each in findings(shared, capture))


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
