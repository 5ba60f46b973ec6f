"""A program, a sidecar and an Alertmanager, each a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.sidecar.service import Endpoints
from tests.peers import running_alertmanager
from tests.processes import eventually, free_ports
from tests.sidecar.alerting.notifiers.test_alertmanager import CONFIG, seen
from tests.sidecar.running import ENVIRONMENT, fetch, fetch_json, sidecar_process

PROGRAM = """
import sys
import otel_wfperf.auto
from otel_wfperf import agent, phase, workflow

with workflow("notes"), phase("draft"), agent("writer"):
    sys.stdin.readline()
"""


@contextmanager
def running_workflow(endpoints: Endpoints) -> Iterator[subprocess.Popen[str]]:
    """Run a workflow until the end of its standard input."""
    environment = {
        **ENVIRONMENT,
        "PATH": "/usr/bin:/bin",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{endpoints.grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdin=subprocess.PIPE, text=True)
    try:
        yield program
    finally:
        program.communicate(timeout=30)


def alerts(page: str, name: str) -> list[dict[str, Any]]:
    found = fetch_json(f"{page}/api/v1/alerts")["alerts"]
    return [each for each in found if each["labels"]["alertname"] == name]


@pytest.mark.peer("alertmanager")
def test_a_running_workflow_is_alerted_in_the_real_alertmanager_with_links_that_work(tmp_path: Path) -> None:
    with running_alertmanager(CONFIG) as peer:
        settings = {
            "execution_time": {"threshold": "5m", "workflows": {"no*": "1s"}, "keep_firing_for": "100ms"},
            "memory": {"enabled": False},
            "notifiers": {"alertmanagers": [{"name": "am", "url": peer.url}]},
        }
        with sidecar_process(tmp_path, alerts=settings) as sidecar:
            with running_workflow(sidecar.endpoints) as program:
                [alert] = eventually(lambda: seen(peer.url))
                assert program.poll() is None
                running = fetch(alert["generatorURL"])[0]
            eventually(lambda: not seen(peer.url))
            eventually(lambda: "running; began" not in fetch(alert["generatorURL"])[0])
            ended = fetch(alert["generatorURL"])[0]
            [shown] = alerts(sidecar.endpoints.page, "execution_time")

    assert alert["labels"] == {
        "alertname": "execution_time",
        "severity": "high",
        "subject": "workflow:notes",
        "workflow": "notes",
    }
    assert "running; began" in running
    assert "agent writer" in running
    assert "<title>" in ended
    assert (shown["state"], shown["fingerprint"]) == ("resolved", shown["fingerprint"])


def told_by_log(state: Path) -> list[str]:
    """Return what the state on disk says was told; it is written a moment after an alert fires."""
    return list(json.loads(state.read_text())["told"].get("log", ())) if state.exists() else []


def test_a_sidecar_that_was_killed_goes_on_and_tells_nobody_again(tmp_path: Path) -> None:
    [port] = free_ports(1)
    listen = {"grpc": f"127.0.0.1:{port}", "http": "127.0.0.1:0", "page": "127.0.0.1:0"}
    settings = {"execution_time": {"threshold": "1s", "keep_firing_for": "100ms"}, "memory": {"enabled": False}}
    with sidecar_process(tmp_path, alerts=settings, listen=listen) as sidecar:
        workflow = running_workflow(sidecar.endpoints)
        workflow.__enter__()
        [before] = eventually(lambda: alerts(sidecar.endpoints.page, "execution_time"))
        eventually(lambda: told_by_log(tmp_path / "alerts.json"))
        os.kill(sidecar.pid, signal.SIGKILL)
    with sidecar_process(tmp_path, alerts=settings, listen=listen) as sidecar:
        page = sidecar.endpoints.page
        [after] = alerts(page, "execution_time")
        workflow.__exit__(None, None, None)
        eventually(lambda: alerts(page, "execution_time")[0]["state"] == "resolved", limit_s=60)
        sent = eventually(lambda: messages(page))

    assert (after["state"], after["fingerprint"], after["fired_at"]) == (
        "firing",
        before["fingerprint"],
        before["fired_at"],
    )
    assert sent == ['wfperf_alert_notifications_total{notifier="log",result="sent"} 1.0'], "the end, and nothing else"
    assert "firing: execution_time" not in (tmp_path / "process.log").read_text()


def messages(page: str) -> list[str]:
    """Return the lines of the metrics that count messages."""
    return [
        line for line in fetch(f"{page}/metrics")[0].splitlines() if line.startswith("wfperf_alert_notifications_total")
    ]
