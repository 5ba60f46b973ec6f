"""Runs of workflows, teams and agents, and their steps.

Whether a run returns a result, a coroutine or an iterator depends on its arguments: what is returned is looked at, and
stays what it is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, TypeAlias, TypedDict

from otel_wfperf.instrumentation.call import Call, attach, unrecorded_call
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.agno_parts.state import Group, Run, current_group, current_run, within
from otel_wfperf.instrumentation.operations import start_agent, start_phase, start_workflow
from otel_wfperf.instrumentation.others import is_recorded_elsewhere
from otel_wfperf.instrumentation.wrapping import record_async_generator, record_generator

_OTHERS: Final = (
    "openinference.instrumentation.agno",
    "opentelemetry.instrumentation.agno",
    "opentelemetry.instrumentation.genai.agno",
)

Start: TypeAlias = Callable[[Any, dict[str, Any]], Call]


class _PlaceInGroup(TypedDict, total=False):
    group: str
    width: int


def running(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``run``: it returns the result, or an iterator where it streams."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        position = _position_of_stream(original)

        @wraps(original)
        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_recorded():
                return original(self, *args, **kwargs)
            streams = args[position] if position < len(args) else kwargs.get("stream")
            if streams is None:
                streams = getattr(self, "stream", None)
            if streams:
                return _followed(lambda: start(self, kwargs), original(self, *args, **kwargs))
            return _called(lambda: start(self, kwargs), lambda: original(self, *args, **kwargs))

        return run

    return make


def running_async(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``arun``: it returns a coroutine, or an asynchronous iterator where it streams."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            return _followed(lambda: start(self, kwargs), result) if is_recorded() else result

        return arun

    return make


def continuing_async(start: Start) -> Callable[[Any], Any]:
    """Make what replaces a coroutine function that, where it streams, returns an asynchronous iterator in the end."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def acontinue_run(self: Any, *args: Any, **kwargs: Any) -> Any:
            coroutine = original(self, *args, **kwargs)
            streams = kwargs.get("stream") if kwargs.get("stream") is not None else getattr(self, "stream", None)
            if not is_recorded():
                return await coroutine
            if streams:
                return _followed(lambda: start(self, kwargs), await coroutine)
            return await _awaited(lambda: start(self, kwargs), coroutine)

        return acontinue_run

    return make


def executing(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``execute``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
            if current_run() is None:
                return original(self, *args, **kwargs)
            return _called(lambda: start(self, kwargs), lambda: original(self, *args, **kwargs))

        return execute

    return make


def executing_async(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``aexecute``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def aexecute(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            return await (result if current_run() is None else _awaited(lambda: start(self, kwargs), result))

        return aexecute

    return make


def streaming(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``execute_stream``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def execute_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
            items = original(self, *args, **kwargs)
            result = yield from (items if current_run() is None else _followed(lambda: start(self, kwargs), items))
            return result

        return execute_stream

    return make


def streaming_async(start: Start) -> Callable[[Any], Any]:
    """Make what replaces ``aexecute_stream``."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        async def aexecute_stream(self: Any, *args: Any, **kwargs: Any) -> Any:
            items = original(self, *args, **kwargs)
            if current_run() is not None:
                items = _followed(lambda: start(self, kwargs), items)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()

        return aexecute_stream

    return make


def _position_of_stream(function: Callable[..., Any]) -> int:
    """Return the place of ``stream`` among the positional arguments after ``self``; beyond all if it has none."""
    positional = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    return positional.index("stream") - 1 if "stream" in positional else len(positional)


def _called(begin: Callable[[], Call], function: Callable[[], Any]) -> Any:
    call = _begun(begin)
    try:
        with attach(None if call.ended else call):
            result = function()
    except BaseException as error:
        call.end(error)
        raise
    call.end(error_type=_failure(result))
    return result


async def _awaited(begin: Callable[[], Call], coroutine: Coroutine[Any, Any, Any]) -> Any:
    call = _begun(begin)
    try:
        with attach(None if call.ended else call):
            result = await coroutine
    except BaseException as error:
        call.end(error)
        raise
    call.end(error_type=_failure(result))
    return result


def _followed(begin: Callable[[], Call], result: Any) -> Any:
    """Record what a coroutine or iterator does, from when it is awaited or read."""
    if inspect.isgenerator(result):
        return record_generator(lambda: _begun(begin), lambda: result)()
    if inspect.isasyncgen(result):
        return record_async_generator(lambda: _begun(begin), lambda: result)()
    return _awaited(begin, result) if inspect.iscoroutine(result) else result


def _begun(begin: Callable[[], Call]) -> Call:
    with failures_counted("agno.start"):
        return begin()
    return unrecorded_call("agent", "")


def is_recorded() -> bool:
    """Tell whether a run that begins now is recorded by us."""
    return current_run() is not None or not is_recorded_elsewhere("Agno", *_OTHERS)


def start_run_of_workflow(workflow: Any, kwargs: dict[str, Any]) -> Call:
    """Start a run of a workflow."""
    name = getattr(workflow, "name", None) or type(workflow).__name__
    return start_workflow(str(name), conversation=_session(workflow, kwargs), context=within(current_run() or Run()))


def start_run_of_agent(agent: Any, kwargs: dict[str, Any]) -> Call:
    """Start a run of an agent or a team."""
    name = getattr(agent, "name", None) or type(agent).__name__
    conversation = _session(agent, kwargs) if current_run() is None else None
    return start_agent(str(name), conversation=conversation, context=within(current_run() or Run()))


def start_step(step: Any, kwargs: dict[str, Any]) -> Call:
    """Start a step of a workflow."""
    del kwargs
    name = getattr(step, "name", None) or type(step).__name__
    return start_phase(str(name), **_place_in_group(step), context=within(current_run() or Run()))


def start_parallel(block: Any, kwargs: dict[str, Any]) -> Call:
    """Start a block whose steps run side by side."""
    del kwargs
    name = str(getattr(block, "name", None) or "Parallel")
    return start_phase(name, **_place_in_group(block), context=within(current_run() or Run(), Group(name, block)))


def _place_in_group(step: Any) -> _PlaceInGroup:
    group = current_group()
    if group is None or not group.has_branch(step):
        return {}
    return {"group": group.name, "width": group.width}


@never_raises("agno.result")
def _failure(result: Any) -> str | None:
    """Name the failure of a run that reports it in its result instead of raising."""
    status = getattr(result, "status", None)
    return "run_error" if getattr(status, "value", status) == "ERROR" else None


def _session(owner: Any, kwargs: dict[str, Any]) -> str | None:
    session = kwargs.get("session_id") or getattr(owner, "session_id", None)
    return session if isinstance(session, str) else None
