"""The ``--what-if`` of the commands that have runs to replay."""

from __future__ import annotations

from collections.abc import Sequence

from otel_wfperf.analysis.prediction import Prediction, predict
from otel_wfperf.analysis.scenario import Scenario, ScenarioError, parse_scenario
from otel_wfperf.cli.command import Parser, UsageError
from otel_wfperf.model import Execution


def add_what_if_argument(parser: Parser) -> None:
    """Declare the argument."""
    parser.add_argument(
        "--what-if",
        action="append",
        default=[],
        metavar="CHANGES",
        help="predict how long the runs would take with these changes; may be given several times, each is predicted "
        "on its own (language below)",
    )


def read_scenarios(texts: Sequence[str]) -> list[Scenario]:
    """Read what the user asks for; raise UsageError for what cannot be understood."""
    try:
        return [parse_scenario(text) for text in texts]
    except ScenarioError as error:
        raise UsageError(str(error), hint=error.hint) from error


def predictions(scenarios: Sequence[Scenario], executions: Sequence[Execution]) -> list[Prediction]:
    """Replay each scenario; without executions none, as no name could be right.

    Raises:
        UsageError: Nothing has a name that was given, or a change cannot be told.
    """
    if not executions:
        return []
    try:
        return [prediction for scenario in scenarios for prediction in predict(scenario, executions)]
    except ScenarioError as error:
        raise UsageError(str(error), hint=error.hint) from error
