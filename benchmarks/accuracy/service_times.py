"""How long calls take: models as they were recorded, tools as a scenario says."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_INPUT_TOKEN_MS: Final = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTimes:
    """Service times of one model: a line through the recorded calls, and what they deviate from it.

    Source: 1,037 recorded calls (`llm_calls.csv` of the reference data, derived from traceloop/openllmetry @93429cfb,
    Apache-2.0): Theil-Sen line through the chat calls with status 200 of each model that has 25 or more; the spread is
    the standard deviation of the logs of the ratios to it. Chosen: 0.12 ms for each input token; prompts of the
    recorded calls are too short to tell.

    Attributes:
        base_ms: Time of an empty answer (milliseconds).
        output_token_ms: For each token of the answer (milliseconds).
        log_spread: Standard deviation of the log of the ratio to the line, where the calls themselves are not here.
    """

    base_ms: float
    output_token_ms: float
    log_spread: float

    def expected_s(self, tokens_in: float, tokens_out: float) -> float:
        """Return the time of a usual call (seconds)."""
        return (self.base_ms + self.output_token_ms * tokens_out + _INPUT_TOKEN_MS * tokens_in) / 1000


# gpt-4o was recorded at two speeds: one call in twelve took ten times as long. Real, and the hardest for a detector.
MODELS: Final[Mapping[str, ModelTimes]] = {
    "gpt-3.5-turbo-0125": ModelTimes(base_ms=118, output_token_ms=15.6, log_spread=0.30),
    "gpt-4o-mini-2024-07-18": ModelTimes(base_ms=309, output_token_ms=17.6, log_spread=0.33),
    "gpt-4-0613": ModelTimes(base_ms=309, output_token_ms=42.0, log_spread=0.25),
    "gpt-4.1-nano-2025-04-14": ModelTimes(base_ms=270, output_token_ms=8.6, log_spread=0.43),
    "gpt-4o-2024-08-06": ModelTimes(base_ms=230, output_token_ms=19.0, log_spread=0.90),
}
USUAL_MODEL: Final = "gpt-4o-mini-2024-07-18"
UNEVEN_MODEL: Final = "gpt-4o-2024-08-06"


def recorded_calls() -> Path | None:
    """Return the file with the recorded calls; None when it is not here (``WFPERF_SHARED`` says where)."""
    folder = Path(os.environ.get("WFPERF_SHARED", REPOSITORY.parent / "shared"))
    path = folder / "data" / "llm_calls.csv"
    return path if path.is_file() else None


def times_of_models() -> str:
    """Say where the times come from."""
    return "recorded calls (llm_calls.csv)" if recorded_calls() else "log-normal, fitted to recorded calls"


@cache
def _ratios(model: str) -> Sequence[float]:
    """Return what the recorded calls of a model took, over what its line says."""
    path = recorded_calls()
    if path is None:
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model and row["status"] == "200"]
    found = []
    for row in rows:
        taken_ms = float(row["server_processing_ms"] or 0)
        if "chat" in row["endpoint"] and row["output_tokens"] and taken_ms > 0:
            usual_s = MODELS[model].expected_s(float(row["input_tokens"] or 0), float(row["output_tokens"]))
            found.append(taken_ms / 1000 / usual_s)
    return tuple(found)


def model_ratio(model: str, random: Random) -> float:
    """Draw what one call takes, over what is usual for its tokens."""
    ratios = _ratios(model)
    # Between recorded calls, not only at them: a handful of values would repeat to the nanosecond.
    return random.choice(ratios) * spread(random, 0.05) if ratios else spread(random, MODELS[model].log_spread)


def spread(random: Random, log_spread: float) -> float:
    """Draw a log-normal factor with median 1."""
    return math.exp(random.gauss(0, log_spread)) if log_spread else 1.0
