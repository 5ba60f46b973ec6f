"""The Findings JSON: what ``wfperf analyze --format json`` prints and the HTTP interface returns.

Fields may be added; none is renamed or removed without a new version in the path of the HTTP interface. Durations
are seconds, moments are nanoseconds since the Unix epoch.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from otel_wfperf.analysis.critical_path import CriticalPath, Section, critical_path
from otel_wfperf.analysis.prediction import Combination, Prediction, together
from otel_wfperf.analysis.summary import AgentSummary, PhaseSummary, summarize
from otel_wfperf.model import Adjustment, Advice, Execution, Finding, Saving
from otel_wfperf.report.units import seconds

Document: TypeAlias = dict[str, Any]


def document(
    executions: Iterable[Execution],
    findings: Iterable[Finding],
    errors: Sequence[str] = (),
    *,
    predictions: Iterable[Prediction] = (),
) -> Document:
    """Describe executions and findings as JSON values.

    Args:
        executions: In the order in which they are to appear.
        findings: Worst first.
        errors: What could not be read, one sentence each.
        predictions: What the changes that were asked about would do.
    """
    executions, findings = list(executions), list(findings)
    return {
        "executions": [execution_document(execution) for execution in executions],
        "findings": [finding_document(finding) for finding in findings],
        "together": [_combination(each) for each in together(executions, findings)],
        "what_if": [prediction_document(prediction) for prediction in predictions],
        "errors": list(errors),
    }


def execution_document(execution: Execution, path: CriticalPath | None = None) -> Document:
    """Describe one execution; its critical path is computed unless it is given."""
    path = path or execution.once(critical_path)
    summary = summarize(execution, path)
    return {
        "trace_id": execution.trace_id,
        "trace_ids": list(execution.trace_ids),
        "workflow": execution.workflow,
        "status": execution.status.value,
        "cut_short": execution.cut_short,
        "start_unix_ns": execution.start_ns,
        "duration_s": seconds(execution.duration_ns),
        "duration_ns": execution.duration_ns,
        "completeness": execution.completeness,
        "span_count": len(execution.operations),
        "root_span_id": execution.root_id,
        "input_hash": execution.root.input_hash,
        "version": execution.version,
        "dialects": list(execution.dialects),
        "critical_path": [_section(execution, section) for section in path.sections],
        "phases": [_phase(phase) for phase in summary.phases],
        "agents": [_agent(agent) for agent in summary.agents],
        "llm": {
            "calls": summary.llm_calls,
            "input_tokens": summary.tokens.input,
            "output_tokens": summary.tokens.output,
            "cache_read_tokens": summary.tokens.cache_read,
        },
        "adjustments": [_adjustment(adjustment) for adjustment in execution.adjustments],
    }


def finding_document(finding: Finding) -> Document:
    """Describe one finding."""
    return {
        "detector": finding.detector,
        "fingerprint": finding.fingerprint,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "workflow": finding.workflow,
        "subject": {"kind": finding.subject.kind.value, "name": finding.subject.name},
        "trace_ids": list(finding.trace_ids),
        "span_ids": list(finding.span_ids),
        "summary": finding.summary,
        "evidence": _plain(finding.evidence),
        "saving_s": _saving(finding.saving),
        "recommendation": finding.recommendation,
        "advice": _advice(finding.advice),
    }


def prediction_document(prediction: Prediction) -> Document:
    """Describe what a change would do to the runs of one workflow."""
    return {
        "scenario": prediction.scenario,
        "workflow": prediction.workflow,
        "runs": prediction.runs,
        "runs_touched": prediction.runs_touched,
        "touched_ratio": prediction.touched_ratio,
        "operations": prediction.operations,
        "saving_s": _saving(prediction.saving),
        "saving_ratio": prediction.saving_ratio,
        "duration_before_s": prediction.before_s,
        "duration_after_s": _saving(prediction.after),
        "confidence": prediction.confidence.value,
        "assumptions": list(prediction.assumptions),
    }


def _combination(combination: Combination) -> Document:
    return {
        "workflow": combination.workflow,
        "findings": combination.findings,
        "runs": combination.runs,
        "saving_s": _saving(combination.saving),
        "duration_s": combination.duration_s,
    }


def _section(execution: Execution, section: Section) -> Document:
    operation = execution.by_id[section.span_id]
    return {
        "span_id": section.span_id,
        "name": operation.name or operation.span_name,
        "kind": operation.kind.value,
        "start_s": seconds(section.start_ns - execution.start_ns),
        "duration_s": seconds(section.duration_ns),
        "duration_ns": section.duration_ns,
    }


def _phase(phase: PhaseSummary) -> Document:
    return {
        "name": phase.name,
        "calls": phase.calls,
        "duration_s": seconds(phase.duration_ns),
        "exclusive_s": seconds(phase.exclusive_ns),
        "critical_path_s": seconds(phase.critical_path_ns),
    }


def _agent(agent: AgentSummary) -> Document:
    return {
        "name": agent.name,
        "calls": agent.calls,
        "busy_s": seconds(agent.busy_ns),
        "wait_s": seconds(agent.wait_ns),
        "input_tokens": agent.tokens.input,
        "output_tokens": agent.tokens.output,
        "errors": agent.errors,
        "cpu_s": agent.cpu_s,
        "loop_blocked_s": agent.loop_blocked_s,
    }


def _adjustment(adjustment: Adjustment) -> Document:
    return {"adjuster": adjustment.adjuster, "span_ids": list(adjustment.span_ids), "detail": adjustment.detail}


def _saving(saving: Saving | None) -> Document | None:
    if saving is None:
        return None
    return {"median": saving.median_s, "low": saving.low_s, "high": saving.high_s}


def _advice(advice: Advice | None) -> Document | None:
    if advice is None:
        return None
    return {"optimizer": advice.optimizer, "knob": advice.knob, "value": advice.value}


def _plain(value: object) -> Any:
    """Turn evidence into what JSON can hold: tuples become lists, infinities and not-a-numbers null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
