"""What every callback shares: finding a run, starting it, ending it.

LangChain calls a handler in the thread or task that runs the runnable (``run_inline``), and
knows nothing of it otherwise: each callback swallows and counts its own failures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import context as otel_context

from otel_wfperf.instrumentation.call import Call
from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.langchain.runs import Run, Runs

# Key of the same name in opentelemetry.context; other instrumentations set it around their own calls.
_SUPPRESSED: Final = "suppress_instrumentation"


class RunCallbacks(BaseCallbackHandler):
    """Keeps the open runs.

    Attributes:
        runs: The open runs.
    """

    run_inline = True
    # What LangChain asks before each event; properties in its base class. Custom events and retries are not read here.
    ignore_chain = ignore_llm = ignore_chat_model = ignore_agent = ignore_retriever = False
    ignore_custom_event = ignore_retry = True
    # The one flag that makes LangChain re-raise what a handler raises stays off.
    raise_error = False

    def __init__(self, is_recorded_elsewhere: Callable[[], bool]) -> None:
        """Prepare.

        Args:
            is_recorded_elsewhere: Tells whether another instrumentation records LangChain already.
        """
        self.runs = Runs()
        self._is_recorded_elsewhere = is_recorded_elsewhere
        self._active = True

    def __copy__(self) -> Self:
        """Return the handler itself: a copied config or manager still belongs to the same runs."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """As above."""
        return self

    def __reduce__(self) -> tuple[type[BaseCallbackHandler], tuple[()]]:
        """Be nobody in another process, which has its own handler if it is recorded at all."""
        return BaseCallbackHandler, ()

    def stop(self) -> None:
        """Record no further run; those that are open still end."""
        self._active = False

    @never_raises("langchain.attach")
    def attach(self, config: Mapping[str, Any]) -> None:
        """Make a run current in the context in which LangChain will call its function."""
        run = self.runs.find(getattr(config.get("callbacks"), "parent_run_id", None))
        if run is not None and run.call is not None:
            # Never detached: LangChain made this context for one call and throws it away.
            otel_context.attach(run.context)

    @never_raises("langchain.call_of")
    def call_of(self, run_id: UUID) -> Call | None:
        """Return the operation of an open run."""
        run = self.runs.find(run_id)
        return run.call if run is not None else None

    def start(
        self, run_id: UUID, parent_run_id: UUID | None, name: str, metadata: Mapping[str, Any] | None
    ) -> Run | None:
        """Place a run; None = it is not to be recorded."""
        parent = self.runs.find(parent_run_id)
        if parent is None and (
            not self._active or otel_context.get_value(_SUPPRESSED) or self._is_recorded_elsewhere()
        ):
            return None
        return self.runs.add(run_id, Run(run_id, name, metadata or {}, parent))

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """End a run that raised."""
        run = self.runs.remove(run_id)
        if run is not None:
            run.end(error)


def describe_input(run: Run, value: object, *, hashed: bool = True) -> None:
    """Describe what a run was given, if its operation is recorded."""
    if run.call is not None and run.call.span.is_recording():
        run.execution.content.describe_input(run.call.span, value, hashed=hashed)


def describe_output(run: Run, value: object) -> Mapping[str, Any]:
    """Describe what a run returned, if its operation is recorded; return what is to be set when that ends."""
    if run.call is None or not run.call.span.is_recording():
        return {}
    return run.execution.content.describe_output(run.call.span, value)


def runnable_name(serialized: Mapping[str, Any] | None) -> str:
    """Name a runnable that was not given a name, as LangChain's own tracers do."""
    if not serialized:
        return "unknown"
    path = serialized.get("id") or ["unknown"]
    return str(serialized.get("name") or path[-1])


def without_none(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not known."""
    return {name: value for name, value in attributes.items() if value is not None}
