"""``wfperf sidecar``: receive OTLP, analyse continuously, show the findings."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from otel_wfperf.cli.command import Parser
from otel_wfperf.config import SidecarConfig, load, split_address
from otel_wfperf.errors import MissingExtraError

if TYPE_CHECKING:
    from otel_wfperf.sidecar.service import Endpoints


class SidecarCommand:
    """Runs until SIGINT or SIGTERM, then drains."""

    name: ClassVar[str] = "sidecar"
    summary: ClassVar[str] = "receive OpenTelemetry data, analyse it continuously and show the findings"
    details: ClassVar[str] = """\
Applications that send OTLP to its ports need no change. Options win over OTEL_WFPERF_* variables, which win over the
file; wfperf config print shows the result. SIGHUP reads them again; when something is wrong, what was in effect stays.
It ends on SIGINT or SIGTERM, after what it has received is analysed.

examples:
  wfperf sidecar                                         OTLP on 127.0.0.1:4317 and :4318, page on http://127.0.0.1:4319
  wfperf sidecar --config wfperf.yaml
  wfperf sidecar --grpc 127.0.0.1:5317 --page 127.0.0.1:0  0 takes any free port

Addresses are host:port; others than those of this machine need sidecar.security in the file."""

    def add_arguments(self, parser: Parser) -> None:
        """See Command."""
        parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, such as wfperf.yaml")
        for name, meaning in {
            "grpc": "OTLP over gRPC (default 127.0.0.1:4317)",
            "http": "OTLP over HTTP (default 127.0.0.1:4318)",
            "page": "page, API, /metrics and health (default 127.0.0.1:4319)",
        }.items():
            parser.add_argument(f"--{name}", type=address, metavar="HOST:PORT", help=meaning)
        parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder of the log and the results")
        parser.add_argument(
            "--log-level",
            choices=("debug", "info", "warning", "error"),
            help="least severe event on standard error (default info)",
        )
        parser.add_argument(
            "--log-format",
            choices=("text", "json"),
            help="json: one object a line, for log shippers (default text)",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """See Command."""

        def read() -> SidecarConfig:
            config = _with_options(load(arguments.config, os.environ).sidecar, arguments)
            config.refuse_exposure()
            return config

        config = read()
        try:
            from otel_wfperf.sidecar.diagnostics import write_events  # noqa: PLC0415
            from otel_wfperf.sidecar.process import run_forever  # noqa: PLC0415 - comes with the sidecar extra
        except ModuleNotFoundError as error:
            raise MissingExtraError("wfperf sidecar", "sidecar") from error
        write_events(level=config.events.level, style=config.events.style)
        run_forever(config, on_ready=_announce, reread=read)
        return 0


def address(text: str) -> str:
    """Check a ``host:port`` of the command line."""
    try:
        split_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    return text


def _with_options(config: SidecarConfig, arguments: argparse.Namespace) -> SidecarConfig:
    """Put the options over the file's values; they have been checked already."""
    listen = {name: value for name in ("grpc", "http", "page") if (value := getattr(arguments, name)) is not None}
    events = {
        key: value
        for key, value in {"level": arguments.log_level, "style": arguments.log_format}.items()
        if value is not None
    }
    changes: dict[str, Any] = {
        "listen": config.listen.model_copy(update=listen),
        "events": config.events.model_copy(update=events),
    }
    if arguments.data_dir is not None:
        changes["data_dir"] = arguments.data_dir
    return config.model_copy(update=changes)


def _announce(endpoints: Endpoints) -> None:
    sys.stderr.write(
        f"wfperf: OTLP over gRPC on {endpoints.grpc}\n"
        f"wfperf: OTLP over HTTP on {endpoints.http}\n"
        f"wfperf: findings and metrics on {endpoints.page}\n"
    )
    sys.stderr.flush()
