"""Versions of Python, of this package and of what it needs."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from otel_wfperf.cli.checks.check import Check, Health

OLDEST_PYTHON: Final = (3, 11)
CORE: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp", "pydantic", "wrapt", "psutil")
SIDECAR: Final = ("grpcio", "starlette", "uvicorn", "SQLAlchemy", "alembic", "prometheus-client", "httpx", "PyYAML")


def checks() -> Iterator[Check]:
    """Look at Python, the core packages and the ``sidecar`` extra."""
    supported = sys.version_info >= OLDEST_PYTHON
    yield Check(
        "Python",
        Health.OK if supported else Health.FAIL,
        f"{platform.python_version()} ({sys.executable})",
        "" if supported else "use Python 3.11 or newer",
    )
    yield Check("otel-wfperf", Health.OK, installed_version())
    yield Check("hot path", Health.OK, _hot_path())
    yield _packages("core packages", CORE, missing=Health.FAIL, remedy="pip install otel-wfperf")
    yield _packages("sidecar extra", SIDECAR, missing=Health.WARN, remedy="pip install 'otel-wfperf[sidecar]'")


def installed_version() -> str:
    """Return the version of the installed distribution."""
    try:
        return version("otel-wfperf")
    except PackageNotFoundError:
        return "not installed, run from a source tree"


def _hot_path() -> str:
    """Say whether the sidecar decodes and assembles with compiled modules."""
    try:
        from otel_wfperf.otlp.protobuf import IS_COMPILED  # noqa: PLC0415 - without the sidecar extra it may be missing
    except ImportError:
        return "not available without the sidecar extra"
    return "compiled" if IS_COMPILED else "interpreted: correct, at half the speed; platform wheels have it compiled"


def _packages(subject: str, names: tuple[str, ...], *, missing: Health, remedy: str) -> Check:
    found: list[str] = []
    absent: list[str] = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        return Check(subject, missing, f"not installed: {', '.join(absent)}", f"install what is missing: {remedy}")
    return Check(subject, Health.OK, ", ".join(found))
