"""The real frameworks, recorded in memory; each needs an environment that has it (see CONTRIBUTING.md)."""

from collections.abc import Iterator

import pytest

from otel_wfperf.instrumentation.failures import failure_counts
from tests.frameworks.model_server import ModelServer
from tests.frameworks.recording import Recording, global_exporter


@pytest.fixture
def recording() -> Iterator[Recording]:
    """What the test's code writes; no failure of ours may hide behind a passing test."""
    exporter = global_exporter()
    exporter.clear()
    before = failure_counts()
    yield Recording(exporter)
    exporter.clear()
    assert failure_counts() == before


@pytest.fixture(scope="module")
def running_model_server() -> Iterator[ModelServer]:
    with ModelServer.running() as server:
        yield server


@pytest.fixture
def model_server(running_model_server: ModelServer) -> ModelServer:
    """A model server on loopback that speaks OpenAI's API, with nothing scripted and nothing counted yet."""
    running_model_server.reset()
    return running_model_server
