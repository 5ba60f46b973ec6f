"""What survives a restart: alerts, silences, and who was told of what. One JSON file, replaced as a whole."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from otel_wfperf.alerts import Alert, Silence
from otel_wfperf.alerts.documents import alert_of, kept_alert, kept_silence, silence_of
from otel_wfperf.log import put_aside

_LOGGER = logging.getLogger(__name__)
_VERSION: Final = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All of it.

    Attributes:
        told: When each notifier last told that an alert fires (nanoseconds since the Unix epoch), by fingerprint.
    """

    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def load(path: Path) -> Kept:
    """Read the file; without one there is nothing, and a damaged one is put aside."""
    try:
        document = json.loads(path.read_bytes())
        return Kept(
            alerts=tuple(_readable(alert_of, document["alerts"])),
            silences=tuple(_readable(silence_of, document["silences"])),
            told={
                str(name): {str(key): int(ns) for key, ns in told.items()} for name, told in document["told"].items()
            },
        )
    except FileNotFoundError:
        return Kept()
    except (ValueError, LookupError, TypeError, AttributeError):
        put_aside(path)
        return Kept()


def save(path: Path, kept: Kept) -> None:
    """Write the file so that it is whole whatever happens; raise OSError when it cannot be."""
    document = {
        "version": _VERSION,
        "alerts": [kept_alert(each) for each in kept.alerts],
        "silences": [kept_silence(each) for each in kept.silences],
        "told": kept.told,
    }
    new = path.with_name(f"{path.name}.new")
    # Names of workflows may say something of users: for the owner only.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _readable(read: Callable[[Mapping[str, Any]], T], kept: Iterable[Mapping[str, Any]]) -> Iterable[T]:
    """Leave out what another version wrote otherwise."""
    for each in kept:
        try:
            yield read(each)
        except (ValueError, LookupError, TypeError):
            _LOGGER.warning("alerts: an entry of the state file cannot be read and is left out")
