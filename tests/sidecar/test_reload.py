"""SIGHUP: the configuration is read again; a wrong one changes nothing but a metric and a message."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_wfperf.config import SidecarConfig
from otel_wfperf.sidecar.reloads import Reloads, changed_keys
from tests.processes import answers, eventually, fetch, free_ports, listens, running_process
from tests.sidecar.running import ENVIRONMENT

COMMAND = "import sys; from otel_wfperf.cli import main; sys.exit(main())"


class Running:
    """A sidecar of the command line and its file."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        self.file = folder / "wfperf.yaml"
        self.grpc, self.http, self.page = ports
        self.pid = 0
        self.log = folder / "process.log"
        listen = {"grpc": f"127.0.0.1:{self.grpc}", "http": f"127.0.0.1:{self.http}", "page": f"127.0.0.1:{self.page}"}
        self.settings: dict[str, Any] = {"listen": listen, "data_dir": str(folder / "data")}

    def write(self, **settings: Any) -> None:
        self.file.write_text(yaml.safe_dump({"sidecar": {**self.settings, **settings}}))

    def hang_up(self) -> None:
        subprocess.run(["kill", "-HUP", str(self.pid)], check=True)

    def metric(self, name: str) -> float:
        lines = fetch(f"http://127.0.0.1:{self.page}/metrics").decode().splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def said(self, text: str) -> bool:
        return text in self.log.read_text(encoding="utf-8")


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    sidecar = Running(folder, free_ports(3))
    sidecar.write()
    ready = f"http://127.0.0.1:{sidecar.page}/readyz"
    command: list[str | Path] = [sys.executable, "-c", COMMAND, "sidecar", "--config", sidecar.file]
    with running_process(command, folder, ready=lambda: answers(ready), environment=ENVIRONMENT) as process:
        sidecar.pid = process.pid
        yield sidecar


def test_a_changed_file_is_in_effect_after_a_hang_up(tmp_path: Path) -> None:
    with running(tmp_path) as sidecar:
        (page,) = free_ports(1)
        old, sidecar.page = sidecar.page, page
        sidecar.settings["listen"]["page"] = f"127.0.0.1:{page}"
        sidecar.write(retention={"max_age": "3d"})
        sidecar.hang_up()

        eventually(lambda: answers(f"http://127.0.0.1:{page}/readyz"))
        assert not listens(old)
        eventually(lambda: sidecar.said("configuration reloaded: sidecar.listen.page, sidecar.retention.max_age"))
        assert sidecar.metric("wfperf_config_last_reload_successful") == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"windw": 3}, "sidecar.windw: unknown key (did you mean window?)"),
        ({"exporters": [{"name": "b", "endpoint": "b:1"}]}, "sidecar.exporters.0.endpoint: 'b:1': write http://"),
        ({"data_dir": "/tmp/elsewhere"}, "sidecar.data_dir: '/tmp/elsewhere': cannot change while it runs"),
    ],
)
def test_a_wrong_file_changes_nothing_and_the_error_names_the_key(
    settings: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with running(tmp_path) as sidecar:
        sidecar.write(**settings)
        sidecar.hang_up()

        eventually(lambda: sidecar.said(f"configuration not reloaded, the old one stays: {said}"))
        eventually(lambda: sidecar.metric("wfperf_config_last_reload_successful") == 0)
        sidecar.write()
        sidecar.hang_up()
        eventually(lambda: sidecar.metric("wfperf_config_last_reload_successful") == 1)


def test_a_port_that_is_taken_leaves_the_old_configuration_at_work(tmp_path: Path) -> None:
    with running(tmp_path) as sidecar:
        taken = f"127.0.0.1:{sidecar.http}"
        sidecar.write(listen={**sidecar.settings["listen"], "page": taken})
        sidecar.hang_up()

        eventually(lambda: sidecar.said("configuration not reloaded, the old one stays: sidecar.listen"))
        eventually(lambda: answers(f"http://127.0.0.1:{sidecar.page}/readyz"))
        assert sidecar.metric("wfperf_config_last_reload_successful") == 0


def test_names_what_differs_between_two_configurations(tmp_path: Path) -> None:
    old = SidecarConfig(data_dir=tmp_path)
    new = SidecarConfig.model_validate(
        {"data_dir": tmp_path, "log": {"max_age": "1h"}, "exporters": [{"name": "b", "endpoint": "http://b:1"}]}
    )

    assert changed_keys(old, new) == ("sidecar.log.max_age", "sidecar.exporters")
    assert changed_keys(old, old) == ()


def test_a_failed_reload_keeps_the_moment_of_the_last_good_one() -> None:
    now_s = iter([100.0, 300.0])
    reloads = Reloads(clock_s=lambda: next(now_s))

    reloads.record(succeeded=False)
    assert (reloads.succeeded, reloads.at_s) == (False, 100.0)
    reloads.record(succeeded=True)
    assert (reloads.succeeded, reloads.at_s) == (True, 300.0)
