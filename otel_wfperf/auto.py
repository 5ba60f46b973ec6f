"""Import this module to record every supported framework of the program.

::

    import otel_wfperf.auto

It sets up OpenTelemetry if the program has not (see :func:`otel_wfperf.configure`), and
loads no framework by itself. ``OTEL_WFPERF_DISABLED=true`` makes it do nothing;
``OTEL_WFPERF_INTEGRATIONS=langgraph`` records only what is named.
"""

from otel_wfperf.instrumentation.automatic import start

# The one module of this package that acts when it is imported; a second import does nothing.
start()
