"""What an integration is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from otel_wfperf.instrumentation.patching import Undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What an integration records, for docs/integrations.md; "" = the framework has no such thing, or it is not seen.

    Attributes:
        framework: The framework's own name, such as "OpenAI Agents SDK".
        hook: One sentence: through what the framework tells.
        tested: Versions that the tests ran with, by distribution, such as ``{"crewai": "1.15.30"}``.
        workflows: What becomes a workflow.
        phases: What becomes a phase, and which groups and dependencies are known.
        agents: What becomes an agent.
        tools: What becomes a tool call.
        llm_calls: What becomes a model call, and where its tokens come from.
        waits: Queues, limits and other waits.
        retries: How another attempt shows.
        handoffs: How one agent passing on to another shows.
        missing: What is not recorded, each with the reason; sentences.
    """

    framework: str
    hook: str
    tested: Mapping[str, str]
    workflows: str = ""
    phases: str = ""
    agents: str = ""
    tools: str = ""
    llm_calls: str = ""
    waits: str = ""
    retries: str = ""
    handoffs: str = ""
    missing: tuple[str, ...] = ()


class Integration(Protocol):
    """Records one framework.

    Attributes:
        name: What ``OTEL_WFPERF_INTEGRATIONS`` calls it.
        requires: Versions that the integration was tested with, by distribution, such as ``>=1.2,<2``.
            A distribution that is not installed is no obstacle.
        coverage: What it records and what not.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def requires(self) -> Mapping[str, str]:
        """See the class."""
        ...

    @property
    def coverage(self) -> Coverage:
        """See the class."""
        ...

    def hooks(self) -> Mapping[str, Callable[[], Undo]]:
        """List what to do once a module has been imported; each hook returns how to take it back.

        The hook of a submodule runs while its package is still being imported, which is early enough for what the
        package imports from it later; that of a package runs once all of the package is there.
        """
        ...
