"""What a report shows of one workflow: its figures, its findings and the run to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.analysis.prediction import together
from otel_wfperf.analysis.summary import owner, summarize, total_tokens
from otel_wfperf.model import Execution, ExecutionStatus, Finding, Operation, OperationKind, TokenUsage
from otel_wfperf.report.caveats import hidden_steps, late_ends, unrecorded
from otel_wfperf.report.predictions import all_together, interval, part_of
from otel_wfperf.report.units import count, duration, duration_s

NO_FINDINGS = 99
MAX_SHARES = 3
# Chosen: below a twentieth of the run, the CPU is not what anybody waits for.
MIN_CPU_SHARE = 0.05
# Source: detectors.severity.MAX_TRACE_IDS.
_MAX_TRACE_IDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """One workflow.

    Attributes:
        executions: Its runs, oldest first; at least one.
        findings: Its findings, worst first.
    """

    workflow: str
    executions: tuple[Execution, ...]
    findings: tuple[Finding, ...]

    @property
    def drawn(self) -> Execution:
        """The run to draw: the slowest one that has an end, else the slowest."""
        ended = [each for each in self.executions if each.status is not ExecutionStatus.INCOMPLETE]
        return max(ended or self.executions, key=lambda each: each.duration_ns)

    @property
    def median_ns(self) -> float:
        """Median length of the runs (nanoseconds)."""
        return median(each.duration_ns for each in self.executions)

    @property
    def duration(self) -> str:
        """Length of the only run, or the median and the range of several."""
        lengths_ns = sorted(each.duration_ns for each in self.executions)
        if len(lengths_ns) == 1:
            return _cut_short(self.executions[0]) or duration(lengths_ns[0])
        return f"median {duration(self.median_ns)} ({duration(lengths_ns[0])} to {duration(lengths_ns[-1])})"

    @property
    def status(self) -> str:
        """How the runs ended."""
        ended = Counter(each.status.value for each in self.executions)
        if len(ended) == 1:
            return next(iter(ended))
        return ", ".join(f"{number} {status}" for status, number in ended.most_common())

    @property
    def usage(self) -> str:
        """Model calls and tokens of a run, on average."""
        runs = len(self.executions)
        calls = sum(len(each.of_kind(OperationKind.LLM)) for each in self.executions)
        tokens = sum((total_tokens(each.operations) for each in self.executions), start=TokenUsage())
        parts = [count(max(1, round(calls / runs)), "LLM call") if calls else "no LLM calls recorded"]
        if tokens != TokenUsage():
            parts += [
                f"{count(round(tokens.input / runs), 'token')} in, {count(round(tokens.output / runs), 'token')} out"
            ]
        elif calls:
            parts += ["tokens not recorded"]
        if runs > 1 and (calls or tokens != TokenUsage()):
            parts[-1] += " per run"
        failed = sum(each.error is not None for run in self.executions for each in _without_causes(run))
        if failed:
            parts += [f"{count(failed, 'operation')} failed"]
        return ", ".join(parts)

    @property
    def shares(self) -> str:
        """Name what owns most of the drawn run's critical path, with its share."""
        run = self.drawn
        path = critical_path(run)
        owned: dict[str, int] = {}
        for operation in run.operations:
            name = owner(operation) or operation.name or operation.span_name
            owned[name] = owned.get(name, 0) + path.exclusive_ns(operation.span_id)
        most = sorted(owned.items(), key=lambda item: -item[1])[:MAX_SHARES]
        total_ns = max(1, run.duration_ns)
        return ", ".join(f"{name} {100 * time_ns / total_ns:.0f} %" for name, time_ns in most if time_ns)

    @property
    def cpu(self) -> str:
        """Say which agents of the drawn run used the CPU and which blocked the event loop; "" = not worth a line."""
        run = self.drawn
        agents = summarize(run, critical_path(run)).agents
        used = {agent.name: agent.cpu_s for agent in agents if agent.cpu_s}
        blocked = {agent.name: agent.loop_blocked_s for agent in agents if agent.loop_blocked_s}
        parts = []
        if sum(used.values()) >= MIN_CPU_SHARE * run.duration_ns / 1e9:
            parts.append(f"CPU time: {_longest(used)}")
        if blocked:
            parts.append(f"{'the' if parts else 'The'} event loop was blocked by {_longest(blocked, times='for ')}")
        return "; ".join(parts)

    def saving(self, finding: Finding) -> str:
        """Say what following a finding is predicted to save, in figures and as a share of the runs that it affects."""
        if finding.saving is None:
            return "saving not predictable"
        saving = finding.saving
        known = finding.changes or finding.trace_ids
        affected = [each for each in self.executions if each.trace_id in known] or list(self.executions)
        share = saving.median_s * 1e9 / max(1, median(each.duration_ns for each in affected))
        where, of_what = "", "it"
        if len(affected) < len(self.executions):
            # A finding keeps the ids of so many runs only.
            least = "at least " if not finding.changes and len(affected) == _MAX_TRACE_IDS else ""
            where, of_what = f" in {least}{part_of(len(affected), len(self.executions))}", "these"
        much = f"{duration_s(saving.median_s)} per run{where}, {100 * share:.0f} % of {of_what}"
        return f"saves about {much}{interval(saving)}"

    @property
    def all_together(self) -> str:
        """Say what following all findings wins, where several can be replayed; "" = one finding says it all."""
        found = together(self.executions, self.findings)
        return all_together(found[0], findings=len(self.findings), runs=len(self.executions)) if found else ""

    @property
    def unrecorded(self) -> str:
        """Say what could not be judged; "" = nothing is lacking."""
        lacking = unrecorded(self.executions)
        return f"Not recorded, so not judged: {lacking}" if lacking else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader needs to know to judge the figures: what assembly changed, and what is missing."""
        changed: dict[tuple[str, str], int] = {}
        for execution in self.executions:
            for adjustment in execution.adjustments:
                key = adjustment.adjuster, adjustment.detail
                changed[key] = changed.get(key, 0) + 1
        cuts = [cut for each in self.executions if (cut := _cut_short(each))]
        # Of a single run, the headline says it.
        notes = [f"1 run incomplete: {cut}" for cut in cuts] if len(self.executions) > 1 else []
        notes += [*late_ends(self.executions), *hidden_steps(self.drawn)]
        notes += [
            f"{adjuster}: {detail}{f' (in {number} runs)' if number > 1 else ''}"
            for (adjuster, detail), number in changed.items()
        ]
        partial = [each.completeness for each in self.executions if each.completeness < 1]
        if partial:
            notes.append(f"{count(len(partial), 'run')} with missing spans; least complete: {100 * min(partial):.0f} %")
        return tuple(notes)


def _cut_short(execution: Execution) -> str | None:
    return execution.cut_short and f"{execution.cut_short} after {duration(execution.duration_ns)}"


def _longest(lengths_s: Mapping[str, float], *, times: str = "") -> str:
    """List the longest of some named lengths (seconds), longest first."""
    most = sorted(lengths_s.items(), key=lambda item: -item[1])[:MAX_SHARES]
    more = len(lengths_s) - len(most)
    named = ", ".join(f"{name} {times}{duration_s(length_s)}" for name, length_s in most)
    return f"{named} and {count(more, 'more agent')}" if more else named


def _without_causes(execution: Execution) -> Iterator[Operation]:
    """Yield the operations that failed by themselves, not because of one below them."""
    for operation in execution.operations:
        if all(child.error is None for child in execution.children(operation.span_id)):
            yield operation


def overviews(executions: Iterable[Execution], findings: Sequence[Finding]) -> tuple[Overview, ...]:
    """Group by workflow: those with the worst findings first, then those that took most time."""
    runs: dict[str, list[Execution]] = {}
    for execution in sorted(executions, key=lambda each: each.start_ns):
        runs.setdefault(execution.workflow, []).append(execution)
    found = [
        Overview(
            workflow=workflow,
            executions=tuple(members),
            findings=tuple(each for each in findings if each.workflow == workflow),
        )
        for workflow, members in runs.items()
    ]
    return tuple(sorted(found, key=_importance))


def _importance(overview: Overview) -> tuple[int, int]:
    worst = min((finding.severity.rank for finding in overview.findings), default=NO_FINDINGS)
    return worst, -sum(each.duration_ns for each in overview.executions)
