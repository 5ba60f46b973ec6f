import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from otel_wfperf.cli.child import BOOTSTRAP

ASK = "import sys; print('otel_wfperf.auto' in sys.modules)"


def run(*arguments: str, path: Sequence[object] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python as ``wfperf run`` would; nothing is sent anywhere."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHONPATH"))}
    settings = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}
    python_path = os.pathsep.join(map(str, [BOOTSTRAP, *path]))
    return subprocess.run(
        [sys.executable, *arguments],
        env=own | settings | {"PYTHONPATH": python_path} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("how", ["script", "module", "command"])
def test_records_however_the_program_is_started(how: str, tmp_path: Path) -> None:
    (tmp_path / "team.py").write_text(ASK)
    arguments = {"script": [str(tmp_path / "team.py")], "module": ["-m", "team"], "command": ["-c", ASK]}[how]
    result = run(*arguments, path=[tmp_path])

    assert (result.stdout, result.stderr, result.returncode) == ("True\n", "", 0)


def test_the_users_sitecustomize_still_runs_first(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; print('mine', 'otel_wfperf.auto' in sys.modules)")
    result = run("-c", f"import sitecustomize; {ASK}; print(sitecustomize.__file__)", path=[tmp_path])

    assert result.stdout == f"mine False\nTrue\n{tmp_path / 'sitecustomize.py'}\n"
    assert result.stderr == ""


def test_processes_that_the_program_starts_are_recorded_too() -> None:
    outer = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {ASK!r}]).returncode)"
    assert run("-c", outer).stdout == "True\n"


def test_a_sitecustomize_of_the_user_that_fails_is_shown_and_recording_goes_on(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import no_such_module")
    result = run("-c", ASK, path=[tmp_path])

    assert result.stdout == "True\n"
    assert "no_such_module" in result.stderr


@pytest.mark.parametrize(("starter", "is_told"), [(os.getpid(), True), (1, False)])
def test_a_python_without_the_package_runs_and_says_so_once(starter: int, *, is_told: bool, tmp_path: Path) -> None:
    broken = tmp_path / "otel_wfperf"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('nothing of that name here')")
    result = run("-c", "print('ran')", path=[tmp_path], OTEL_WFPERF_RUN_PID=str(starter))

    assert (result.stdout, result.returncode) == ("ran\n", 0)
    assert ("wfperf: not recorded: nothing of that name here" in result.stderr) == is_told
