"""Findings with one cause become one finding; the worst come first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from otel_wfperf.detectors.causes import ABOUT_NOW, EXPLAINED_RATIO, RULES, Rule, Where, position
from otel_wfperf.model import Confidence, Execution, Finding, Move, Remove, Severity, SubjectKind

_Span: TypeAlias = tuple[str, str]
# Chosen: as for savings; the other fifth may be a call that one of the two rules left out.
_SAME_CALLS_RATIO: Final = 0.8


def merge(findings: Iterable[Finding], executions: Iterable[Execution] = ()) -> tuple[Finding, ...]:
    """Drop what another finding explains; rank the rest by severity, then by saving times share of the runs.

    Of one detector's findings the parent goes when a child explains its saving. With the executions, calls inside of
    other calls are recognised too.
    """
    calls = _Calls({execution.trace_id: execution for execution in executions})
    judged: list[Finding] = []
    kept: list[Finding] = []
    # Causes first, so that what has been judged can be relied on; of one detector children come before parents.
    for finding in sorted(findings, key=lambda each: (position(each.detector), *_order(each))):
        others = [each for each in judged if each.detector != finding.detector]
        if not any(_explains(cause, finding, calls) for cause in others):
            inner = [each for each in kept if _is_child(each, finding)]
            if not inner:
                kept = [each for each in kept if not _is_child(finding, each)]
                kept.append(finding)
        judged.append(finding)
    return tuple(sorted(kept, key=_order))


def explains(cause: Finding, effect: Finding, executions: Iterable[Execution] = ()) -> bool:
    """Tell whether one finding is the reason for another of the same workflow."""
    return _explains(cause, effect, _Calls({execution.trace_id: execution for execution in executions}))


def places(finding: Finding) -> frozenset[str]:
    """Name the phases that a finding is about or lies in."""
    found = {finding.subject.name}
    for key in ("place", "places", "members"):
        value = finding.evidence.get(key)
        named = value if isinstance(value, tuple) else (value,)
        found.update(each for each in named if isinstance(each, str))
    return frozenset(found)


def weight(finding: Finding) -> float:
    """Return what a finding wins on average over all runs (seconds): its saving times the share of runs affected."""
    if finding.saving is None:
        return 0.0
    runs, affected = finding.evidence.get("runs"), finding.evidence.get("runs_affected")
    share = 1.0
    if isinstance(runs, int) and isinstance(affected, int) and runs > 0 and finding.detector not in ABOUT_NOW:
        share = min(1.0, affected / runs)
    return finding.saving.median_s * share


def _explains(cause: Finding, effect: Finding, calls: _Calls) -> bool:
    if cause.workflow != effect.workflow or cause.detector == effect.detector or _hides(cause, effect):
        return False
    return any(_applies(rule, cause, effect, calls) for rule in RULES if rule.effect == effect.detector)


def _applies(rule: Rule, cause: Finding, effect: Finding, calls: _Calls) -> bool:
    if cause.detector not in rule.causes:
        return False
    # The same calls cannot be two faults; elsewhere a guess has to make up for most of what it explains.
    is_guess = cause.confidence is Confidence.ASSUMED and rule.where is not Where.CALLS
    least = max(rule.least_ratio, EXPLAINED_RATIO if is_guess else 0.0)
    wins_enough = not least or (effect.saving is not None and weight(cause) >= least * weight(effect))
    if not wins_enough:
        return False
    if rule.where is Where.SUBJECT:
        return cause.subject == effect.subject
    if rule.where is Where.PLACE and _lies_in(cause, effect):
        return True
    # Calls somewhere inside a phase explain it only by what they win.
    return (rule.where is Where.CALLS or least > 0) and calls.are_covered(effect, cause)


def _hides(cause: Finding, effect: Finding) -> bool:
    """Tell whether something to act on would go in favour of something that is not."""
    return cause.severity.rank >= Severity.LOW.rank > effect.severity.rank


def _lies_in(cause: Finding, effect: Finding) -> bool:
    return effect.subject.kind is SubjectKind.WORKFLOW or effect.subject.name in places(cause)


def _is_child(child: Finding, parent: Finding) -> bool:
    """Tell whether a finding of the same detector lies in what another is about, and wins as much."""
    return (
        child.detector == parent.detector
        and child.workflow == parent.workflow
        and child.subject != parent.subject
        and _lies_in(child, parent)
        and not _lies_in(parent, child)
        and not _hides(child, parent)
        and parent.saving is not None
        and weight(child) >= EXPLAINED_RATIO * weight(parent)
    )


@dataclass(slots=True)
class _Calls:
    """The calls that findings change, and how they are nested; each finding is looked at once."""

    executions: Mapping[str, Execution]
    _changed: dict[int, frozenset[_Span]] = field(default_factory=dict)
    _around: dict[int, frozenset[_Span]] = field(default_factory=dict)
    _removed: dict[int, frozenset[_Span]] = field(default_factory=dict)

    def are_covered(self, effect: Finding, cause: Finding) -> bool:
        """Tell whether most calls of the effect are those of the cause, around those, or in what it removes."""
        concerned = self.changed(effect)
        if not concerned or not self.changed(cause):
            return False
        around, removed = self.around(cause), self.removed(cause)
        covered = sum(span in around or span in removed for span in concerned)
        return covered >= _SAME_CALLS_RATIO * len(concerned)

    def changed(self, finding: Finding) -> frozenset[_Span]:
        """Name the calls that a finding would change; its examples where it changes none."""
        found = self._changed.get(id(finding))
        if found is None:
            found = frozenset(_spans(finding)) or frozenset(
                (trace_id, span_id)
                for trace_id in finding.trace_ids
                for span_id in finding.span_ids
                if trace_id in self.executions and span_id in self.executions[trace_id].by_id
            )
            self._changed[id(finding)] = found
        return found

    def around(self, finding: Finding) -> frozenset[_Span]:
        """Name the same, and all that they are inside of, up to the root."""
        found = self._around.get(id(finding))
        if found is None:
            seen = set(self.changed(finding))
            for span in self.changed(finding):
                for outer in self._outwards(span):
                    if outer in seen:
                        break
                    seen.add(outer)
            found = self._around[id(finding)] = frozenset(seen)
        return found

    def removed(self, finding: Finding) -> frozenset[_Span]:
        """Name what a finding would remove, and all that is inside of that."""
        found = self._removed.get(id(finding))
        if found is None:
            seen: set[_Span] = set()
            stack = list(_spans(finding, only_removed=True))
            while stack:
                span = stack.pop()
                if span not in seen:
                    seen.add(span)
                    stack.extend(self._inwards(span))
            found = self._removed[id(finding)] = frozenset(seen)
        return found

    def _outwards(self, span: _Span) -> Iterator[_Span]:
        """Yield what a call is inside of, nearest first."""
        trace_id, span_id = span
        execution = self.executions.get(trace_id)
        if execution is not None and span_id in execution.by_id:
            for outer in execution.ancestors(span_id):
                yield trace_id, outer.span_id

    def _inwards(self, span: _Span) -> Iterator[_Span]:
        """Yield what is directly inside of a call."""
        trace_id, span_id = span
        execution = self.executions.get(trace_id)
        for inner in execution.children(span_id) if execution is not None else ():
            yield trace_id, inner.span_id


def _spans(finding: Finding, *, only_removed: bool = False) -> Iterator[_Span]:
    for trace_id, changes in finding.changes.items():
        for change in changes:
            if isinstance(change, Move):
                if not only_removed:
                    yield trace_id, change.span_id
            elif isinstance(change, Remove) or not only_removed:
                yield from ((trace_id, span_id) for span_id in change.span_ids)


def _order(finding: Finding) -> tuple[int, float, str, str]:
    return finding.severity.rank, -weight(finding), finding.workflow, finding.fingerprint
