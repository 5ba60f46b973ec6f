from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.log.modelled import LogMachine


def test_holds_what_its_model_holds_whatever_is_done_to_it() -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
