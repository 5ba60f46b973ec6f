from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_wfperf.sidecar.alerting.state_file import Kept, load, save
from tests.alerts.readings import firing
from tests.alerts.test_documents import SILENCE

KEPT = Kept(alerts=(firing(),), silences=(SILENCE,), told={"hook": {firing().fingerprint: 7}})


def test_what_is_saved_is_loaded_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    assert load(path) == Kept()
    save(path, KEPT)

    assert load(path) == KEPT
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"alerts": 1}', '{"alerts": [], "silences": [], "told": 1}']
)
def test_a_damaged_file_is_put_aside(content: str, tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    path.write_text(content)

    assert load(path) == Kept()
    assert path.with_name("alerts.json.damaged").read_text() == content


def test_an_entry_of_another_version_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "alerts.json"
    save(path, KEPT)
    document = json.loads(path.read_text())
    document["alerts"].append({**document["alerts"][0], "mood": "bad"})
    path.write_text(json.dumps(document))

    assert load(path) == KEPT
    assert "an entry of the state file cannot be read" in caplog.text
