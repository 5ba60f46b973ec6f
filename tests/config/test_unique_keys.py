from pathlib import Path

import pytest

from otel_wfperf.config import load
from otel_wfperf.errors import ConfigError


def test_a_key_that_is_there_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "wfperf.yaml"
    file.write_text("sidecar:\n  annotate: true\n  window: 3\n  annotate: false\n", encoding="utf-8")

    with pytest.raises(ConfigError, match="at line 4, column 3: the key annotate is there already at line 2"):
        load(file, {})
