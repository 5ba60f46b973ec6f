"""The wait between two attempts of a model call: the time that hooks take before they ask for another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from opentelemetry import trace

from otel_wfperf.instrumentation.failures import never_raises
from otel_wfperf.instrumentation.integrations.strands_parts.executions import place_of
from otel_wfperf.instrumentation.operations import start_wait

_AFTER_MODEL_CALL: Final = "AfterModelCallEvent"


def recording_backoff(original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``HookRegistry.invoke_callbacks_async``: Strands' own retry strategy sleeps in such a hook."""

    @wraps(original)
    async def invoke_callbacks_async(self: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        if type(event).__name__ != _AFTER_MODEL_CALL or event.exception is None:
            return await original(self, event, *args, **kwargs)
        start_ns = time.time_ns()
        try:
            result = await original(self, event, *args, **kwargs)
        except BaseException as error:
            _record_wait(event, start_ns, error)
            raise
        if event.retry:
            _record_wait(event, start_ns, None)
        return result

    return invoke_callbacks_async


@never_raises("strands.backoff")
def _record_wait(event: Any, start_ns: int, error: BaseException | None) -> None:
    if place_of(trace.get_current_span()) is None:
        return
    model = event.agent.model
    settings = model.get_config()
    resource = settings.get("model_id") if isinstance(settings, dict) else None
    start_wait(str(resource or type(model).__name__), kind="retry_backoff", start_ns=start_ns).end(error)
