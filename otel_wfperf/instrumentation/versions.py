"""Comparing the version of an installed distribution with a range such as ``>=1.2,<2``."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_CLAUSE: Final = re.compile(r"\s*(>=|<)\s*(\d+(?:\.\d+)*)\s*")
_RELEASE: Final = re.compile(r"\d+(?:\.\d+)*")


def version_problem(distribution: str, allowed: str) -> str | None:
    """Say why the installed version is outside a range; None = it is inside, or not installed.

    Args:
        distribution: Name on PyPI.
        allowed: Clauses ``>=`` and ``<``, separated by commas. Pre-releases count as their release.
    """
    try:
        installed = version(distribution)
    except PackageNotFoundError:
        return None
    found = _RELEASE.match(installed)
    release = _numbers(found.group()) if found else ()
    for clause in allowed.split(","):
        parsed = _CLAUSE.fullmatch(clause)
        if parsed is None:
            raise ValueError(f"version range {allowed!r}: {clause!r} is neither >=N nor <N")
        bound = _numbers(parsed.group(2))
        if (release >= bound) != (parsed.group(1) == ">="):
            return f"{distribution} {installed} is outside {allowed}"
    return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
