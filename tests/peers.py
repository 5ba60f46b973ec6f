"""Real components for the tests: where they are, and how to run one for the length of a test.

`make peers` obtains them and writes `peers.json`, which is read here; a component that is missing there is looked for
on PATH. Each starter runs the real process on free loopback ports with its data in a temporary folder, waits until it
answers, and ends it. When it does not start, or the test fails, the end of its log is a note on the exception.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tests.processes import RunningProcess, answers, free_ports, listens, running_process, temporary_folder

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIG_FOLDER = REPOSITORY / "collector-config"

# Name of each peer, and the commands it may be found under on PATH.
PEER_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "jaeger": ("jaeger",),
    "otelcol": ("otelcol-wfperf",),
    "postgresql": ("postgres",),
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "redis": ("redis-server",),
    "rotel": ("rotel-agent",),
    "telemetrygen": ("telemetrygen",),
}


def peer_path(name: str) -> Path | None:
    """Return the executable of a peer, or None when it is missing."""
    recorded = _record(name).get("path")
    candidates = [recorded, *(shutil.which(command) for command in PEER_COMMANDS[name])]
    return next((Path(path) for path in candidates if path and os.access(path, os.X_OK)), None)


def missing_reason(name: str) -> str:
    """Say why a peer is missing and what to do about it."""
    record = _record(name)
    if not record:
        return "not obtained yet; run `make peers`"
    return str(record.get("reason") or f"{record.get('path')} is gone; run `make peers`")


def _record(name: str) -> dict[str, Any]:
    if name not in PEER_COMMANDS:
        near = get_close_matches(name, PEER_COMMANDS, n=1)
        raise ValueError(f"unknown peer: {name} (did you mean {near[0] if near else ', '.join(PEER_COMMANDS)}?)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    index = cache / "otel-wfperf" / "peers" / "peers.json"
    if not index.is_file():
        return {}
    record: dict[str, Any] = json.loads(index.read_text(encoding="utf-8")).get(name, {})
    return record


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJaeger(RunningProcess):
    """`query_url` serves `/api/...`; the OTLP endpoints are `host:port` for gRPC and a base URL for HTTP."""

    query_url: str
    otlp_grpc: str
    otlp_http: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCollector(RunningProcess):
    """`output` gets one OTLP JSON document a line, unless the collector forwards elsewhere."""

    otlp_grpc: str
    otlp_http: str
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningRotel(RunningProcess):
    """`log` has a JSON line for each request, which says what it held, for example `"spans":1`."""

    otlp_grpc: str
    otlp_http: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer(RunningProcess):
    """A server with one address (Prometheus, Alertmanager, Redis, PostgreSQL) in the form its clients take."""

    url: str
    host: str
    port: int


@contextmanager
def running_jaeger() -> Iterator[RunningJaeger]:
    """Run Jaeger v2 with traces in memory (`collector-config/jaeger-memory.yaml`)."""
    query, query_grpc, health, grpc, http = free_ports(5)
    environment = {
        "JAEGER_QUERY_HTTP_PORT": str(query),
        "JAEGER_QUERY_GRPC_PORT": str(query_grpc),
        "JAEGER_HEALTH_PORT": str(health),
        "JAEGER_OTLP_GRPC_PORT": str(grpc),
        "JAEGER_OTLP_HTTP_PORT": str(http),
    }
    query_url = f"http://127.0.0.1:{query}"
    command: list[str | Path] = [_executable("jaeger"), "--config", CONFIG_FOLDER / "jaeger-memory.yaml"]

    def ready() -> bool:
        return listens(grpc) and listens(http) and answers(f"{query_url}/api/services")

    with temporary_folder() as folder, running_process(command, folder, ready=ready, environment=environment) as peer:
        yield RunningJaeger(
            pid=peer.pid,
            log=peer.log,
            query_url=query_url,
            otlp_grpc=f"127.0.0.1:{grpc}",
            otlp_http=f"http://127.0.0.1:{http}",
        )


@contextmanager
def running_collector(*, forward_to: str | None = None) -> Iterator[RunningCollector]:
    """Run the OpenTelemetry Collector (`collector-config/collector-test.yaml`).

    Args:
        forward_to: Send traces there instead of to the file: `http://host:port` for OTLP/HTTP, `host:port` for gRPC.
    """
    grpc, http, zpages = free_ports(3)
    with temporary_folder() as folder:
        output = folder / "received.jsonl"
        environment = {
            "OTELCOL_OTLP_GRPC_PORT": str(grpc),
            "OTELCOL_OTLP_HTTP_PORT": str(http),
            "OTELCOL_ZPAGES_PORT": str(zpages),
            "OTELCOL_FILE": str(output),
        }
        command: list[str | Path] = [_executable("otelcol"), "--config", CONFIG_FOLDER / "collector-test.yaml"]
        if forward_to is not None:
            override = folder / "forward.yaml"
            override.write_text(json.dumps(_forwarding_collector(forward_to)), encoding="utf-8")
            command += ["--config", override]

        def ready() -> bool:
            return listens(grpc) and listens(http)

        with running_process(command, folder, ready=ready, environment=environment) as peer:
            yield RunningCollector(
                pid=peer.pid,
                log=peer.log,
                otlp_grpc=f"127.0.0.1:{grpc}",
                otlp_http=f"http://127.0.0.1:{http}",
                output=output,
            )


def _forwarding_collector(endpoint: str) -> dict[str, Any]:
    exporter = "otlphttp" if endpoint.startswith("http") else "otlp"
    settings = {"endpoint": endpoint, "tls": {"insecure": True}, "retry_on_failure": {"initial_interval": "100ms"}}
    return {"exporters": {exporter: settings}, "service": {"pipelines": {"traces": {"exporters": [exporter]}}}}


@contextmanager
def running_rotel(*, forward_to: str | None = None) -> Iterator[RunningRotel]:
    """Run the rotel agent: an OTLP receiver that shares no code with the Collector.

    Args:
        forward_to: Send on to this OTLP endpoint: `http://host:port` for OTLP/HTTP, `host:port` for gRPC. Without it
            what arrives is logged and thrown away.
    """
    grpc, http = free_ports(2)
    with temporary_folder() as folder:
        command: list[str | Path] = [
            *(
                _executable("rotel"),
                "--log-format",
                "json",
                "start",
                "--debug-log",
                "traces",
                "--batch-timeout",
                "50ms",
            ),
            *("--pid-file", folder / "rotel.pid", "--log-file", folder / "rotel.log"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
            *_rotel_exporter(forward_to),
        ]

        def ready() -> bool:
            return listens(grpc) and listens(http)

        with running_process(command, folder, ready=ready) as peer:
            yield RunningRotel(
                pid=peer.pid, log=peer.log, otlp_grpc=f"127.0.0.1:{grpc}", otlp_http=f"http://127.0.0.1:{http}"
            )


def _rotel_exporter(forward_to: str | None) -> list[str]:
    if forward_to is None:
        return ["--exporter", "blackhole"]
    over_http = forward_to.startswith("http")
    return [
        *("--exporter", "otlp", "--otlp-exporter-protocol", "http" if over_http else "grpc"),
        *("--otlp-exporter-endpoint", forward_to if over_http else f"http://{forward_to}"),
        *("--otlp-exporter-retry-initial-backoff", "100ms"),
    ]


@contextmanager
def running_prometheus(config: str, *arguments: str) -> Iterator[RunningServer]:
    """Run Prometheus with a configuration given as YAML text and, if wanted, more command line arguments."""
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        file = folder / "prometheus.yml"
        file.write_text(config, encoding="utf-8")
        command: list[str | Path] = [
            _executable("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--web.enable-lifecycle",
            *arguments,
        ]
        url = f"http://127.0.0.1:{port}"
        with running_process(command, folder, ready=lambda: answers(f"{url}/-/ready")) as peer:
            yield RunningServer(pid=peer.pid, log=peer.log, url=url, host="127.0.0.1", port=port)


@contextmanager
def running_alertmanager(config: str) -> Iterator[RunningServer]:
    """Run Alertmanager, not clustered, with a configuration given as YAML text."""
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        file = folder / "alertmanager.yml"
        file.write_text(config, encoding="utf-8")
        command: list[str | Path] = [
            _executable("alertmanager"),
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        url = f"http://127.0.0.1:{port}"
        with running_process(command, folder, ready=lambda: answers(f"{url}/-/ready")) as peer:
            yield RunningServer(pid=peer.pid, log=peer.log, url=url, host="127.0.0.1", port=port)


@contextmanager
def running_redis() -> Iterator[RunningServer]:
    """Run Redis that persists nothing; `url` is what `redis.from_url` takes."""
    (port,) = free_ports(1)
    command: list[str | Path] = [
        *(_executable("redis"), "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no"),
    ]
    with temporary_folder() as folder, running_process(command, folder, ready=lambda: _pongs(port)) as peer:
        url = f"redis://127.0.0.1:{port}/0"
        yield RunningServer(pid=peer.pid, log=peer.log, url=url, host="127.0.0.1", port=port)


@contextmanager
def running_postgres() -> Iterator[RunningServer]:
    """Run PostgreSQL with an empty database `postgres`, user `wfperf` and no password; `url` is a libpq URL."""
    postgres = _executable("postgresql")
    initdb, pg_isready = _beside(postgres, "initdb"), _beside(postgres, "pg_isready")
    (port,) = free_ports(1)
    user = _unprivileged_user()
    with temporary_folder(owner=user) as folder:
        data = folder / "data"
        create: list[str | Path] = [
            *(initdb, "--pgdata", data, "--username", "wfperf", "--auth", "trust"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ]
        made = subprocess.run(create, cwd=folder, user=user, capture_output=True, check=False)
        assert made.returncode == 0, (made.stdout + made.stderr).decode(errors="replace")
        command: list[str | Path] = [
            *(postgres, "-D", data, "-h", "127.0.0.1", "-p", str(port)),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
        ]
        check: list[str | Path] = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port)]

        def ready() -> bool:
            return subprocess.run(check, cwd=folder, check=False).returncode == 0

        # SIGINT is its "fast" shutdown; SIGTERM would wait for clients to leave.
        with running_process(command, folder, ready=ready, user=user, stop_signal=signal.SIGINT) as peer:
            url = f"postgresql://wfperf@127.0.0.1:{port}/postgres"
            yield RunningServer(pid=peer.pid, log=peer.log, url=url, host="127.0.0.1", port=port)


def _unprivileged_user() -> str | None:
    """Name the user for PostgreSQL, which refuses to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    return next(user.pw_name for name in ("postgres", "nobody") for user in pwd.getpwall() if user.pw_name == name)


def _beside(executable: Path, name: str) -> Path:
    """Find a program of the same installation: beside the file, beside what it links to, or on PATH."""
    folders = (executable.parent, executable.resolve().parent)
    found = next((folder / name for folder in folders if (folder / name).exists()), shutil.which(name))
    assert found is not None, f"{name} is not beside {executable}"
    return Path(found)


def _executable(name: str) -> Path:
    path = peer_path(name)
    assert path is not None, f"peer {name}: {missing_reason(name)}"
    return path


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
