"""A wheel with compiled modules does what the source does."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.otlp.soup import Chance, request

# Reads requests (hex, a JSON list) and prints what became of each of them.
PROGRAM = """
import json, sys
from otel_wfperf.assembly import assemble
from otel_wfperf.conventions import normalize
from otel_wfperf.errors import DecodeError
from otel_wfperf.otlp import protobuf

outcomes = []
for data in json.load(sys.stdin):
    try:
        spans = protobuf.decode_traces(bytes.fromhex(data)).spans
    except DecodeError:
        outcomes.append("refused")
    else:
        operations = [each for each in map(normalize, spans) if each is not None]
        # The order within sets differs from process to process.
        outcomes.append(f"{operations} {[len(each.operations) for each in assemble(operations)]}")
json.dump({"compiled": protobuf.IS_COMPILED, "file": protobuf.__file__, "outcomes": outcomes}, sys.stdout)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build and unpack the wheel."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no C compiler: {compiler}")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPOSITORY],
        env={**os.environ, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "1", "WFPERF_OPTIMISATION": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "No matching distribution found" in built.stderr or "Could not fetch URL" in built.stderr:
        pytest.skip(f"what the build needs cannot be had: {built.stderr.strip().splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    [wheel] = folder.glob("*.whl")
    assert "-none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def outcomes(path: Path, requests: list[bytes]) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([data.hex() for data in requests]),
        env={**os.environ, "PYTHONPATH": str(path), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(ran.stdout)
    return found


def test_compiled_modules_decode_and_understand_as_the_source_does(site: Path) -> None:
    requests = [request(Chance(seed)) for seed in range(300)]

    compiled, interpreted = outcomes(site, requests), outcomes(REPOSITORY, requests)

    assert (compiled["compiled"], interpreted["compiled"]) == (True, False)
    assert str(compiled["file"]).startswith(str(site))
    assert compiled["outcomes"] == interpreted["outcomes"]
