"""What Haystack's tracer is told, turned into operations; installed by the Haystack integration."""
