"""Flows and their methods.

CrewAI runs its agents, too, in flows of its own (``AgentExecutor``, those of the memory). They are
marked ``is_crewai_internal`` and are not recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.crewai_parts.crews import restores
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import current_run
from otel_wfperf.instrumentation.integrations.crewai_parts.seams import Opened, argument
from otel_wfperf.instrumentation.operations import start_phase, start_workflow

# Chosen: finished methods of one flow whose listeners may still start; of older ones only the declaration is known.
_MAX_FINISHED: Final = 10_000
_FLOW: Final = otel_context.create_key("otel_wfperf.crewai.flow")


class FlowRun:
    """What the methods of one run of a flow share.

    Attributes:
        finished: Method by the id of the event that reported its end: CrewAI says by that id what triggered a method.
        groups: Group and width of the methods that were scheduled together and have not started.
        rounds: How often each group was scheduled (count).
        has_started: Whether a first method has started.
    """

    __slots__ = ("finished", "groups", "has_started", "rounds")

    def __init__(self) -> None:
        """Know nothing yet."""
        self.finished: dict[str, str] = {}
        self.groups: dict[str, tuple[str, int]] = {}
        self.rounds: Counter[str] = Counter()
        self.has_started = False

    def schedule(self, group: str, methods: Sequence[Any]) -> None:
        """Note that some methods start together; a cycle schedules the same ones again."""
        if len(methods) < 2:
            return
        self.rounds[group] += 1
        name = group if self.rounds[group] == 1 else f"{group} #{self.rounds[group]}"
        self.groups.update({str(method): (name, len(methods)) for method in methods})

    def finish(self, event_id: str | None, method: str) -> None:
        """Note the end of a method."""
        if event_id is not None:
            self.finished[event_id] = method
            while len(self.finished) > _MAX_FINISHED:
                self.finished.pop(next(iter(self.finished)), None)


def is_internal(flow: Any) -> bool:
    """Tell whether a flow is part of CrewAI's own machinery."""
    return bool(getattr(type(flow), "is_crewai_internal", False))


def open_flow(flow: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the execution of a flow; one that streams calls itself again when its stream is read."""
    if is_internal(flow) or flow.stream or restores(argument(args, kwargs, 2, "from_checkpoint")):
        return None
    inputs = argument(args, kwargs, 0, "inputs")
    return _workflow(flow, inputs.get("id") if isinstance(inputs, Mapping) else None)


def open_resumed_flow(flow: Any, _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start the rest of a flow that was paused until a person answered: another execution of one conversation."""
    return None if is_internal(flow) else _workflow(flow, None)


def _workflow(flow: Any, conversation: object) -> Opened | None:
    run = current_run()
    if run is None:
        return None
    name = str(getattr(flow, "name", None) or type(flow).__name__)
    call = start_workflow(name, conversation=str(conversation or flow.flow_id or "") or None)
    return Opened(call, run).also(_FLOW, FlowRun())


def open_method(flow: Any, args: Sequence[Any], _kwargs: Mapping[str, Any]) -> Opened | None:
    """Start a method of a flow."""
    run = None if is_internal(flow) else current_run()
    if run is None:
        return None
    name, scope = str(args[0]), otel_context.get_value(_FLOW)
    flow_run = scope if isinstance(scope, FlowRun) else FlowRun()
    methods = flow._definition.methods  # noqa: SLF001 - there is no public way
    trigger = _trigger(flow_run)
    if not flow_run.has_started:
        flow_run.has_started = True
        if trigger is None:
            flow_run.schedule("start", _starts(flow, methods))
    group, width = flow_run.groups.pop(name, (None, None))
    needed = declared(methods, name, trigger)
    call = start_phase(name, group=group, width=width, depends_on=needed)
    content = run.content
    if call.span.is_recording():
        # What the method that triggered it returned; most of what a method reads is in the flow's state.
        call.span.set_attributes(content.input_attributes(list(args[2:]), hashed=False))

    def describe(result: Any) -> Mapping[str, Any]:
        value, event_id = result
        flow_run.finish(event_id, name)
        return content.output_attributes(value) if call.span.is_recording() else {}

    return Opened(call, run, describe=describe)


def _starts(flow: Any, methods: Mapping[str, Any]) -> Sequence[str]:
    """Name the methods that start a flow together, as ``Flow.kickoff_async`` chooses them."""
    starts = [name for name, definition in methods.items() if definition.is_start]
    unconditional = [name for name in starts if not isinstance(methods[name].start, str | dict)]
    # Conversations run them one by one.
    _, is_ordered = flow._order_start_methods_for_kickoff(unconditional or starts)  # noqa: SLF001 - as above
    return () if is_ordered else unconditional or starts


def _trigger(flow_run: FlowRun) -> str | None:
    from crewai.events.event_context import get_triggering_event_id  # noqa: PLC0415 - imported already when this runs

    event_id = get_triggering_event_id()
    return flow_run.finished.get(event_id) if event_id is not None else None


def declared(methods: Mapping[str, Any], name: str, trigger: str | None) -> tuple[str, ...] | None:
    """Name the methods that one needs, by what its decorators say.

    Args:
        methods: Definitions of the flow's methods.
        name: The method.
        trigger: The method whose end started it: of the alternatives of an ``or_`` that one counts. None = it starts
            the flow, or CrewAI does not tell.

    Returns:
        None when that does not say which alternative was taken.
    """
    definition = methods.get(name)
    if definition is None:
        return None
    condition = definition.listen
    if trigger is None and definition.is_start:
        return ()
    if condition is None and isinstance(definition.start, str | dict):
        condition = definition.start
    needed = None if condition is None else _needed(methods, condition, trigger)
    return None if needed is None else tuple(dict.fromkeys(needed))


def _needed(methods: Mapping[str, Any], condition: Any, trigger: str | None) -> list[str] | None:
    if isinstance(condition, str):
        return list(_sources(methods, condition, trigger))
    if "and" in condition:
        parts = [_needed(methods, each, trigger) for each in condition["and"]]
        return None if None in parts else [name for part in parts for name in part or ()]
    if trigger is None:
        return None
    alternatives = [_needed(methods, each, trigger) or [] for each in condition["or"]]
    return next((names for names in alternatives if trigger in names), [trigger])


def _sources(methods: Mapping[str, Any], event: str, trigger: str | None) -> Iterator[str]:
    """Name the methods that an event comes from: the method of that name, else the router that returned it."""
    if event in methods:
        yield event
        return
    routers = [name for name, definition in methods.items() if event in _outcomes(definition)]
    if trigger is not None and trigger in methods and (trigger in routers or methods[trigger].router):
        routers = [trigger]
    yield from routers


def _outcomes(definition: Any) -> Sequence[str]:
    return (*(definition.emit or ()), *(getattr(definition.human_feedback, "emit", None) or ()))


def grouping_listeners(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make the replacement of ``Flow._find_triggered_methods``: listeners run together, routers one by one."""

    @wraps(original)
    def find(self: Any, *args: Any, **kwargs: Any) -> Any:
        methods = original(self, *args, **kwargs)
        _schedule(self, methods, *args, **kwargs)
        return methods

    return find


@never_raises("crewai.schedule")
def _schedule(flow: Any, methods: Sequence[Any], trigger_method: object, router_only: object) -> None:
    flow_run = otel_context.get_value(_FLOW)
    if isinstance(flow_run, FlowRun) and not router_only and not is_internal(flow):
        flow_run.schedule(f"after {trigger_method}", methods)
