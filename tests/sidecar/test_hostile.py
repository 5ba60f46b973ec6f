import urllib.request
from pathlib import Path

import pytest

from tests.peers import peer_path
from tests.processes import eventually
from tests.sidecar import hostile
from tests.sidecar.running import fetch_json, sidecar_process


def sent(http: str, count: int) -> list[str]:
    trace_ids = []
    for trace_id, body, _ in hostile.executions(count):
        headers = {"content-type": "application/x-protobuf"}
        request = urllib.request.Request(f"{http}/v1/traces", data=body, headers=headers)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
        trace_ids.append(trace_id)
    return trace_ids


@pytest.mark.peer("chromium")
def test_a_real_browser_takes_hostile_names_for_text(tmp_path: Path) -> None:
    browser = peer_path("chromium")
    assert browser is not None
    with sidecar_process(tmp_path / "sidecar") as sidecar:
        trace_ids = sent(sidecar.endpoints.http, 50)
        listed = f"{sidecar.endpoints.page}/api/v1/executions"
        eventually(lambda: len(fetch_json(listed)["executions"]) == len(trace_ids))
        for path in ("/", f"/executions/{trace_ids[0]}"):
            harm, text = hostile.visit(browser, sidecar.endpoints.page + path, tmp_path / "profile")
            assert harm == []
            assert "<script>" in text
            assert "-end" in text


@pytest.mark.peer("chromium")
def test_harm_would_be_noticed(tmp_path: Path) -> None:
    browser = peer_path("chromium")
    assert browser is not None
    page = tmp_path / "page.html"
    page.write_text(hostile.control_page(), encoding="utf-8")

    harm, _ = hostile.visit(browser, page.as_uri(), tmp_path / "profile")

    assert f"html {hostile.MARK}=1" in harm
    assert "<script>" in harm
    assert any("Content Security Policy" in each for each in harm)
