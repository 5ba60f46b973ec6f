"""Haystack: pipelines, agents, tools, model calls and retrievals.

Hooks, checked with haystack-ai 3.4.1:

* ``ProxyTracer.trace`` and ``current_span`` in ``haystack.tracing.tracer``, through which every span goes whichever
  tracer is set, and whenever; the tracer that the program sets keeps getting what it gets without us;
* ``PipelineBase._create_component_span``, ``Agent._create_agent_span`` and ``tool_calling._create_tool_span``, to
  learn which model a component asks and which request a tool call answers, which tags do not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, Final

from otel_wfperf.instrumentation.call import add_early_exit, remove_early_exit
from otel_wfperf.instrumentation.integration import Coverage
from otel_wfperf.instrumentation.others import announce, is_recorded_elsewhere
from otel_wfperf.instrumentation.patching import Undo, replace
from otel_wfperf.instrumentation.settings import InstrumentationSettings

_OTHERS: Final = (
    "openinference.instrumentation.haystack",
    "opentelemetry.instrumentation.haystack",
)


class HaystackIntegration:
    """Record Haystack pipelines and agents.

    Nothing is recorded where another instrumentation does, or where the program's own tracer writes Haystack's spans to
    OpenTelemetry; ``OTEL_WFPERF_FORCE=true`` records anyway.
    """

    name: ClassVar[str] = "haystack"
    requires: ClassVar[Mapping[str, str]] = {"haystack-ai": ">=3.4,<4"}
    coverage: ClassVar[Coverage] = Coverage(
        framework="Haystack",
        hook="The proxy in front of Haystack's tracer; the tracer that the program sets goes on as before.",
        tested={"haystack-ai": "3.4.1"},
        workflows="run of a pipeline, named by `metadata['name']`",
        phases="run of a component; it depends on the connected components that have run before",
        agents="run of an `Agent`, named by its component",
        tools="tool call of an agent, bound to the model response that asked for it",
        llm_calls=(
            "component that is named a generator and has replies, generator of an agent or of one of Haystack's own "
            "components; tokens of the reply's meta"
        ),
        waits="confirmation by a person (human-in-the-loop strategies)",
        handoffs="",
        missing=(
            "Waits for `concurrency_limit` and `max_workers`: spans begin when the slot is there.",
            "Retries within a client of a model provider, and the generators that a `FallbackChatGenerator` tries.",
            "Generators that a component of the program's own calls, or that are called outside of pipelines.",
            "The run that a component starts in a thread of its own, as part of the run that it belongs to.",
        ),
    )

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List the modules whose import makes the integration act."""
        return {
            "haystack.tracing.tracer": _wrap_tracer,
            "haystack.core.errors": _know_breakpoints,
            "haystack.core.pipeline.base": _tell_components,
            "haystack.components.agents.agent": _tell_agents,
            "haystack.components.agents.tool_calling": _tell_tools,
        }


def is_recorded(tracer: Any) -> bool:
    """Tell whether we record what goes to this tracer."""
    if is_recorded_elsewhere("Haystack", *_OTHERS):
        return False
    kind = type(tracer)
    writes_otel = any("opentelemetry" in f"{each.__module__}.{each.__name__}".lower() for each in kind.__mro__)
    if writes_otel and not InstrumentationSettings.from_environment().force:
        announce("Haystack", f"{kind.__module__}.{kind.__name__}")
        return False
    return True


def _wrap_tracer() -> Undo:
    from haystack.tracing.tracer import ProxyTracer  # noqa: PLC0415 - imported already when this runs

    undo = replace(ProxyTracer, "trace", _tracing), replace(ProxyTracer, "current_span", _current)

    def undo_both() -> None:
        for each in undo:
            each()

    return undo_both


def _tracing(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def trace(self: Any, operation_name: str, tags: Any = None, parent_span: Any = None) -> Any:
        from otel_wfperf.instrumentation.integrations.haystack_parts.spans import (  # noqa: PLC0415 - needs haystack
            Traced,
            is_part_of_a_run,
        )

        def actual(name: str, **kwargs: Any) -> Any:
            return original(self, name, **kwargs)

        if not is_part_of_a_run(parent_span) and not is_recorded(self.actual_tracer):
            return original(self, operation_name, tags=tags, parent_span=parent_span)
        return Traced(actual, operation_name, tags, parent_span)

    return trace


def _current(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def current_span(self: Any) -> Any:
        from otel_wfperf.instrumentation.integrations.haystack_parts import spans  # noqa: PLC0415 - as above

        return spans.current_span() or original(self)

    return current_span


def _know_breakpoints() -> Undo:
    from haystack.core.errors import BreakpointException  # noqa: PLC0415 - imported already when this runs

    add_early_exit(BreakpointException)
    return lambda: remove_early_exit(BreakpointException)


def _tell_components() -> Undo:
    from haystack.core.pipeline.base import PipelineBase  # noqa: PLC0415 - as above

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def create_component_span(component_name: str, instance: Any, *args: Any, **kwargs: Any) -> Any:
            return _about(instance, original(component_name, instance, *args, **kwargs))

        return create_component_span

    return replace(PipelineBase, "_create_component_span", make)


def _tell_agents() -> Undo:
    from haystack.components.agents.agent import Agent  # noqa: PLC0415 - as above

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def create_agent_span(self: Any, *args: Any, **kwargs: Any) -> Any:
            return _about(self, original(self, *args, **kwargs))

        return create_agent_span

    return replace(Agent, "_create_agent_span", make)


def _tell_tools() -> Undo:
    from haystack.components.agents import tool_calling  # noqa: PLC0415 - as above

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def create_tool_span(tool: Any, tool_call: Any, *args: Any, **kwargs: Any) -> Any:
            return _about(tool_call, original(tool, tool_call, *args, **kwargs))

        return create_tool_span

    return replace(tool_calling, "_create_tool_span", make)


def _about(subject: Any, traced: Any) -> Any:
    """Tell a span of ours what it is about."""
    from otel_wfperf.instrumentation.integrations.haystack_parts.spans import Traced  # noqa: PLC0415 - as above

    if isinstance(traced, Traced):
        traced.subject = subject
    return traced
