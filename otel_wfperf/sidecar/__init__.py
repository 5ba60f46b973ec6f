"""The process beside a service: OTLP in, findings out."""
