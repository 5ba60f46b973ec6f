"""Measurably faster multi-agent LLM workflows, on plain OpenTelemetry."""
