"""The examples of deploy/ hold configurations that load, and units that their programs take."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from otel_wfperf.config import load

DEPLOY = Path(__file__).parent.parent / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def objects(manifest: Path) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(manifest.read_text(encoding="utf-8"))}


def containers(manifest: Path) -> list[dict[str, Any]]:
    found = objects(manifest)
    pod = (found.get("Deployment") or found["DaemonSet"])["spec"]["template"]["spec"]
    return [each for each in [*pod.get("initContainers", []), *pod["containers"]] if each["name"] == "otel-wfperf"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_configuration_of_a_manifest_loads(manifest: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    text = objects(manifest)["ConfigMap"]["data"]["wfperf.yaml"].replace("/etc/otel-wfperf-secret/token", str(token))
    file = tmp_path / "wfperf.yaml"
    file.write_text(text)

    config = load(file, {}).sidecar

    assert config.data_dir == Path("/data")
    assert [exporter.name for exporter in config.exporters] == ["collector"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_the_container_of_a_manifest_is_the_command_without_privileges(manifest: Path) -> None:
    (container,) = containers(manifest)

    assert container["args"] == ["sidecar", "--config", "/etc/otel-wfperf/wfperf.yaml"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    mounted = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert [path for path, read_only in mounted.items() if not read_only] == ["/data"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With the command of this environment instead of that in /opt."""
    text = (DEPLOY / "systemd" / "otel-wfperf.service").read_text(encoding="utf-8")
    unit = tmp_path / "otel-wfperf.service"
    unit.write_text(text.replace("/opt/otel-wfperf/bin/wfperf", str(Path(sys.executable).with_name("wfperf"))))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], check=False, capture_output=True, text=True
    )

    said = [line for line in checked.stderr.splitlines() if "otel-wfperf" in line]
    assert (checked.returncode, said) == (0, [])
