"""Alerts at work: facts from the pipeline, rules once a second, state on disk, people who are told, routes."""
