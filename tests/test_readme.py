import re
import subprocess
import sys
from pathlib import Path

import pytest

import otel_wfperf
from scripts.readme import README, filled

GUIDE = README.parent / "docs" / "api.md"
PYTHON = [
    example
    for page in (README, GUIDE)
    for example in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
]


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
    # What could not be recorded is said there, and mistakes in the use of the interface are.
    assert "otel-wfperf:" not in result.stderr


@pytest.mark.parametrize("page", [README, GUIDE], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_guide_names_all_that_records() -> None:
    guide = GUIDE.read_text(encoding="utf-8")

    for name in otel_wfperf.__all__:
        if name not in {"uninstrument", "Recording"}:
            assert name in guide, name
