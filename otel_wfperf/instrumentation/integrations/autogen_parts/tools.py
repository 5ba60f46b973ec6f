"""Tools: AutoGen opens a span for each call, whose place ours takes.

``BaseTool.run_json`` knows arguments and result, the span inside it does not; tools that do without it, such as those
of MCP servers, have that span alone (autogen-core and autogen-ext 0.7.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Any, Final

from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.call import Call, current_operation, detach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.autogen_parts.agents import Entered
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import current_run, may_record
from otel_wfperf.instrumentation.operations import start_tool
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.streams import Stream

# Holds the operation that run_json has opened, until AutoGen's own span inside asks for it.
_OPENED: Final = otel_context.create_key("otel_wfperf.autogen.tool")


def tool_span(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``trace_tool_span``."""

    @wraps(original)
    def trace_tool_span(tool_name: str, **kwargs: Any) -> Any:
        opened = otel_context.get_value(_OPENED)
        if isinstance(opened, list) and opened:
            return nullcontext(opened.pop().span)
        call = _start(tool_name, kwargs.get("tool_call_id"))
        return original(tool_name, **kwargs) if call is None else Entered(call.context, [call])

    return trace_tool_span


def recorded_call(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``BaseTool.run_json``."""

    @wraps(original)
    async def run_json(*args: Any, **kwargs: Any) -> Any:
        call = _begin(args, kwargs)
        if call is None:
            return await original(*args, **kwargs)
        token = otel_context.attach(otel_context.set_value(_OPENED, [call], call.context))
        try:
            result = await original(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        finally:
            detach(token)
        call.end(attributes=_result(result))
        return result

    return run_json


class _Results(Stream):
    """A tool call whose results are streamed; the last one is its value."""

    def __init__(self, call: Call) -> None:
        super().__init__(otel_context.set_value(_OPENED, [call], call.context))
        self._call = call
        self._last: Any = None

    def seen(self, item: Any) -> None:
        self._last = item

    def end(self, error: BaseException | None = None) -> None:
        self._call.end(error, attributes=_result(self._last) if error is None else None)


def begin_results(*args: Any, **kwargs: Any) -> Stream:
    """Begin one call of ``BaseStreamTool.run_json_stream``."""
    call = _begin(args, kwargs)
    return Stream() if call is None else _Results(call)


@never_raises("autogen.tool")
def _begin(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
    tool, given = args[0], args[1] if len(args) > 1 else kwargs.get("args")
    call = _start(tool.name, args[3] if len(args) > 3 else kwargs.get("call_id"))
    if call is not None and call.span.is_recording():
        call.span.set_attributes(_reader().input_attributes(given))
    return call


@never_raises("autogen.tool")
def _start(name: str, call_id: str | None) -> Call | None:
    run, outer = current_run(), current_operation()
    if run is None and not may_record():
        return None
    turn = run.turns.pop(call_id, None) if run is not None and call_id else None
    return start_tool(name, agent=outer.agent if outer is not None else None, call_id=call_id or None, turn=turn)


def _result(value: Any) -> Mapping[str, Any]:
    with failures_counted("autogen.tool_result"):
        return _reader().output_attributes(value)
    return {}


def _reader() -> ContentReader:
    run = current_run()
    return ContentReader() if run is None else run.prompts.reader
