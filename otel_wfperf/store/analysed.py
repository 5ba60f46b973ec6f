"""What is stored of a finished execution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from otel_wfperf.model import Execution, Finding

Document: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a consumer of a log has come; offsets mean something only in the log with that id."""

    log_id: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One duration for the hourly sketches.

    Attributes:
        kind: workflow, phase, agent, tool, llm, ...
        duration_s: Length (seconds).
    """

    kind: str
    name: str
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """What one agent did in one execution; times in seconds, tokens counted."""

    name: str
    calls: int
    busy_s: float
    wait_s: float
    input_tokens: int
    output_tokens: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """One finished execution with everything that is stored of it.

    Attributes:
        last_offset: Last record of the log that is part of it.
        document: The execution as the Findings JSON has it.
        findings: Each finding with its document.
    """

    execution: Execution
    last_offset: int
    document: Document
    findings: tuple[tuple[Finding, Document], ...] = ()
    agents: tuple[AgentRow, ...] = ()
    samples: tuple[Sample, ...] = ()
