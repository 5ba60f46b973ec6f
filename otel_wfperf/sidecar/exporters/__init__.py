"""OTLP out: each back end reads the log at its own pace."""
