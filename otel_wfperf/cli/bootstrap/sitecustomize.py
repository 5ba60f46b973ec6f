"""Instruments every Python process that ``wfperf run`` starts; Python imports this file before the program.

The folder of this file is first in ``PYTHONPATH``, so it hides a ``sitecustomize`` that the user has: that one runs
first. Whatever goes wrong here must not reach the program.
"""  # noqa: INP001 - it is a folder for PYTHONPATH, not a package

import importlib
import os
import sys
from pathlib import Path


def _run_the_hidden_one() -> None:
    here = str(Path(__file__).parent)
    ours = sys.modules.pop(__name__)
    sys.path[:] = [entry for entry in sys.path if entry != here]
    importlib.invalidate_caches()
    try:
        importlib.import_module(__name__)
    except ModuleNotFoundError as error:
        # Python is silent when there is none, and so are we; an import that fails within it is the user's to see.
        if error.name != __name__:
            raise
    finally:
        sys.modules.setdefault(__name__, ours)


def _instrument() -> None:
    source_tree = Path(__file__).parents[3]
    if (source_tree / "pyproject.toml").is_file():
        # Not installed: last in the path, so that it hides nothing of the program.
        sys.path.append(str(source_tree))
    try:
        # A Python of another environment may lack it; our own import would only log where it failed.
        importlib.import_module("opentelemetry.trace")
        importlib.import_module("otel_wfperf.auto")
    except Exception as error:  # noqa: BLE001 - the program must run without us
        # Programs that the program starts may be anything; only the one that the user named is worth a word.
        if os.environ.get("OTEL_WFPERF_RUN_PID") == str(os.getppid()):
            sys.stderr.write(
                f"wfperf: not recorded: {error} (Python: {sys.executable})\n"
                "hint: install otel-wfperf in the environment that runs the program\n"
            )


try:
    _run_the_hidden_one()
finally:
    _instrument()
