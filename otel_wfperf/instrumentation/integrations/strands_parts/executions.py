"""What the spans of one run share, found by the span that surrounds them."""

from __future__ import annotations

import sys
from typing import Any, Final

from otel_wfperf.instrumentation.others import announce
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Prompts
from otel_wfperf.instrumentation.settings import InstrumentationSettings

# Checked with openinference-instrumentation-strands-agents 0.1.12: a span processor that rewrites Strands' spans in
# place, content included. Nothing tells whether it was added to the provider.
_OTHER: Final = "openinference.instrumentation.strands_agents.processor"

# opentelemetry-sdk 1.36 to 1.45 have no __slots__ on spans.
_FIELD: Final = "_otel_wfperf_strands"


class Execution:
    """What one outermost run remembers.

    Attributes:
        content: Reads what operations were given and returned.
        prompts: Compares each prompt with the one before it.
    """

    __slots__ = ("content", "prompts")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.content = ContentReader()
        self.prompts = Prompts(self.content)


class Within:
    """Where in a run a span is.

    Attributes:
        execution: The run.
        agent: Name of the agent; "" = outside of all.
        model_calls: Model calls below the span so far (count); of a cycle, each after the first is a retry.
        open: Spans below the agent's that may have to be ended for it, in the order in which they began.
    """

    __slots__ = ("agent", "execution", "model_calls", "open")

    def __init__(self, execution: Execution, agent: str = "", open_spans: list[Any] | None = None) -> None:
        """Be at the start of a run, or of an agent's part of it."""
        self.execution = execution
        self.agent = agent
        self.model_calls = 0
        # Not weak: Strands itself lets go of them without ending them.
        self.open: list[Any] = [] if open_spans is None else open_spans

    def below(self, span: Any) -> Within:
        """Be at a span below this one, which joins those that may have to be ended."""
        self.open[:] = [each for each in self.open if each.is_recording()]
        self.open.append(span)
        return Within(self.execution, self.agent, self.open)


def place_of(span: Any) -> Within | None:
    """Return where a span is; None when Strands did not start it, or it is not recorded."""
    found = getattr(span, _FIELD, None)
    return found if isinstance(found, Within) else None


def put(span: Any, within: Within) -> None:
    """Remember where a span is, on the span; of one that is not recorded, which may be shared, nothing."""
    if span.is_recording():
        setattr(span, _FIELD, within)


def execution_around(span: Any) -> Execution:
    """Return the run that surrounds a span, or a new one."""
    within = place_of(span)
    return Execution() if within is None else within.execution


def is_left_to_others() -> bool:
    """Tell whether to leave Strands' spans as they are."""
    if _OTHER not in sys.modules or InstrumentationSettings.from_environment().force:
        return False
    announce("Strands", _OTHER)
    return True
