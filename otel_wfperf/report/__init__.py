"""Reports on executions and findings: one JSON document, plain text, a self-contained HTML page. Pure."""
