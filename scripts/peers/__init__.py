"""Obtain the real components that the tests talk to: `python3 -m scripts.peers --help`."""
