"""Assembly: which operations are one run, and what the run looked like."""

from otel_wfperf.assembly.adjusters import ADJUSTERS, Adjuster
from otel_wfperf.assembly.assemble import assemble
from otel_wfperf.assembly.assembler import Assembler, AssemblySettings, OpenTrace
from otel_wfperf.assembly.gathering import OpenOperation

__all__ = ["ADJUSTERS", "Adjuster", "Assembler", "AssemblySettings", "OpenOperation", "OpenTrace", "assemble"]
