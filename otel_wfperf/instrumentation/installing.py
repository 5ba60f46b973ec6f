"""Installing and removing integrations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Final

from otel_wfperf.instrumentation.facts import preload
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.integration import Integration
from otel_wfperf.instrumentation.integrations import INTEGRATIONS
from otel_wfperf.instrumentation.patching import Undo, when_imported
from otel_wfperf.instrumentation.settings import InstrumentationSettings
from otel_wfperf.instrumentation.versions import version_problem

_logger = logging.getLogger("otel_wfperf")


class Instrumentation:
    """The integrations that are installed now."""

    def __init__(self) -> None:
        """Install nothing yet."""
        self._undo: dict[str, list[Undo]] = {}
        self._lock = RLock()

    @property
    def names(self) -> frozenset[str]:
        """Names of the integrations that are installed or wait for their framework to be imported."""
        return frozenset(self._undo)

    def install(self, integration: Integration) -> None:
        """Run the integration's hooks, now or when their modules are imported; does nothing the second time."""
        with self._lock:
            if integration.name in self._undo:
                return
            undo = self._undo[integration.name] = []
        for module, hook in integration.hooks().items():
            when_imported(module, self._guarded(integration, hook, undo))

    def remove(self, name: str | None = None) -> None:
        """Take back one integration, or all of them; hooks that still wait will do nothing."""
        with self._lock:
            for each in [name] if name is not None else list(self._undo):
                for undo in reversed(self._undo.pop(each, [])):
                    with failures_counted(f"{each}.uninstrument"):
                        undo()

    def _guarded(self, integration: Integration, hook: Callable[[], Undo], undo: list[Undo]) -> Callable[[], None]:
        def run() -> None:
            # The list is replaced when the integration is removed and installed again.
            if self._undo.get(integration.name) is not undo:
                return
            with failures_counted(f"{integration.name}.instrument"):
                problem = _problem(integration)
                if problem is not None:
                    _warn_once(integration.name, problem)
                    return
                preload()
                # Without the lock: a hook imports modules, and whoever imports one of them may be waiting here.
                take_back = hook()
                with self._lock:
                    is_wanted = self._undo.get(integration.name) is undo
                    if is_wanted:
                        undo.append(take_back)
                if not is_wanted:
                    take_back()

        return run


INSTRUMENTATION: Final = Instrumentation()
_warned: set[str] = set()


def instrument(*integrations: Integration) -> None:
    """Record these frameworks, or all that the settings allow.

    A framework that is not imported yet is recorded as soon as it is; none is imported for it.
    """
    settings = InstrumentationSettings.from_environment()
    chosen: Iterable[Integration] = integrations or INTEGRATIONS
    if not integrations and settings.integrations is not None:
        unknown = settings.integrations - {integration.name for integration in INTEGRATIONS}
        for name in sorted(unknown):
            known = ", ".join(integration.name for integration in INTEGRATIONS)
            _logger.warning("OTEL_WFPERF_INTEGRATIONS: unknown integration: %s (known: %s)", name, known)
        chosen = [integration for integration in INTEGRATIONS if integration.name in settings.integrations]
    for integration in chosen:
        with failures_counted(f"{integration.name}.instrument"):
            INSTRUMENTATION.install(integration)


def uninstrument() -> None:
    """Take back everything that :func:`instrument` and ``configure`` changed; providers stay, and send what is left."""
    from otel_wfperf.instrumentation.configuration import stop_watching  # noqa: PLC0415 - loaded when it is needed

    INSTRUMENTATION.remove()
    stop_watching()


@contextmanager
def instrumented(*integrations: Integration) -> Iterator[None]:
    """Record these frameworks within the block."""
    instrument(*integrations)
    try:
        yield
    finally:
        for integration in integrations or INTEGRATIONS:
            INSTRUMENTATION.remove(integration.name)


def _problem(integration: Integration) -> str | None:
    problems = (version_problem(name, allowed) for name, allowed in integration.requires.items())
    return next((problem for problem in problems if problem is not None), None)


def _warn_once(name: str, problem: str) -> None:
    if name not in _warned:
        _warned.add(name)
        _logger.warning("otel-wfperf does not record %s: %s; install a version in that range", name, problem)
