"""Compile the hot path of the sidecar into a wheel, when HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 asks for it.

    HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 python -m pip wheel --no-deps .

Needs a C compiler and a minute, less with WFPERF_OPTIMISATION=0. The same files run interpreted where nothing is
compiled; ``wfperf doctor`` tells which it is. Done in a copy, so that a source tree never has compiled modules beside
sources that are newer; hatch-mypyc 0.16 builds in place and moves pyproject.toml meanwhile.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Compiled together: calls between them then cost next to nothing.
MODULES = ("otlp/wire.py", "otlp/traces.py", "conventions/*.py", "assembly/*.py", "assembly/adjusters/*.py")
# mypyc 2.4 makes class variables of frozen dataclasses read-only before they are set.
LEFT_OUT = ("__init__.py", "clock_skew.py", "same_end.py")
# Types are checked by `make check`; here what the package imports need not be installed.
PROGRAM = """
import os, sys
from mypyc.build import mypycify
from setuptools import setup

flags = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
level = os.environ.get("WFPERF_OPTIMISATION", "2")
modules = mypycify([*flags, *sys.argv[1:]], opt_level=level, debug_level="0", group_name="otel_wfperf")
setup(name="otel-wfperf", ext_modules=modules, script_args=["build_ext", "--inplace"])
"""


class CompiledModules(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the results; an editable install stays as it is."""
        if version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="wfperf-build-"))
        package = self._folder / "otel_wfperf"
        shutil.copytree(Path(self.root) / "otel_wfperf", package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        found = [path for pattern in MODULES for path in sorted(package.glob(pattern)) if path.name not in LEFT_OUT]
        names = [str(path.relative_to(self._folder)) for path in found]
        subprocess.run([sys.executable, "-c", PROGRAM, *names], cwd=self._folder, check=True)  # noqa: S603 - ourselves
        for path in [*self._folder.glob("*__mypyc.*"), *package.rglob("*.so"), *package.rglob("*.pyd")]:
            build_data["force_include"][str(path)] = str(path.relative_to(self._folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        """Remove the copy."""
        if version != "editable":
            shutil.rmtree(self._folder, ignore_errors=True)
