"""OTLP in: over gRPC and over HTTP, into the log."""
