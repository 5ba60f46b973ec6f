"""The command line: ``wfperf``, also installed as ``otel-wfperf``.

Data goes to standard output, everything else to standard error. Exit status: 0 fine, 1 the answer is "no", 2 the
command line or an input cannot be used; ``wfperf run`` and ``wfperf demo`` keep the program's own status.
"""

from otel_wfperf.cli.main import main

__all__ = ["main"]
