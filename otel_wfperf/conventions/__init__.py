"""Dialects: how emitters write workflows, phases, agents, tools and model calls.

To add one, write its file, put it into ``CONVENTIONS`` (normalize.py) and add its test.
"""

from otel_wfperf.conventions.convention import Convention
from otel_wfperf.conventions.normalize import CONVENTIONS, normalize

__all__ = ["CONVENTIONS", "Convention", "normalize"]
