import json
import os
from pathlib import Path

import pytest

from scripts.peers.__main__ import main
from scripts.peers.debian import services_kept_from_starting
from scripts.peers.golang import GoBuild, GoPeer
from scripts.peers.peer import Found, UnobtainableError
from scripts.peers.session import CommandError, Session, last_line
from scripts.peers.table import Record, found_record, read_records, table, write_records
from tests.processes import eventually


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(folder=tmp_path / "peers").for_peer("tool", limit_s=60)


@pytest.fixture
def go_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `go` that only tells its settings."""
    go = tmp_path / "go"
    go.write_text("""#!/bin/sh\necho '{"GOPROXY": "https://proxy.example,direct", "GOFLAGS": ""}'\n""")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def build_second_version_only(build: GoBuild) -> None:
    assert build.environment["GOPROXY"] == "https://proxy.example"
    if build.version == "v2":
        build.run("sh", "-c", "echo downloading; echo 'go: tool@v2: 403 Forbidden'; echo '\tnot served'; exit 1")
    build.run("mkdir", "made")
    build.run("cp", "/bin/sh", build.target)


def never_build(build: GoBuild) -> None:
    build.run("false")


@pytest.mark.usefixtures("go_on_path")
def test_falls_back_to_an_older_version_and_finds_it_next_time(session: Session) -> None:
    peer = GoPeer(name="tool", versions=("v2", "v1"), limit_s=60, build=build_second_version_only)
    assert peer.find(session.folder) is None

    expected = Found(version="v1", path=session.folder / "bin" / "tool-v1")
    assert peer.obtain(session) == expected
    assert peer.find(session.folder) == expected


@pytest.mark.usefixtures("go_on_path")
def test_names_each_version_that_cannot_be_had(session: Session) -> None:
    peer = GoPeer(name="tool", versions=("v2", "v1"), limit_s=60, build=never_build)

    with pytest.raises(UnobtainableError, match="v2: `false` ended with status 1; v1: `false` ended with status 1"):
        peer.obtain(session)


@pytest.mark.usefixtures("go_on_path")
def test_builds_anew_when_the_recipe_has_changed(session: Session, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("one")
    peer = GoPeer(name="tool", versions=("v1",), limit_s=60, build=build_second_version_only, recipe=recipe)
    peer.obtain(session)
    assert peer.find(session.folder)

    recipe.write_text("two")
    assert peer.find(session.folder) is None


def test_a_failing_tool_is_reported_by_its_last_line_with_what_that_continues(session: Session) -> None:
    with pytest.raises(CommandError, match=r"^go: tool@v2: 403 Forbidden not served$"):
        session.run("sh", "-c", "echo downloading; echo 'go: tool@v2: 403 Forbidden'; echo '\tnot served'; exit 1")


def test_a_missing_tool_is_reported_by_name(session: Session) -> None:
    with pytest.raises(CommandError, match="`no-such-tool` cannot be run: No such file or directory"):
        session.run("no-such-tool")


def test_a_tool_past_the_limit_is_ended_with_its_children(session: Session) -> None:
    hasty = session.for_peer("tool", limit_s=0.5)
    with pytest.raises(CommandError, match="time limit: `sh` was ended after"):
        hasty.run("sh", "-c", "sleep 600 & echo $!; wait")

    child = int(hasty.log.read_text().split()[-1])
    eventually(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_last_line_passes_over_blank_lines() -> None:
    assert last_line("first\nsecond\n\n") == "second"
    assert last_line("") == ""


@pytest.mark.parametrize("before", [None, "#!/bin/sh\nexit 0\n"])
def test_service_policy_is_put_back(tmp_path: Path, before: str | None) -> None:
    policy = tmp_path / "policy-rc.d"
    if before is not None:
        policy.write_text(before)

    with services_kept_from_starting(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
        assert os.access(policy, os.X_OK)

    assert (policy.read_text() if policy.exists() else None) == before


def test_records_survive_and_the_table_shows_path_or_reason(tmp_path: Path) -> None:
    records = {
        "jaeger": Record(reason="no `go` on PATH"),
        "redis": found_record(Found(version="7.0.15", path=Path("/usr/bin/redis-server"))),
    }
    write_records(tmp_path, records)

    assert read_records(tmp_path) == records
    assert json.loads((tmp_path / "peers.json").read_text())["redis"]["path"] == "/usr/bin/redis-server"
    assert table(records).splitlines() == [
        "component  version  path, or why it is missing",
        "jaeger     -        missing: no `go` on PATH",
        "redis      7.0.15   /usr/bin/redis-server",
    ]


def test_list_obtains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert main(["--list", "--only", "jaeger", "rotel"]) == 0

    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["component", "rotel", "jaeger"]
    assert printed.err == ""
    assert list(tmp_path.iterdir()) == []
