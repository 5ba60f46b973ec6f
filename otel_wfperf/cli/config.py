"""``wfperf config``: check, print and describe the configuration."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Final

from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.output import write_standard_output
from otel_wfperf.config import WfperfConfig, load, schema
from otel_wfperf.errors import MissingExtraError


class Config:
    """Works on the file and the environment together, as the other commands see them."""

    name: ClassVar[str] = "config"
    summary: ClassVar[str] = "check the configuration, print it, or print its JSON schema"
    details: ClassVar[str] = """\
check   lists every problem at once; exit status 0 when there is none, else 2
print   writes the configuration in effect as YAML: defaults, file and OTEL_WFPERF_* variables together
schema  writes the JSON schema of the file, for editors

examples:
  wfperf config check wfperf.yaml
  OTEL_WFPERF_SIDECAR__LISTEN__GRPC=127.0.0.1:5317 wfperf config print
  wfperf config schema > wfperf.schema.json

Durations are written 500ms, 2s, 10m, 1h, 7d; sizes 64MiB, 10kB."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("action", choices=tuple(ACTIONS), help="what to do")
        file_help = "the file, such as wfperf.yaml (default: none)"
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=file_help)
        parser.add_argument("--config", type=Path, metavar="FILE", help="the same, as the other commands take it")

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        write_standard_output(ACTIONS[arguments.action](arguments.file or arguments.config))
        return 0


def _check(path: Path | None) -> str:
    load(path, os.environ).sidecar.refuse_exposure()
    return f"{path or 'the environment'}: fine\n"


def _print(path: Path | None) -> str:
    try:
        import yaml  # noqa: PLC0415 - comes with the sidecar extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("wfperf config print", "sidecar") from error

    values = load(path, os.environ).model_dump(mode="json", by_alias=True)
    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _schema(_path: Path | None) -> str:
    return json.dumps(schema() | {"title": WfperfConfig.__name__}, indent=2) + "\n"


ACTIONS: Final[Mapping[str, Callable[[Path | None], str]]] = {"check": _check, "print": _print, "schema": _schema}
