"""How a fault is planted into a workflow that is otherwise as in the healthy corpus."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from otel_wfperf.model import Execution
from tests.detectors.builders import Run
from tests.detectors.corpus import Draw

# Spread of the calls of one model with answers of one length: 0.2 to 0.7 in the recorded calls (llm_calls.csv).
USUAL_SPREAD = 0.4
PHASES = ("plan", "research", "outline", "writer", "reviewer")


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        detector: The detector that has to find it.
        subject: The kind and the name that it has to give.
        build: Draws the runs from a seed.
    """

    detector: str
    subject: tuple[str, str]
    build: Callable[[int], list[Execution]]


@dataclass
class SteadyDraw(Draw):
    """Draws model calls with the spread of one model, and no other randomness of their base."""

    def model_ms(self, tokens_in: int, tokens_out: int) -> float:
        expected = 250 + 12 * tokens_out + 0.12 * tokens_in
        return expected * math.exp(self.times.gauss(0, USUAL_SPREAD))

    def tool_ms(self) -> float:
        return 450 * math.exp(self.times.gauss(0, USUAL_SPREAD / 2))


def drawn(body: Callable[[SteadyDraw], None], seed: int, *, runs: int, content: bool = True) -> list[Execution]:
    """Draw runs of a workflow with usual spread."""
    found = []
    for number in range(runs):
        draw = SteadyDraw(Run(number), shape=Random(seed), times=Random(f"{seed}/{number}"), content=content)
        body(draw)
        found.append(draw.run.build(draw.at_ms))
    return found


def talk(draw: Draw, parent: str, *, calls: int = 3) -> None:
    """Call the model a few times, as a usual phase does."""
    for _ in range(calls):
        draw.llm(parent, tokens_in=400 + draw.times.randrange(300), tokens_out=20 + draw.times.randrange(30))
