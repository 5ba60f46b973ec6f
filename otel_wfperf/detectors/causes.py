"""Which detector explains which: the table that :mod:`otel_wfperf.detectors.merge` goes by.

One cause shows in many ways: retries of a call that times out are failures, slow steps, stragglers and a phase that
holds most of the critical path. The finding that says what to change stays; what follows from it goes.

To add a detector: its place in ``ORDER``, and a line in ``RULES`` for what it follows from.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

# Chosen: what is left of the effect is within the noise of its own prediction.
EXPLAINED_RATIO: Final = 0.8
_ANY: Final = 0.0

#: From what says what to change to what merely says where time goes; only earlier ones explain later ones, so that two
#: findings never explain each other away.
ORDER: Final = (
    "resource_contention",
    "connection_setup",
    "retry_storm",
    "timeout_burn",
    "error_hotspot",
    "n_plus_one",
    "loop",
    "repeated_call",
    "false_parallelism",
    "capped_concurrency",
    "missed_parallelism",
    "agent_overload",
    "context_bloat",
    "slow_first_token",
    "straggler",
    "latency_trend",
    "latency_regression",
    "slow_phase",
    "idle_gap",
    "critical_path_hog",
)

#: What is about the newest runs only: it counts in full, however long the history is that they are compared with.
ABOUT_NOW: Final = frozenset({"latency_trend", "latency_regression"})


class Where(Enum):
    """How a cause must lie to its effect.

    ``CALLS``: it changes the same calls, or calls inside of them. ``SUBJECT``: it is about the same thing.
    ``PLACE``: either, or it lies in the phase or agent that the effect is about.
    """

    CALLS = "calls"
    SUBJECT = "subject"
    PLACE = "place"


@dataclass(frozen=True, slots=True)
class Rule:
    """Findings of some detectors explain those of one.

    Attributes:
        effect: What goes.
        causes: What stays.
        where: How they must lie to each other.
        least_ratio: Least saving of the cause over that of the effect, each times its share of runs; 0 = any.
        why: The reason, for readers of the table.
    """

    effect: str
    causes: frozenset[str]
    where: Where
    least_ratio: float
    why: str


def _before(effect: str, *, but: tuple[str, ...] = ()) -> frozenset[str]:
    return frozenset(ORDER[: ORDER.index(effect)]) - frozenset(but)


def _these(names: str) -> frozenset[str]:
    return frozenset(names.split())


RULES: Final = (
    Rule("timeout_burn", _these("retry_storm"), Where.CALLS, EXPLAINED_RATIO, "its failed attempts are the time-outs"),
    Rule("error_hotspot", _these("retry_storm timeout_burn"), Where.SUBJECT, _ANY, "they say how it fails"),
    Rule("error_hotspot", _these("retry_storm timeout_burn"), Where.PLACE, EXPLAINED_RATIO, "they say how it fails"),
    Rule("n_plus_one", _these("retry_storm"), Where.CALLS, _ANY, "attempts, not items"),
    Rule("loop", _these("retry_storm n_plus_one"), Where.CALLS, _ANY, "attempts or items, not lack of progress"),
    Rule("repeated_call", _these("retry_storm n_plus_one loop"), Where.CALLS, _ANY, "why it is called again"),
    Rule("repeated_call", _these("loop"), Where.PLACE, _ANY, "calls of one turn of the loop"),
    Rule("false_parallelism", _these("connection_setup"), Where.PLACE, EXPLAINED_RATIO, "the pool is what serialises"),
    Rule("capped_concurrency", _these("connection_setup"), Where.PLACE, EXPLAINED_RATIO, "the pool is the cap"),
    Rule("capped_concurrency", _these("false_parallelism"), Where.PLACE, _ANY, "a cap of one"),
    Rule(
        "missed_parallelism",
        _these("n_plus_one loop false_parallelism capped_concurrency"),
        Where.CALLS,
        _ANY,
        "fewer calls, or the order that was meant to be parallel already",
    ),
    Rule(
        "agent_overload",
        _these("false_parallelism capped_concurrency"),
        Where.PLACE,
        _ANY,
        "the queue is the run's own branches",
    ),
    Rule(
        "agent_overload",
        _these("resource_contention connection_setup timeout_burn retry_storm"),
        Where.PLACE,
        EXPLAINED_RATIO,
        "slow together for another reason than a queue",
    ),
    Rule("context_bloat", _these("loop"), Where.PLACE, _ANY, "each turn of the loop adds to the prompt"),
    Rule(
        "slow_first_token",
        _these("resource_contention connection_setup agent_overload context_bloat"),
        Where.PLACE,
        EXPLAINED_RATIO,
        "what the first token waits for",
    ),
    Rule("straggler", _these("false_parallelism capped_concurrency"), Where.PLACE, _ANY, "the last in the queue"),
    Rule("straggler", _before("straggler"), Where.PLACE, EXPLAINED_RATIO, "why that branch is late"),
    Rule("latency_trend", _before("latency_trend"), Where.PLACE, EXPLAINED_RATIO, "what grows"),
    Rule("latency_regression", _these("latency_trend"), Where.PLACE, _ANY, "a slope looks like a step"),
    Rule("latency_regression", _before("latency_regression"), Where.PLACE, EXPLAINED_RATIO, "what came with it"),
    Rule("slow_phase", _these("agent_overload"), Where.PLACE, _ANY, "its calls queue"),
    Rule("slow_phase", _these("latency_regression latency_trend"), Where.SUBJECT, _ANY, "slow since then"),
    Rule("slow_phase", _before("slow_phase"), Where.PLACE, EXPLAINED_RATIO, "why it is slow"),
    Rule("idle_gap", _before("idle_gap"), Where.PLACE, EXPLAINED_RATIO, "what the gap is"),
    Rule(
        "critical_path_hog",
        _these("slow_phase missed_parallelism false_parallelism capped_concurrency latency_regression latency_trend"),
        Where.PLACE,
        _ANY,
        "a fault of the phase says more than its share",
    ),
    Rule("critical_path_hog", _before("critical_path_hog"), Where.PLACE, EXPLAINED_RATIO, "most of what it holds"),
)


def position(detector: str) -> int:
    """Return the place in ``ORDER``; one that is not listed comes just before what only says where time goes."""
    try:
        return 2 * ORDER.index(detector)
    except ValueError:
        return 2 * ORDER.index("slow_phase") - 1
