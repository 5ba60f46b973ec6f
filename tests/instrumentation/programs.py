"""Small programs in processes of their own: OpenTelemetry takes one provider per process."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run_program(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python source with nothing of OpenTelemetry in its environment but what is given."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LANGSMITH_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        env={**clean, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def output_of(source: str, **environment: str) -> str:
    """Run a program that must succeed without a word on standard error."""
    done = run_program(source, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@contextmanager
def running_program(source: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run Python source, as :func:`run_program` does, which ends when its standard input does."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "LANGSMITH_"))}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
        env={**clean, "PYTHONPATH": str(REPOSITORY), **environment},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (0, "")
        finally:
            process.kill()
