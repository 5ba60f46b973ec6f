import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, ClassVar

import pytest

from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.installing import INSTRUMENTATION, Instrumentation, instrument, uninstrument
from otel_wfperf.instrumentation.integration import Coverage, Integration
from otel_wfperf.instrumentation.integrations import INTEGRATIONS
from otel_wfperf.instrumentation.patching import Undo, replace
from otel_wfperf.instrumentation.versions import version_problem


class Greeting:
    """An integration of a module that the test makes."""

    name: ClassVar[str] = "greeting"
    coverage: ClassVar[Coverage] = Coverage(framework="Greeting", hook="", tested={})

    def __init__(self, module: str, requires: Mapping[str, str] | None = None) -> None:
        self.module = module
        self.requires: Mapping[str, str] = requires or {}

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        return {self.module: self._louder}

    def _louder(self) -> Undo:
        return replace(sys.modules[self.module], "greet", lambda original: lambda: original().upper())


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that is imported already."""
    made: Any = ModuleType("wfperf_test_greeting")
    made.greet = lambda: "hello"
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_a_module_that_is_imported_already_is_patched_at_once_and_restored(module: Any) -> None:
    original = module.greet
    instrumentation = Instrumentation()
    instrumentation.install(Greeting(module.__name__))
    assert (module.greet(), instrumentation.names) == ("HELLO", frozenset({"greeting"}))

    instrumentation.remove()

    assert module.greet is original
    assert instrumentation.names == frozenset()
    instrumentation.remove()


def test_a_module_that_is_imported_later_is_patched_then_unless_it_was_taken_back(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("wfperf_test_later", "wfperf_test_never"):
        (tmp_path / f"{name}.py").write_text("def greet():\n    return 'hello'\n")
    monkeypatch.syspath_prepend(tmp_path)
    instrumentation = Instrumentation()
    instrumentation.install(Greeting("wfperf_test_never"))
    instrumentation.remove()
    instrumentation.install(Greeting("wfperf_test_later"))

    import wfperf_test_later  # type: ignore[import-not-found]
    import wfperf_test_never  # type: ignore[import-not-found]

    assert (wfperf_test_later.greet(), wfperf_test_never.greet()) == ("HELLO", "hello")


def test_somebody_elses_patch_on_top_of_ours_stays(module: Any) -> None:
    instrumentation = Instrumentation()
    instrumentation.install(Greeting(module.__name__))
    ours = module.greet
    module.greet = lambda: ours() + "!"

    instrumentation.remove()

    assert module.greet() == "HELLO!"


def test_a_hook_that_fails_is_counted_and_the_program_goes_on(module: Any) -> None:
    del module.greet
    before = failure_counts().get("greeting.instrument", 0)

    Instrumentation().install(Greeting(module.__name__))

    assert failure_counts()["greeting.instrument"] == before + 1


def test_the_environment_chooses_integrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_WFPERF_INTEGRATIONS", "nothing")
    uninstrument()
    instrument()
    assert INSTRUMENTATION.names == frozenset()


@pytest.mark.parametrize("integration", INTEGRATIONS, ids=lambda integration: integration.name)
def test_every_integration_says_what_it_needs_and_which_modules_it_hooks(integration: Integration) -> None:
    assert integration.name.isidentifier()
    assert integration.requires
    for distribution, allowed in integration.requires.items():
        version_problem(distribution, allowed)
    assert integration.hooks()
    for module in integration.hooks():
        assert all(part.isidentifier() for part in module.split("."))


@pytest.mark.parametrize("allowed", [">=8,<100", ">=1", "<100", ">=8.3 , <100.2.1"])
def test_a_version_inside_its_range_is_no_problem(allowed: str) -> None:
    assert version_problem("pytest", allowed) is None


def test_a_version_outside_its_range_is_named() -> None:
    assert version_problem("pytest", ">=100") == f"pytest {pytest.__version__} is outside >=100"
    assert version_problem("pytest", ">=1,<2") == f"pytest {pytest.__version__} is outside >=1,<2"


def test_what_is_not_installed_is_no_problem() -> None:
    assert version_problem("no-such-distribution-here", ">=1") is None


def test_a_range_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"version range '~=1.2': '~=1.2' is neither >=N nor <N"):
        version_problem("pytest", "~=1.2")


def test_a_hook_runs_without_the_lock_that_an_importing_thread_may_wait_for(module: Any) -> None:
    instrumentation = Instrumentation()

    class Importing(Greeting):
        """Its hook imports something that another thread is importing, which runs a hook of its own."""

        def _louder(self) -> Undo:
            other = threading.Thread(target=instrumentation.remove, args=("something else",))
            other.start()
            other.join(10)
            assert not other.is_alive()
            return super()._louder()

    instrumentation.install(Importing(module.__name__))

    assert module.greet() == "HELLO"


def test_an_integration_that_is_removed_while_its_hook_runs_leaves_nothing_behind(module: Any) -> None:
    instrumentation = Instrumentation()

    class Removed(Greeting):
        def _louder(self) -> Undo:
            undo = super()._louder()
            instrumentation.remove(self.name)
            return undo

    instrumentation.install(Removed(module.__name__))

    assert module.greet() == "hello"


def test_a_version_range_that_cannot_be_read_does_not_stop_the_import(module: Any) -> None:
    before = failure_counts().get("greeting.instrument", 0)
    Instrumentation().install(Greeting(module.__name__, {"pytest": "~=1"}))

    assert module.greet() == "hello"
    assert failure_counts()["greeting.instrument"] == before + 1
