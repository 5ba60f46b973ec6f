import pytest
from pydantic import ValidationError

from otel_wfperf.config import LogConfig


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("always", "always"),
        ("interval", "interval"),
        ("never", "never"),
        (True, "always"),
        (False, "never"),
        ("true", "always"),
        ("false", "never"),
    ],
)
def test_fsync_is_a_word_and_booleans_still_have_their_meaning(written: object, meant: str) -> None:
    assert LogConfig.model_validate({"fsync": written}).fsync == meant


@pytest.mark.parametrize("written", ["sometimes", 1, None, "yes"])
def test_another_fsync_is_refused_with_what_could_be_written(written: object) -> None:
    with pytest.raises(ValidationError, match=r"'always', 'interval' or 'never'"):
        LogConfig.model_validate({"fsync": written})


def test_the_interval_is_a_duration() -> None:
    assert LogConfig.model_validate({"fsync": "interval", "fsync_interval": "250ms"}).fsync_interval_s == 0.25
    with pytest.raises(ValidationError, match="fsync_interval"):
        LogConfig.model_validate({"fsync_interval": "0s"})
