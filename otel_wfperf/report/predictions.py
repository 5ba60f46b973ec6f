"""Predictions in words: what a change, or all findings together, would win."""

from __future__ import annotations

from otel_wfperf.analysis.prediction import Combination, Prediction
from otel_wfperf.model import Saving
from otel_wfperf.report.units import count, duration_s


def effect(prediction: Prediction) -> str:
    """Say what the change does to the runs, in one sentence."""
    if not prediction.runs_touched:
        return f"{prediction.workflow}: changes nothing in {count(prediction.runs, 'run')}"
    saved_s, share = prediction.saving.median_s, 100 * prediction.saving_ratio
    verb = "saves about" if saved_s >= 0 else "costs about"
    much = f"{verb} {duration_s(abs(saved_s))}, {abs(share):.0f} %,"
    touched = count(prediction.runs_touched, "run")
    where = touched if prediction.runs_touched == prediction.runs else f"{touched} of {prediction.runs}"
    return f"{prediction.workflow}: {much} in {where}{interval(prediction.saving)}"


def lengths(prediction: Prediction) -> str:
    """Say how long the runs take then, and how sure that is."""
    after = f"{duration_s(prediction.after.median_s)} instead of {duration_s(prediction.before_s)}"
    median = "" if prediction.runs == 1 else f" (median of {count(prediction.runs, 'run')})"
    changed = count(prediction.operations, "operation")
    return (
        f"takes {after}{median}{interval(prediction.after)}; {changed} changed; "
        f"confidence: {prediction.confidence.value}"
    )


def all_together(combination: Combination, *, findings: int) -> str:
    """Say what following all findings would win, or as many of them as can be predicted."""
    which = "all findings" if combination.findings >= findings else f"{combination.findings} of {findings} findings"
    saved = duration_s(combination.saving.median_s)
    share = combination.saving.median_s / combination.duration_s if combination.duration_s else 0.0
    return (
        f"{which} together: saves about {saved} of {duration_s(combination.duration_s)} per run, "
        f"{100 * share:.0f} %{interval(combination.saving)}"
    )


def interval(saving: Saving) -> str:
    """Write the interval in brackets; nothing where it has no width."""
    low, high = duration_s(saving.low_s), duration_s(saving.high_s)
    return "" if low == high else f" (90 % interval: {low} to {high})"
