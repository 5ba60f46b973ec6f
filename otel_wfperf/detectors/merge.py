"""Findings with one cause become one finding."""

from collections.abc import Iterable
from typing import Final

from otel_wfperf.model import Confidence, Finding

# Chosen: what is left of the parent is within the noise of its own prediction.
EXPLAINED_RATIO: Final = 0.8

_HOG: Final = "critical_path_hog"
_NAMES_THE_CAUSE: Final = frozenset({"slow_phase", "missed_parallelism"})


def merge(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Drop what another finding explains; the rest comes worst first, then by saving."""
    all_findings = list(findings)
    kept = [each for each in all_findings if not any(explains(other, each) for other in all_findings)]
    return tuple(sorted(kept, key=_order))


def explains(cause: Finding, effect: Finding) -> bool:
    """Tell whether one finding is the reason for another of the same workflow.

    Of a critical-path hog the cause is any finding in that phase that wins as much; a slow phase or a missed
    parallelism there, unless it is only assumed, is more specific whatever it wins. The same calls being slow and the
    resource that they were short of is one cause: the resource; an agent whose calls queue is slow for that reason.
    """
    if cause is effect or cause.workflow != effect.workflow or cause.detector == effect.detector:
        return False
    if effect.detector == _HOG:
        inside = effect.subject.name in places(cause)
        names_it = cause.detector in _NAMES_THE_CAUSE and cause.confidence is not Confidence.ASSUMED
        return inside and (names_it or _wins_as_much(cause, effect))
    if effect.detector == "slow_phase" and cause.detector == "agent_overload":
        return effect.subject.name in places(cause)
    below = cause.subject != effect.subject and effect.subject.name in places(cause)
    return below and effect.detector == "slow_phase" and _wins_as_much(cause, effect)


def places(finding: Finding) -> frozenset[str]:
    """Name the phases that a finding is about or lies in."""
    found = {finding.subject.name}
    for key in ("place", "places", "members"):
        value = finding.evidence.get(key)
        named = value if isinstance(value, tuple) else (value,)
        found.update(each for each in named if isinstance(each, str))
    return frozenset(found)


def _wins_as_much(cause: Finding, effect: Finding) -> bool:
    if cause.saving is None or effect.saving is None:
        return False
    return cause.saving.median_s >= EXPLAINED_RATIO * effect.saving.median_s


def _order(finding: Finding) -> tuple[int, float, str, str]:
    saving_s = finding.saving.median_s if finding.saving else 0.0
    return finding.severity.rank, -saving_s, finding.workflow, finding.fingerprint
