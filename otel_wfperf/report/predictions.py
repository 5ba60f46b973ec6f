"""Predictions in words: what a change, or all findings together, would win."""

from __future__ import annotations

from typing import Final

from otel_wfperf.analysis.prediction import Combination, Prediction
from otel_wfperf.model import Saving
from otel_wfperf.report.units import count, duration_s

# Chosen: figures that differ by less look alike to who reads three digits.
_NEARLY_RATIO: Final = 0.1


def effect(prediction: Prediction) -> str:
    """Say what the change does to the runs, in one sentence."""
    if not prediction.runs_touched:
        return f"{prediction.workflow}: changes nothing in {count(prediction.runs, 'run')}"
    saving = prediction.saving
    saved_s, share = saving.median_s, 100 * prediction.saving_ratio
    verb = "saves about" if saved_s >= 0 else "makes it slower: costs about"
    each = " per run" if prediction.runs_touched > 1 else ""
    much = f"{verb} {duration_s(abs(saved_s))}{each}, {abs(share):.0f} %,"
    if saved_s < 0:
        saving = Saving(median_s=-saved_s, low_s=-saving.high_s, high_s=-saving.low_s)
    return f"{prediction.workflow}: {much} in {runs_of(prediction)}{interval(saving)}"


def runs_of(prediction: Prediction) -> str:
    """Say how many of the runs the change concerns."""
    return part_of(prediction.runs_touched, prediction.runs)


def part_of(number: int, runs: int) -> str:
    """Say how many runs of all are meant: ``6 runs``, ``6 of 14 runs``."""
    return count(runs, "run") if number == runs else f"{number} of {count(runs, 'run')}"


def lengths(prediction: Prediction) -> str:
    """Say how long the runs take then, and how sure that is."""
    after = f"{duration_s(prediction.after.median_s)} instead of {duration_s(prediction.before_s)}"
    medians = ""
    if prediction.runs_touched > 1:
        medians = (
            f" (medians of {'these' if prediction.runs_touched < prediction.runs else 'the'} runs{_apart(prediction)})"
        )
    changed = count(prediction.operations, "operation")
    return (
        f"takes {after}{medians}{interval(prediction.after)}; {changed} changed; "
        f"confidence: {prediction.confidence.value}"
    )


def _apart(prediction: Prediction) -> str:
    """Explain a median saving that is not the difference of the median lengths; "" where it is, nearly."""
    saved_s = prediction.saving.median_s
    difference_s = prediction.before_s - prediction.after.median_s
    if abs(difference_s - saved_s) <= _NEARLY_RATIO * max(abs(saved_s), abs(difference_s)):
        return ""
    return f"; apart by {duration_s(difference_s)}, as the saving differs from run to run"


def all_together(combination: Combination, *, findings: int, runs: int) -> str:
    """Say what following all findings would win, or as many of them as can be predicted, in how many of all runs."""
    which = "all findings" if combination.findings >= findings else f"{combination.findings} of {findings} findings"
    saved = duration_s(combination.saving.median_s)
    share = combination.saving.median_s / combination.duration_s if combination.duration_s else 0.0
    where = f" in {part_of(combination.runs, runs)}" if combination.runs < runs else ""
    return (
        f"{which} together: saves about {saved} of {duration_s(combination.duration_s)} per run{where}, "
        f"{100 * share:.0f} %{interval(combination.saving)}"
    )


def interval(saving: Saving) -> str:
    """Write the interval in brackets; nothing where it has no width."""
    low, high = duration_s(saving.low_s), duration_s(saving.high_s)
    return "" if low == high else f" (90 % interval: {low} to {high})"
