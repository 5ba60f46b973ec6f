import os
import signal
import subprocess
import sys

import pytest

from otel_wfperf.cli import child
from otel_wfperf.cli.command import UsageError
from tests.cli.conftest import REPOSITORY

ENDPOINT = "http://127.0.0.1:4318"


def environment(**base: str) -> dict[str, str]:
    return child.environment(base, endpoint=ENDPOINT, command=["python", "app.py"])


def test_sends_telemetry_here_whatever_was_set() -> None:
    env = environment(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://elsewhere:4317",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://elsewhere/v1/traces",
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=secret",
        HOME="/home/user",
    )

    assert env["OTEL_EXPORTER_OTLP_ENDPOINT"] == ENDPOINT
    assert env["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/protobuf"
    assert env["HOME"] == "/home/user"
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" not in env
    assert "OTEL_EXPORTER_OTLP_HEADERS" not in env


def test_no_proxy_stands_between() -> None:
    assert environment(NO_PROXY="intranet")["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    assert environment()["no_proxy"] == "127.0.0.1,localhost"


def test_recording_comes_before_the_users_path_and_can_be_left_out() -> None:
    assert environment(PYTHONPATH="/lib")["PYTHONPATH"] == f"{child.BOOTSTRAP}{os.pathsep}/lib"
    manual = child.environment({"PYTHONPATH": "/lib"}, endpoint=ENDPOINT, command=["app"], automatic=False)
    assert manual["PYTHONPATH"] == "/lib"


def test_the_users_service_name_wins() -> None:
    assert environment()["OTEL_SERVICE_NAME"] == "app"
    assert environment(OTEL_SERVICE_NAME="team")["OTEL_SERVICE_NAME"] == "team"
    assert "OTEL_SERVICE_NAME" not in environment(OTEL_RESOURCE_ATTRIBUTES="service.name=team")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "src/app.py", "x"], "app"),
        (["/usr/bin/python3.12", "-u", "app.py"], "app"),
        (["python", "-X", "dev", "-m", "team.main", "x"], "team.main"),
        (["python", "-c", "print()"], "python"),
        (["python"], "python"),
        (["/opt/bin/crew"], "crew"),
    ],
)
def test_names_the_program(command: list[str], name: str) -> None:
    assert child.service_name(command) == name


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_keeps_the_exit_status(status: int) -> None:
    assert child.run([sys.executable, "-c", f"raise SystemExit({status})"], os.environ).status == status


def test_a_signal_that_ends_the_program_becomes_its_status() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert child.run([sys.executable, "-c", program], os.environ) == child.Ended(-signal.SIGKILL)


def test_a_program_that_does_not_exist_is_named() -> None:
    with pytest.raises(UsageError, match="cannot run no-such-program: No such file") as caught:
        child.run(["no-such-program"], os.environ)
    assert "wfperf run -- python app.py" in caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_passes_signals_on(number: signal.Signals) -> None:
    # The program signals its parent, which must pass that on instead of ending.
    program = f"""
import os, signal, sys
signal.signal({int(number)}, lambda *_: sys.exit(42))
os.kill(os.getppid(), {int(number)})
signal.pause()
"""
    parent = f"""
import os, sys
from otel_wfperf.cli import child
sys.exit(child.run([sys.executable, "-c", {program!r}], os.environ).status)
"""
    result = subprocess.run(
        [sys.executable, "-c", parent], cwd=REPOSITORY, stdin=subprocess.DEVNULL, timeout=60, check=False
    )
    assert result.returncode == 42


def test_restores_the_handlers() -> None:
    before = [signal.getsignal(number) for number in child.FORWARDED]
    child.run([sys.executable, "-c", "pass"], os.environ)
    assert [signal.getsignal(number) for number in child.FORWARDED] == before
