"""``wfperf doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from otel_wfperf.cli.checks import Check, Health, environment, exporters, frameworks, network, software
from otel_wfperf.cli.command import Parser
from otel_wfperf.cli.output import write_standard_output
from otel_wfperf.config import SidecarConfig, load
from otel_wfperf.errors import ConfigError


class Doctor:
    """Looks, changes nothing, and sends an empty request to a sidecar that runs and to each back end."""

    name: ClassVar[str] = "doctor"
    summary: ClassVar[str] = "check versions, frameworks, ports and connections, with the next step for each problem"
    details: ClassVar[str] = """\
exit status:
  0  nothing failed (warnings are not failures)
  1  something failed

examples:
  wfperf doctor
  wfperf doctor --config wfperf.yaml                also tries the exporters in the file
  wfperf doctor --format json | jq '.checks[] | select(.health != "ok")'

Time limits of the connections are 1 s each."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, such as wfperf.yaml")
        parser.add_argument(
            "--format", choices=("text", "json"), default="text", help="form of the result (default text)"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""
        checks = tuple(examine(arguments.config, os.environ))
        if arguments.format == "json":
            content = {"checks": [asdict(check) for check in checks]}
            write_standard_output(json.dumps(content, indent=2) + "\n")
        else:
            write_standard_output(as_text(checks))
        return int(any(check.health is Health.FAIL for check in checks))


def examine(config_path: Path | None, environ: Mapping[str, str]) -> Iterator[Check]:
    """Carry out all checks, the simplest first."""
    yield from software.checks()
    yield from frameworks.checks()
    yield from environment.checks(environ)
    try:
        config = load(config_path, environ).sidecar
        config.refuse_exposure()
    except ConfigError as error:
        for problem in error.problems:
            yield Check("configuration", Health.FAIL, problem, "correct it; wfperf config check shows whether it is")
        config = SidecarConfig()
    else:
        yield Check("configuration", Health.OK, f"{config_path or 'defaults and environment'}: no problem")
    yield from network.checks(config)
    yield from exporters.checks(config)


def as_text(checks: tuple[Check, ...]) -> str:
    """Write one line for each check, and the next step below it."""
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.health.value:<4}  {check.subject}: {check.detail}")
        if check.next_step:
            lines.append(f"      next: {check.next_step}")
    failed = sum(check.health is Health.FAIL for check in checks)
    warned = sum(check.health is Health.WARN for check in checks)
    lines.append(f"{len(checks)} checks, {failed} failed, {warned} with a warning")
    return "\n".join(lines) + "\n"
