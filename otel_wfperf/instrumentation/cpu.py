"""CPU time and event-loop blocking, charged to the operation whose own code was running.

Every thread has an owner: the operation that is current in it. What the thread used since the last look goes to the
owner whenever that may change:

* ``attach`` and ``detach`` of OpenTelemetry's context: an operation begins, ends, calls another one. Patched on
  ``opentelemetry.context._RUNTIME_CONTEXT``, through which every attach goes (opentelemetry-api 1.36 to 1.45).
* each step of an event loop: it belongs to the operation that is current in the context of its callback, so that tasks
  that take turns in one thread are told apart. Patched: ``asyncio.events.Handle._run`` (CPython 3.11 to 3.14) and, as
  its handles are not Python, ``uvloop.Loop.call_soon`` and ``call_soon_threadsafe`` (uvloop 0.23).
* the first step of a task that begins at once (eager tasks of CPython 3.12 and later), after which the one that began
  it goes on. Patched: ``create_task`` of the event loops.
* work for a ``ThreadPoolExecutor``, which belongs to the operation that submitted it. Patched: ``submit``.

Under trio and gevent, which take turns without any of these, nothing is charged.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from time import monotonic_ns, thread_time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_wfperf.instrumentation.failures import count_failure
from otel_wfperf.instrumentation.open_spans import OpenSpan, open_span

if TYPE_CHECKING:
    from otel_wfperf.instrumentation.patching import Undo

# Source: asyncio's loop.slow_callback_duration, the step that its debug mode complains about.
BLOCKING_NS: Final = 100_000_000
# Chosen: what held a step for less than a tenth of that is not what blocked it.
_HOLDING_NS: Final = BLOCKING_NS // 10
# Chosen: reading a thread's clock takes 0.3 us, six times as long as the monotonic one, which is as good for so short a
# time. The next longer time makes up for the difference.
_SHORT_NS: Final = 20_000


class _Thread:
    """What one thread is doing.

    Attributes:
        owner: Whose code runs; None = nobody's that is recorded, or of nobody that can be told apart.
        cpu_ns: The thread's clock when that was last looked at (nanoseconds).
        wall_ns: The monotonic clock then (nanoseconds).
        in_step: Whether this is within a step of an event loop that is measured.
        step_ns: When the step began, by the monotonic clock.
        held: Owners that held the step for long before the present one, with how long (nanoseconds).
    """

    __slots__ = ("cpu_ns", "held", "in_step", "owner", "step_ns", "wall_ns")

    def __init__(self) -> None:
        self.owner: OpenSpan | None = None
        self.cpu_ns = 0
        self.wall_ns = 0
        self.in_step = False
        self.step_ns = 0
        self.held: list[tuple[OpenSpan, int]] = []


class _Threads(threading.local):
    """The state of the calling thread."""

    def __init__(self) -> None:
        self.current = _Thread()


class CpuAccounting:
    """Installs the patches and takes them back.

    Attributes:
        is_installed: Whether CPU time is charged.
    """

    def __init__(self) -> None:
        """Patch nothing yet."""
        self.is_installed = False
        self._undo: list[Undo] = []
        self._variable: ContextVar[Any] | None = None

    def install(self) -> None:
        """Charge CPU time from now on; does nothing when that is so, or with another kind of runtime context."""
        from otel_wfperf.instrumentation.patching import replace, when_imported  # noqa: PLC0415 - loads wrapt

        runtime: Any = otel_context._RUNTIME_CONTEXT  # noqa: SLF001 - see the module
        variable = getattr(runtime, "_current_context", None)
        if self.is_installed or not isinstance(variable, ContextVar):
            return
        self.is_installed, self._variable = True, variable
        undo = self._undo = [
            replace(runtime, "attach", self._attaching),
            replace(runtime, "detach", self._detaching),
        ]

        def hook(module: str, class_name: str, *methods: tuple[str, Callable[[Any], Any]]) -> None:
            def run() -> None:
                if self._undo is undo:
                    owner = getattr(sys.modules[module], class_name)
                    undo.extend(replace(owner, name, make) for name, make in methods)

            when_imported(module, run)

        hook("asyncio.events", "Handle", ("_run", self._running))
        hook("asyncio.base_events", "BaseEventLoop", ("create_task", self._creating))
        hook(
            "uvloop",
            "Loop",
            ("call_soon", self._scheduling),
            ("call_soon_threadsafe", self._scheduling),
            ("create_task", self._creating),
        )
        hook("concurrent.futures.thread", "ThreadPoolExecutor", ("submit", _submitting))

    def remove(self) -> None:
        """Take the patches back."""
        undo, self._undo, self._variable, self.is_installed = self._undo, [], None, False
        for each in reversed(undo):
            each()

    def switched(self) -> None:
        """Note that another operation may be current in this thread now; for those who do not call ``detach``."""
        if self._variable is None:
            return
        try:
            thread, owner = _threads.current, _owner(self._variable.get(None))
            if owner is not thread.owner:
                _switch(thread, owner)
        except Exception:  # noqa: BLE001 - as above
            count_failure("cpu.detach")

    def settle(self, span: OpenSpan) -> None:
        """Charge an operation with what it used up to now: it is about to end."""
        thread = _threads.current
        if thread.owner is span and self._variable is not None:
            _charge(thread)
            thread.owner = _owner(self._variable.get(None))
        if thread.held and monotonic_ns() - thread.step_ns >= BLOCKING_NS:
            # At the end of the step it would be too late.
            _charge_blocking(thread, span)

    def _attaching(self, original: Callable[..., Any]) -> Callable[..., Any]:
        set_context = self._plain(original, "set")

        @wraps(original)
        def attach(context: Any) -> Any:
            token = set_context(context)
            try:
                thread, span = _threads.current, context.get(_SPAN_KEY)
                owner = None if span is None else open_span(span)
                if owner is not thread.owner:
                    _switch(thread, owner)
            except Exception:  # noqa: BLE001 - never the user's problem
                count_failure("cpu.attach")
            return token

        return attach

    def _detaching(self, original: Callable[..., Any]) -> Callable[..., Any]:
        reset, switched = self._plain(original, "reset"), self.switched

        @wraps(original)
        def detach(token: Any) -> None:
            reset(token)
            switched()

        return detach

    def _plain(self, original: Callable[..., Any], method: str) -> Callable[..., Any]:
        """Return the method of the variable that OpenTelemetry's own runtime context calls, and nothing else."""
        is_known = type(otel_context._RUNTIME_CONTEXT).__module__ == "opentelemetry.context.contextvars_context"  # noqa: SLF001
        found: Callable[..., Any] = getattr(self._variable, method) if is_known else original
        return found

    def _running(self, original: Callable[..., Any]) -> Callable[..., Any]:
        variable: Any = self._variable

        @wraps(original)
        def _run(handle: Any) -> None:
            _run_step(handle._context.get(variable), original, handle)  # noqa: SLF001 - see the module

        return _run

    def _creating(self, original: Callable[..., Any]) -> Callable[..., Any]:
        switched = self.switched

        @wraps(original)
        def create_task(*args: Any, **kwargs: Any) -> Any:
            task = original(*args, **kwargs)
            switched()
            return task

        return create_task

    def _scheduling(self, original: Callable[..., Any]) -> Callable[..., Any]:
        variable: Any = self._variable

        def step(callback: Callable[..., Any], *args: Any) -> None:
            _run_step(variable.get(None), callback, *args)

        @wraps(original)
        def call_soon(loop: Any, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
            return original(loop, step, callback, *args, context=context)

        return call_soon


def _submitting(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def submit(executor: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        owner = _threads.current.owner
        if owner is None:
            return original(executor, function, *args, **kwargs)
        return original(executor, _work, owner, function, *args, **kwargs)

    return submit


def _work(owner: OpenSpan, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run what was submitted, for the operation that submitted it."""
    thread = _threads.current
    _charge(thread)
    thread.owner = owner
    try:
        return function(*args, **kwargs)
    finally:
        _charge(thread)
        thread.owner = None


def _owner(context: Any) -> OpenSpan | None:
    """Find what is known of the current span of one of OpenTelemetry's contexts; None = nothing.

    The current span may be any object, and a step that fails here would be lost to the program.
    """
    try:
        span = None if context is None else context.get(_SPAN_KEY)
        return None if span is None else open_span(span)
    except Exception:  # noqa: BLE001 - see above
        count_failure("cpu.owner")
        return None


def _switch(thread: _Thread, owner: OpenSpan | None) -> None:
    """Make somebody else the owner, and charge the one before."""
    if owner is not None and not thread.in_step and _takes_turns():
        owner = None
    _charge(thread)
    thread.owner = owner


def _charge(thread: _Thread) -> None:
    """Charge the owner with what was used since the last look."""
    owner, wall_ns = thread.owner, monotonic_ns()
    used_ns = wall_ns - thread.wall_ns
    if used_ns > _SHORT_NS:
        if thread.in_step and owner is not None and used_ns >= _HOLDING_NS:
            thread.held.append((owner, used_ns))
        cpu_ns = thread_time_ns()
        used_ns = cpu_ns - thread.cpu_ns
        thread.cpu_ns = cpu_ns
    else:
        thread.cpu_ns += used_ns
    if owner is not None and used_ns > 0:
        owner.cpu_ns += used_ns
    thread.wall_ns = wall_ns


def _run_step(context: Any, run: Callable[..., Any], /, *args: Any) -> None:
    """Run one step of an event loop for the operation that is current in its context.

    Args:
        context: OpenTelemetry's context in the step; None = it has none.
        run: The step.
        args: Its arguments.
    """
    thread = _threads.current
    around, in_step, step_ns = thread.owner, thread.in_step, thread.step_ns
    owner = _owner(context)
    if around is not None or owner is not None:
        # Whatever the loop did before; within an operation of its own thread, `with agent(...): asyncio.run(...)`, it
        # belongs to that.
        _charge(thread)
        thread.step_ns = thread.wall_ns
    else:
        thread.step_ns = monotonic_ns()
    thread.owner, thread.in_step = owner, True
    try:
        run(*args)
    finally:
        if thread.owner is not None or around is not None:
            _charge(thread)
        if thread.held:
            _end_held(thread, monotonic_ns() - thread.step_ns)
        thread.owner, thread.in_step, thread.step_ns = around, in_step, step_ns


def _end_held(thread: _Thread, step_ns: int) -> None:
    """Charge those who held a step, if it took too long (nanoseconds)."""
    if step_ns >= BLOCKING_NS:
        for span in {id(span): span for span, _ in thread.held}.values():
            _charge_blocking(thread, span)
    thread.held.clear()


def _charge_blocking(thread: _Thread, span: OpenSpan) -> None:
    """Charge one of those who held a step that took too long."""
    held_ns = sum(held_ns for each, held_ns in thread.held if each is span)
    if held_ns:
        thread.held[:] = [each for each in thread.held if each[0] is not span]
        span.blocked_ns += held_ns
        span.blocked_longest_ns = max(span.blocked_longest_ns, held_ns)


def _takes_turns() -> bool:
    """Tell whether this thread runs tasks whose turns nobody tells us."""
    modules = sys.modules
    asyncio = modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented for frameworks
        return True
    if "trio" in modules and modules["trio"].lowlevel.in_trio_run():
        return True
    return "gevent.monkey" in modules and bool(modules["gevent.monkey"].is_module_patched("threading"))


def _after_fork_in_child() -> None:
    """Begin anew: the clock of the thread does."""
    _threads.current = _Thread()


_threads: Final = _Threads()
CPU: Final = CpuAccounting()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
