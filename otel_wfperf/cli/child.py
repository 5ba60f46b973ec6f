"""The program that ``wfperf run`` watches: its environment, its signals, its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from otel_wfperf.cli.command import UsageError

BOOTSTRAP: Final = Path(__file__).with_name("bootstrap")
LOOPBACK: Final = ("127.0.0.1", "localhost")
FORWARDED: Final = (signal.SIGINT, signal.SIGTERM)
# Source: Python's command line documentation; -c is followed by the program itself, which is no name.
PYTHON_OPTIONS_WITH_VALUE: Final = frozenset({"-c", "-W", "-X", "--check-hash-based-pycs"})

# What would send the telemetry of one signal somewhere else, or not at all.
OVERRIDDEN: Final = tuple(
    f"OTEL_EXPORTER_OTLP_{scope}{setting}"
    for scope in ("", "TRACES_", "METRICS_", "LOGS_")
    for setting in ("ENDPOINT", "PROTOCOL", "HEADERS", "CERTIFICATE", "INSECURE", "COMPRESSION")
)


def environment(
    base: Mapping[str, str], *, endpoint: str, command: Sequence[str], automatic: bool = True
) -> dict[str, str]:
    """Build the environment of the program.

    Args:
        base: Environment of this process.
        endpoint: OTLP over HTTP (base URL).
        command: The program and its arguments.
        automatic: Record the frameworks that are known, without a change of the program.
    """
    env = {name: value for name, value in base.items() if name not in OVERRIDDEN}
    env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
    env["OTEL_WFPERF_RUN_PID"] = str(os.getpid())
    # A program that is killed loses what it has not sent: 0.5 s of telemetry instead of the SDK's 5 s.
    env.setdefault("OTEL_BSP_SCHEDULE_DELAY", "500")
    if "service.name=" not in env.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        env.setdefault("OTEL_SERVICE_NAME", service_name(command))
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join([*filter(None, [env.get(name)]), *LOOPBACK])
    if automatic:
        env["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *filter(None, [env.get("PYTHONPATH")])])
    return env


def service_name(command: Sequence[str]) -> str:
    """Name a program after its script or module: ``python -m team.main`` is ``team.main``."""
    program, *arguments = command
    if not Path(program).name.startswith(("python", "pypy")):
        return Path(program).stem
    words = iter(arguments)
    for word in words:
        if word == "-m":
            return next(words, program)
        if word in PYTHON_OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return Path(word).stem
    return Path(program).stem


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended.

    Attributes:
        code: Its exit status; -n when signal n ended it.
    """

    code: int

    @property
    def status(self) -> int:
        """What a shell would report. Source: POSIX shells report 128 + the signal's number."""
        return self.code if self.code >= 0 else 128 - self.code

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it."""
        return self.code < 0

    def __str__(self) -> str:
        """Say it in words."""
        return f"killed by signal {-self.code}" if self.was_killed else f"exited with status {self.code}"


def run(command: Sequence[str], env: Mapping[str, str], *, output_to_stderr: bool = False) -> Ended:
    """Run a program to its end and say how it ended.

    Args:
        command: The program and its arguments.
        env: Its environment.
        output_to_stderr: Send its standard output to standard error, to keep standard output for a report.
    """
    sys.stdout.flush()
    with _Forwarding() as forwarding:
        try:
            process = subprocess.Popen(command, env=env, stdout=sys.stderr.fileno() if output_to_stderr else None)  # noqa: S603 - running it is what the user asked for
        except OSError as error:
            raise UsageError(f"cannot run {command[0]}: {error.strerror}", hint=_next_step(command)) from error
        forwarding.to(process)
        return Ended(process.wait())


def _next_step(command: Sequence[str]) -> str:
    if command[0].endswith(".py"):
        return f"a Python program is started by Python: wfperf run -- python {' '.join(command)}"
    return "check the name and PATH; the program follows -- as in: wfperf run -- python app.py"


class _Forwarding:
    """Passes signals on to a program instead of ending before it does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in FORWARDED}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to(self, process: subprocess.Popen[bytes]) -> None:
        """Name the program; it gets what came before it was there."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _handle(self, number: int, _frame: object) -> None:
        # Ctrl-C goes to every process of the terminal's foreground group: the program has it already.
        if number == signal.SIGINT and _is_in_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _is_in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
