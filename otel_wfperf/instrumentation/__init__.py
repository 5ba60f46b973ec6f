"""Recording workflows inside the application.

Importing this package imports the OpenTelemetry API at most; SDK, exporters and frameworks
are imported when they are needed.
"""
