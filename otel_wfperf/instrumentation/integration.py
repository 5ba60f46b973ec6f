"""What an integration is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from otel_wfperf.instrumentation.langgraph import LangGraphIntegration
from otel_wfperf.instrumentation.patching import Undo


class Integration(Protocol):
    """Records one framework.

    Attributes:
        name: What ``OTEL_WFPERF_INTEGRATIONS`` calls it.
        requires: Versions that the integration was tested with, by distribution, such as ``>=1.2,<2``.
            A distribution that is not installed is no obstacle.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def requires(self) -> Mapping[str, str]:
        """See the class."""
        ...

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List what to do once a module has been imported; each hook returns how to take it back.

        Name submodules: a hook on a package would run before the package is complete.
        """
        ...


# To add one: its file, its line here, its test.
INTEGRATIONS: tuple[Integration, ...] = (LangGraphIntegration(),)
