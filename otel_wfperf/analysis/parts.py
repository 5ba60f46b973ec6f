"""The parts of a run whose times can be compared with those of other runs: the whole, its phases, its agents."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from otel_wfperf.analysis.timeline import union_ns
from otel_wfperf.model import CALLS, Execution, Operation, OperationKind, Subject, SubjectKind, TokenUsage

_KINDS: Final = {OperationKind.PHASE: SubjectKind.PHASE, OperationKind.AGENT: SubjectKind.AGENT}
# Chosen: deeper parts are loops or recursion; counting each call for all of them would be quadratic.
_MAX_DEPTH: Final = 8
# Chosen: one call more or less matters up to here; beyond, a quarter more.
_MAX_EXACT_CALLS: Final = 8
_CALLS_STEP: Final = 1.25

Interval: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFigures:
    """What one part of one run took.

    Attributes:
        duration_ns: Time in which it ran, waits for people left out (nanoseconds).
        calls: Calls of models and tools in it, or how often it ran itself where those are not known.
        input_tokens: Prompt tokens of the model calls in it (tokens); 0 = none or not known.
        output_tokens: The same of the answers.
        failed: Something that belongs to it failed or never ended: its time says nothing.
        span_ids: The operations that are this part, those within another of them left out.
        within: The parts around it.
        versions: Service and its version, of the operations in it that say so.
        models: Models that were called in it.
        prompts: Hashes of the stable starts of their prompts.
    """

    duration_ns: int
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failed: bool = False
    span_ids: frozenset[str] = frozenset()
    within: frozenset[Subject] = frozenset()
    versions: frozenset[tuple[str, str]] = frozenset()
    models: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()

    @property
    def workload(self) -> tuple[int, int]:
        """Name the size of the input: parts of equal workload may be compared.

        Chosen: the number of calls, exact up to 8 and in steps of a quarter beyond; input tokens in powers of two.
        """
        calls = self.calls
        if calls > _MAX_EXACT_CALLS:
            calls = _MAX_EXACT_CALLS + math.ceil(math.log(calls / _MAX_EXACT_CALLS) / math.log(_CALLS_STEP))
        return calls, self.input_tokens.bit_length()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """What the parts of one run took; the whole is a part of kind workflow.

    Attributes:
        input_hash: Hash of what the workflow was given; None = not recorded.
        calls: How often each tool and model was called, by kind and name; empty where only the whole is known.
    """

    trace_id: str
    workflow: str
    start_ns: int
    parts: Mapping[Subject, PartFigures]
    input_hash: str | None = None
    calls: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def whole(self) -> Subject:
        """The part that is the whole run."""
        return Subject(kind=SubjectKind.WORKFLOW, name=self.workflow)


@dataclass(slots=True)
class _Part:
    """A part while it is being added up."""

    within: frozenset[Subject]
    operations: list[Operation] = field(default_factory=list)
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    versions: set[tuple[str, str]] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    prompts: set[str] = field(default_factory=set)

    def count(self, call: Operation) -> None:
        tokens = call.tokens or TokenUsage()
        self.models.update(each for each in (call.model,) if each)
        self.prompts.update(each for each in (call.prefix_hash,) if each)
        self.calls += 1
        self.input_tokens += tokens.input
        self.output_tokens += tokens.output

    def figures(self, human: Sequence[Interval]) -> PartFigures:
        intervals = [(each.start_ns, each.end_ns) for each in self.operations]
        return PartFigures(
            duration_ns=_without(intervals, human),
            calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            failed=any(each.error is not None or not each.ended for each in self.operations),
            span_ids=frozenset(each.span_id for each in self.operations),
            within=self.within,
            versions=frozenset(self.versions),
            models=frozenset(self.models),
            prompts=frozenset(self.prompts),
        )


def run_figures(execution: Execution) -> RunFigures:
    """Add up one run; iterative, so that the depth of the tree does not matter."""
    whole = Subject(kind=SubjectKind.WORKFLOW, name=execution.workflow)
    parts = {whole: _Part(frozenset(), [execution.root])}
    if execution.root.service_version:
        parts[whole].versions.add((execution.root.service, execution.root.service_version))
    around: dict[str, frozenset[Subject]] = {execution.root_id: frozenset({whole})}
    human: list[Interval] = []
    for operation in execution.descendants(execution.root_id):
        holders = around[operation.parent_id or execution.root_id]
        kind = _KINDS.get(operation.kind)
        part = Subject(kind=kind, name=operation.name) if kind is not None and operation.name else None
        if part is not None and part not in holders and len(holders) < _MAX_DEPTH:
            found = parts.setdefault(part, _Part(holders))
            found.operations.append(operation)
            found.within &= holders
            holders |= {part}
        around[operation.span_id] = holders
        if operation.service_version:
            for holder in holders:
                parts[holder].versions.add((operation.service, operation.service_version))
        if operation.kind in CALLS:
            for holder in holders:
                parts[holder].count(operation)
        elif operation.wait_kind == "human":
            human.append((operation.start_ns, operation.end_ns))
    return RunFigures(
        trace_id=execution.trace_id,
        workflow=execution.workflow,
        start_ns=execution.start_ns,
        parts={part: found.figures(human) for part, found in parts.items()},
        input_hash=execution.root.input_hash,
        calls=Counter((each.kind.value, each.name) for each in execution.of_kind(*CALLS)),
    )


def _without(intervals: Iterable[Interval], others: Sequence[Interval]) -> int:
    """Return the time covered by intervals and by none of the others (nanoseconds)."""
    ours = list(intervals)
    return union_ns([*ours, *others]) - union_ns(others) if others else union_ns(ours)
