import logging
import sys
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_wfperf.instrumentation import others
from otel_wfperf.instrumentation.others import active_instrumentor, is_recorded_elsewhere

MODULE = "wfperf_test_instrumentor"


class Other(BaseInstrumentor):  # type: ignore[misc]
    """An instrumentor of somebody else."""

    def instrumentation_dependencies(self) -> list[str]:
        return []

    def _instrument(self, **_: Any) -> None: ...

    def _uninstrument(self, **_: Any) -> None: ...


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType(MODULE)
    vars(made).update(Other=Other, BaseInstrumentor=BaseInstrumentor)
    monkeypatch.setitem(sys.modules, MODULE, made)
    monkeypatch.setattr(others, "_announced", set())


def test_an_instrumentor_counts_only_while_it_is_on() -> None:
    assert active_instrumentor("not_imported", MODULE) is None

    Other().instrument()
    assert active_instrumentor("not_imported", MODULE) == MODULE

    Other().uninstrument()
    assert active_instrumentor(MODULE) is None


def test_a_framework_is_left_to_it_which_is_said_once_unless_both_are_wanted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "otel_wfperf")
    Other().instrument()
    try:
        assert is_recorded_elsewhere("X", MODULE)
        assert is_recorded_elsewhere("X", MODULE)
        assert [record.getMessage() for record in caplog.records] == [
            f"otel-wfperf leaves X to {MODULE}, which records it already; OTEL_WFPERF_FORCE=true records both"
        ]
        monkeypatch.setenv("OTEL_WFPERF_FORCE", "true")
        assert not is_recorded_elsewhere("X", MODULE)
    finally:
        Other().uninstrument()
