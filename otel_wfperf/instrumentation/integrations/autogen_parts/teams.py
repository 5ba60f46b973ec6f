"""Teams: a run of one is a workflow, and its manager chooses which agents go on."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from otel_wfperf.instrumentation.call import Call, attach
from otel_wfperf.instrumentation.failures import failures_counted, never_raises
from otel_wfperf.instrumentation.integrations.autogen_parts.runs import Run, begin_run, current_run
from otel_wfperf.instrumentation.operations import start_phase, start_workflow
from otel_wfperf.instrumentation.streams import Stream

SELECTION: Final = "select_speaker"
_UUID: Final = re.compile(r"_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


class _TeamRun(Stream):
    """One run of a team; its last item is the result."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.context)
        self._run = run

    def seen(self, item: Any) -> None:
        if hasattr(item, "stop_reason"):
            # A consumer that has the result may never ask for another item.
            self._run.call.end(attributes=self._result(item))

    def end(self, error: BaseException | None = None) -> None:
        self._run.call.end(error)

    @never_raises("autogen.result")
    def _result(self, result: Any) -> Any:
        last = result.messages[-1] if result.messages else None
        return self._run.prompts.reader.output_attributes(getattr(last, "content", None))


def begin_team(team: Any, **kwargs: Any) -> Stream:
    """Begin one call of ``BaseGroupChat.run_stream``."""
    return _begin_team(team, kwargs.get("task")) or Stream()


@never_raises("autogen.run_stream")
def _begin_team(team: Any, task: Any) -> Stream | None:
    run = begin_run(lambda: start_workflow(team.name, conversation=team._team_id))  # noqa: SLF001 - nothing public tells
    if run is None:
        return None
    graph = getattr(team, "_graph", None)
    if graph is not None:
        run.graph = graph.get_parents()
    if run.call.span.is_recording():
        given = [getattr(each, "content", each) for each in (task if isinstance(task, list) else [task])]
        run.call.span.set_attributes(run.prompts.reader.input_attributes(given, hashed=False))
    return _TeamRun(run)


def noting_selection(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method through which a manager tells whom it has chosen."""

    @wraps(original)
    async def log_speaker_selection(manager: Any, speaker_names: Any, *args: Any, **kwargs: Any) -> Any:
        run = current_run()
        if run is not None:
            with failures_counted("autogen.selection"):
                run.select(speaker_names)
        return await original(manager, speaker_names, *args, **kwargs)

    return log_speaker_selection


def selecting(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the method in which a manager asks a model whom to choose."""

    @wraps(original)
    async def select_speaker(*args: Any, **kwargs: Any) -> Any:
        phase = _begin_selection()
        if phase is None:
            return await original(*args, **kwargs)
        with attach(phase):
            try:
                chosen = await original(*args, **kwargs)
            except BaseException as error:
                phase.end(error)
                raise
        phase.end()
        return chosen

    return select_speaker


@never_raises("autogen.select_speaker")
def _begin_selection() -> Call | None:
    run = current_run()
    if run is None:
        return None
    run.attempts = 0
    return start_phase(SELECTION)


def speaker(run: Run | None, call: Call | None) -> str | None:
    """Name the agent in whose code an operation is current: in that of a team itself, it is the team's manager."""
    at = call
    while run is not None and at is not None and at is not run.call and at.kind != "agent":
        at = at.outer
    if run is not None and at is run.call and at.kind == "workflow":
        return _manager() or at.agent
    return None if call is None else call.agent


def _manager() -> str | None:
    from autogen_core import MessageHandlerContext  # noqa: PLC0415 - imported already when this runs

    try:
        agent_type = MessageHandlerContext.agent_id().type
    except RuntimeError:
        return None
    return _UUID.sub("", agent_type) if _UUID.search(agent_type) else None
