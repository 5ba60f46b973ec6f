import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.readme import README, filled

PYTHON = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_generated_parts_are_current() -> None:
    readme = README.read_text(encoding="utf-8")

    assert filled(readme) == readme, "run: python -m scripts.readme"


@pytest.mark.parametrize("example", PYTHON)
def test_examples_run_where_nobody_listens(example: str, tmp_path: Path) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SERVICE_NAME": "readme"}

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )

    assert result.returncode == 0, result.stderr


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
