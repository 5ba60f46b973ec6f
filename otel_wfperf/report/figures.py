"""Read the figures of a run back from the Findings JSON, which is what the store keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from otel_wfperf.analysis.parts import PartFigures, RunFigures
from otel_wfperf.model import ExecutionStatus, Subject, SubjectKind


def figures_of_document(run: Mapping[str, Any]) -> RunFigures:
    """Return what a stored execution says about its parts.

    Of a phase it says neither tokens nor calls within, and of no part whether it failed.
    """
    whole = Subject(kind=SubjectKind.WORKFLOW, name=run["workflow"])
    parts = {
        whole: PartFigures(
            duration_ns=run["duration_ns"],
            calls=run["llm"]["calls"],
            input_tokens=run["llm"]["input_tokens"],
            output_tokens=run["llm"]["output_tokens"],
            failed=run["status"] != ExecutionStatus.OK,
        )
    }
    parts.update(_phases(run["phases"]))
    parts.update(_agents(run["agents"], phases={phase["name"] for phase in run["phases"]}))
    return RunFigures(
        trace_id=run["trace_id"],
        workflow=run["workflow"],
        start_ns=run["start_unix_ns"],
        parts=parts,
        # Documents of earlier versions have none.
        input_hash=run.get("input_hash"),
    )


def _phases(phases: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Subject, PartFigures]]:
    for phase in phases:
        part = Subject(kind=SubjectKind.PHASE, name=phase["name"])
        yield part, PartFigures(duration_ns=round(phase["duration_s"] * 1e9), calls=phase["calls"])


def _agents(agents: Iterable[Mapping[str, Any]], *, phases: set[str]) -> Iterator[tuple[Subject, PartFigures]]:
    """Yield the agents; a phase that calls its model itself is listed as one too, and would be compared twice."""
    for agent in agents:
        if agent["name"] not in phases:
            yield (
                Subject(kind=SubjectKind.AGENT, name=agent["name"]),
                PartFigures(
                    duration_ns=round(agent["busy_s"] * 1e9),
                    calls=agent["calls"],
                    input_tokens=agent["input_tokens"],
                    output_tokens=agent["output_tokens"],
                ),
            )
