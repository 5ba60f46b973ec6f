"""Recording a call of one of CrewAI's functions while it lasts.

CrewAI's event bus calls its handlers in other threads, after the fact: what happens inside of an
operation could not be placed below it. A wrapper around the function has the true times, the true
context, and its end cannot be missed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from otel_wfperf import semconv
from otel_wfperf.instrumentation.call import Call, detach
from otel_wfperf.instrumentation.failures import count_failure, failures_counted
from otel_wfperf.instrumentation.integrations.crewai_parts.runs import Run, with_run
from otel_wfperf.instrumentation.patching import Undo, replace

# Attribute of a replacement that holds its :class:`Switch`.
_SWITCH: Final = "_otel_wfperf_switch"

Describe: TypeAlias = Callable[[Any], Mapping[str, Any]]


class Opened:
    """An operation that has started and is to be current while a function runs.

    Attributes:
        call: The operation.
        context: What is current meanwhile.
        outer: What was current before.
    """

    __slots__ = ("_describe", "call", "context", "outer")

    def __init__(self, call: Call, run: Run, *, describe: Describe | None = None) -> None:
        """Prepare.

        Args:
            call: The operation.
            run: The run that it is part of.
            describe: Turns what the function returns into the last attributes; ``error.type`` = it says that it failed.
        """
        self.call = call
        self.outer = otel_context.get_current()
        self.context = with_run(run, call.context)
        self._describe = describe

    def also(self, key: str, value: object) -> Opened:
        """Put something into the context, for operations inside."""
        self.context = otel_context.set_value(key, value, self.context)
        return self

    def finish(self, result: object) -> None:
        """End the operation with what the function returned."""
        attributes: Mapping[str, Any] = {}
        if self._describe is not None and not self.call.ended:
            # Whatever an unusual result does to the reading of it, the operation has ended.
            with failures_counted("crewai.result"):
                attributes = self._describe(result)
        self.call.end(error_type=attributes.get(semconv.ERROR_TYPE), attributes=attributes)


# Called with the object, the positional and the named arguments; None = there is nothing to record.
Open: TypeAlias = Callable[[Any, Sequence[Any], Mapping[str, Any]], Opened | None]


class Switch:
    """Whether a replacement still records: another instrumentation may have kept a reference to it.

    Attributes:
        is_on: False once the replacement was taken back.
    """

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        """Be on."""
        self.is_on = True


def recorded(opening: Open) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the replacement of a method that records every call of it; coroutine functions stay what they are."""

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        switch = Switch()
        is_async = inspect.iscoroutinefunction(original)
        replacement = (_async if is_async else _sync)(original, opening, switch)
        vars(replacement)[_SWITCH] = switch
        return replacement

    return make


def _sync(original: Callable[..., Any], opening: Open, switch: Switch) -> Callable[..., Any]:
    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        opened = open_safely(opening, args, kwargs) if switch.is_on else None
        return run_inside(opened, original, *args, **kwargs)

    return call


def _async(original: Callable[..., Any], opening: Open, switch: Switch) -> Callable[..., Any]:
    @wraps(original)
    async def call(*args: Any, **kwargs: Any) -> Any:
        opened = open_safely(opening, args, kwargs) if switch.is_on else None
        return await run_inside_async(opened, original, *args, **kwargs)

    return call


def run_inside(opened: Opened | None, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function inside of an operation, which ends with it; None = just call it."""
    if opened is None:
        return function(*args, **kwargs)
    with entered(opened):
        result = function(*args, **kwargs)
    opened.finish(result)
    return result


async def run_inside_async(
    opened: Opened | None, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any
) -> Any:
    """Do the same with a coroutine function."""
    if opened is None:
        return await function(*args, **kwargs)
    with entered(opened):
        result = await function(*args, **kwargs)
    opened.finish(result)
    return result


def open_safely(opening: Open, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Opened | None:
    """Start an operation; a failure of ours means that it is not recorded.

    Args:
        opening: Starts it.
        args: The positional arguments; the first one is the object.
        kwargs: The named ones.
    """
    try:
        return opening(args[0] if args else None, args[1:], kwargs)
    except Exception:  # noqa: BLE001 - whatever goes wrong in here is ours, never the user's
        count_failure(f"crewai.{opening.__name__}")
        return None


@contextmanager
def entered(opened: Opened) -> Iterator[None]:
    """Make an operation current within the block, and end it if the block raises."""
    try:
        with attached(opened.context):
            yield
    except BaseException as error:
        opened.call.end(error)
        raise


@contextmanager
def attached(context: Context) -> Iterator[None]:
    """Make a context current within the block."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        detach(token)


def argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str) -> Any:
    """Find an argument that may be given by position or by name; None = it is not given."""
    return kwargs[name] if name in kwargs else args[position] if len(args) > position else None


def replace_all(*replacements: tuple[Any, str, Callable[[Any], Any]]) -> Undo:
    """Replace several functions; one that this version of CrewAI does not have is counted, and the others are replaced.

    Args:
        replacements: Owner, name, and what makes the replacement, as for :func:`replace`.
    """
    undo: list[Undo] = []
    for owner, name, make in replacements:
        with failures_counted(f"crewai.{name}"):
            undo.append(_replace_one(owner, name, make))

    def undo_all() -> None:
        for each in reversed(undo):
            each()

    return undo_all


def _replace_one(owner: Any, name: str, make: Callable[[Any], Any]) -> Undo:
    made: list[Any] = []

    def remember(original: Any) -> Any:
        made.append(make(original))
        return made[0]

    undo = replace(owner, name, remember)

    def switch_off_and_undo() -> None:
        switch = vars(made[0]).get(_SWITCH)
        if isinstance(switch, Switch):
            switch.is_on = False
        undo()

    return switch_off_and_undo
