"""Environment variables of the instrumentation (``OTEL_WFPERF_*``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentationSettings:
    """What the environment asks for.

    Attributes:
        disabled: ``OTEL_WFPERF_DISABLED=true``: ``import otel_wfperf.auto`` does nothing. ``OTEL_SDK_DISABLED=true``
            has the same effect. Source: OpenTelemetry specification, environment variables, "General SDK".
        integrations: ``OTEL_WFPERF_INTEGRATIONS=langgraph,...``: only these; None = all.
        force: ``OTEL_WFPERF_FORCE=true``: record even where another instrumentation already does.
        resources: ``OTEL_WFPERF_RESOURCES=false`` stops CPU, memory and event loop sampling.
        cpu: ``OTEL_WFPERF_CPU=false`` leaves asyncio and thread pools as they are: no CPU time for each operation, and
            no event-loop blocking.
        live: ``OTEL_WFPERF_LIVE=false`` sends no start events, so that only what has ended is seen.
    """

    disabled: bool = False
    integrations: frozenset[str] | None = None
    force: bool = False
    resources: bool = field(default=True)
    cpu: bool = field(default=True)
    live: bool = field(default=True)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> InstrumentationSettings:
        """Read the variables; unknown values count as the default."""
        env = os.environ if environ is None else environ
        names = [name.strip() for name in env.get("OTEL_WFPERF_INTEGRATIONS", "").split(",")]
        return cls(
            disabled=_is_true(env, "OTEL_WFPERF_DISABLED") or _is_true(env, "OTEL_SDK_DISABLED"),
            integrations=frozenset(filter(None, names)) or None,
            force=_is_true(env, "OTEL_WFPERF_FORCE"),
            resources=_is_not_false(env, "OTEL_WFPERF_RESOURCES"),
            cpu=_is_not_false(env, "OTEL_WFPERF_CPU"),
            live=_is_not_false(env, "OTEL_WFPERF_LIVE"),
        )


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    # "true" is the only word that the OpenTelemetry specification knows; "1" is what people type.
    return environ.get(name, "").strip().lower() in {"true", "1"}


def _is_not_false(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() not in {"false", "0"}
