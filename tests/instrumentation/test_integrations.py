"""What every integration has, whichever frameworks are installed."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from otel_wfperf.instrumentation.integration import Integration
from otel_wfperf.instrumentation.integrations import INTEGRATIONS
from otel_wfperf.instrumentation.versions import version_problem
from tests.conftest import REPOSITORY

VERSIONS = REPOSITORY / "tests" / "frameworks" / "versions.txt"
each_integration = pytest.mark.parametrize("integration", INTEGRATIONS, ids=lambda integration: integration.name)


def test_names_are_unique_and_can_be_typed() -> None:
    names = [integration.name for integration in INTEGRATIONS]

    assert len(set(names)) == len(names)
    assert all(name == name.lower().replace(" ", "_") for name in names)


@each_integration
def test_the_versions_it_claims_are_those_that_the_tests_run_with(integration: Integration) -> None:
    lines = VERSIONS.read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)

    assert dict(integration.coverage.tested) == {name: pinned[name] for name in integration.requires}


@each_integration
def test_the_versions_it_was_tested_with_are_in_its_range(integration: Integration) -> None:
    for name in integration.requires:
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        assert version_problem(name, integration.requires[name]) is None, installed
        assert integration.coverage.tested[name] == installed or name.startswith("lang")


@each_integration
def test_what_it_covers_is_written_in_full(integration: Integration) -> None:
    coverage = integration.coverage

    assert all((coverage.framework, coverage.hook, coverage.workflows, coverage.agents, coverage.llm_calls))
    assert all(sentence.endswith(".") for sentence in (coverage.hook, *coverage.missing))
