"""Workflow definitions: what was written down, what is wrong with it, and how long it will take."""

from otel_wfperf.definitions.definition import Definition
from otel_wfperf.definitions.prediction import Prediction, predict
from otel_wfperf.definitions.rules import RULES, LintFinding, lint
from otel_wfperf.definitions.waiting import with_undeclared_waits

__all__ = ["RULES", "Definition", "LintFinding", "Prediction", "lint", "predict", "with_undeclared_waits"]
