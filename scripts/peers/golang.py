"""Peers built from Go modules: telemetrygen, the OpenTelemetry Collector and Jaeger.

Versions are tried in order, since a module proxy may not serve each of them. A binary's file name holds its version
(and a digest of its recipe file), so a change here or there builds anew.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.peers.peer import Found, UnobtainableError
from scripts.peers.session import CommandError, Session

COLLECTOR_RECIPE = Path(__file__).resolve().parents[2] / "collector-config" / "builder.yaml"
COLLECTOR_VERSIONS: Mapping[str, str] = {"v0.165.0": "v1.71.0", "v0.162.0": "v1.68.0", "v0.155.0": "v1.61.0"}
"""Each release of the Collector's modules, newest first, with the number its stable modules have in that release."""

TELEMETRYGEN = "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen"
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
JAEGER = "github.com/jaegertracing/jaeger"

JAEGER_VERSIONS = ("v1.76.1-0.20260720033334-798e4b0fcf22", "v1.76.0")
"""Jaeger v2 under numbers that Go accepts for a module path without /v2: the commits of v2.20.0 and v2.13.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoBuild:
    """One version being built: in an empty folder, into one file."""

    session: Session
    version: str
    folder: Path
    target: Path
    environment: Mapping[str, str]

    def run(self, *command: str | Path, cwd: Path | None = None, **environment: str) -> str:
        """Run a tool in the folder of the build, with Go's settings."""
        return self.session.run(*command, cwd=cwd or self.folder, environment={**self.environment, **environment})


@dataclass(frozen=True, slots=True, kw_only=True)
class GoPeer:
    """A program built by the Go toolchain.

    Attributes:
        versions: In order of preference.
        build: Makes `GoBuild.target`.
        recipe: A file that the build depends on besides the version.
    """

    name: str
    versions: tuple[str, ...]
    limit_s: float
    build: Callable[[GoBuild], None]
    recipe: Path | None = None

    def find(self, folder: Path) -> Found | None:
        """Look for a binary of any of the versions, best first."""
        candidates = (Found(version=version, path=self._target(folder, version)) for version in self.versions)
        return next((found for found in candidates if found.path.is_file()), None)

    def obtain(self, session: Session) -> Found:
        """Build the first version that can be had."""
        if shutil.which("go") is None:
            raise UnobtainableError("no `go` on PATH; install Go 1.25 or newer, then run this again")
        reasons = []
        for version in self.versions:
            try:
                return self._obtain(session, version)
            except CommandError as error:
                session.say(f"{version}: {error}")
                reasons.append(f"{version}: {error}")
        raise UnobtainableError("; ".join(reasons))

    def _obtain(self, session: Session, version: str) -> Found:
        target = self._target(session.folder, version)
        work = session.folder / "build" / self.name
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        made = work / "made" / self.name
        self.build(
            GoBuild(session=session, version=version, folder=work, target=made, environment=_go_environment(session))
        )
        target.parent.mkdir(exist_ok=True)
        made.replace(target)
        shutil.rmtree(work, ignore_errors=True)
        return Found(version=version, path=target)

    def _target(self, folder: Path, version: str) -> Path:
        digest = f"-{hashlib.sha256(self.recipe.read_bytes()).hexdigest()[:8]}" if self.recipe else ""
        return folder / "bin" / f"{self.name}-{version}{digest}"


def _go_environment(session: Session) -> Mapping[str, str]:
    settings = json.loads(session.run("go", "env", "-json", "GOPROXY", "GOFLAGS"))
    # `direct` would clone whole repositories where the proxy has said no: a refusal is to be quick.
    proxy = re.sub(r"[,|]direct$", "", settings["GOPROXY"])
    return {"GOPROXY": proxy, "GOFLAGS": f"{settings['GOFLAGS']} -buildvcs=false".strip(), "CGO_ENABLED": "0"}


def build_telemetrygen(build: GoBuild) -> None:
    """Install the load generator of the Go SDK."""
    build.run("go", "install", f"{TELEMETRYGEN}@{build.version}", GOBIN=str(build.target.parent))


def build_collector(build: GoBuild) -> None:
    """Build the Collector of `collector-config/builder.yaml` with the builder of the same release."""
    build.run("go", "install", f"{BUILDER}@{build.version}", GOBIN=str(build.folder))
    recipe = COLLECTOR_RECIPE.read_text(encoding="utf-8")
    newest = next(iter(COLLECTOR_VERSIONS))
    recipe = recipe.replace(newest, build.version)
    recipe = recipe.replace(COLLECTOR_VERSIONS[newest], COLLECTOR_VERSIONS[build.version])
    recipe = re.sub(r"output_path: .*", "output_path: ./made", recipe)
    recipe = re.sub(r"name: otelcol.*", f"name: {build.target.name}", recipe)
    (build.folder / "builder.yaml").write_text(recipe, encoding="utf-8")
    # -e: `go mod tidy` also asks for what the tests of the components import, which need not be there.
    flags = f"{build.environment['GOFLAGS']} -e"
    build.run(build.folder / "builder", "--config", "builder.yaml", GOFLAGS=flags)


def build_jaeger(build: GoBuild) -> None:
    """Build Jaeger v2 as a dependency of an empty module, which takes over its go.mod and go.sum.

    With its go.sum each module is verified against what Jaeger was released with; with its go.mod its replacements
    apply, which they do only in a main module.
    """
    # First without -json, which would wrap a refusal in a JSON document.
    build.run("go", "mod", "download", f"{JAEGER}@{build.version}")
    answer = build.run("go", "mod", "download", "-json", f"{JAEGER}@{build.version}")
    source = Path(json.loads(answer)["Dir"])
    module = (source / "go.mod").read_text(encoding="utf-8").replace(f"module {JAEGER}\n", "module jaeger\n", 1)
    (build.folder / "go.mod").write_text(module, encoding="utf-8")
    (build.folder / "go.sum").write_bytes((source / "go.sum").read_bytes())
    build.run("go", "mod", "edit", f"-require={JAEGER}@{build.version}")
    flags = ("-mod=mod", "-trimpath", "-ldflags=-s -w")
    build.run("go", "build", *flags, "-o", build.target, f"{JAEGER}/cmd/jaeger")


PEERS = (
    GoPeer(name="telemetrygen", versions=tuple(COLLECTOR_VERSIONS), limit_s=240, build=build_telemetrygen),
    GoPeer(
        name="otelcol",
        versions=tuple(COLLECTOR_VERSIONS),
        limit_s=420,
        build=build_collector,
        recipe=COLLECTOR_RECIPE,
    ),
    GoPeer(name="jaeger", versions=JAEGER_VERSIONS, limit_s=780, build=build_jaeger),
)
