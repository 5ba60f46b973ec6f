"""How often the detectors are right, and whether the savings they predict come true.

Workflows with planted faults are executed under a virtual clock, recorded by this package's instrumentation, encoded,
decoded, assembled and analysed as the sidecar does it; then executed again with the fault repaired.
"""
