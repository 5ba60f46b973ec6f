import pytest

from otel_wfperf.definitions.definition import Duration, Step
from otel_wfperf.definitions.profiles import ASSUMED, PRIORS, Profile, ProfileSource, measured, profile_of


def test_quantiles_lie_between_what_is_known() -> None:
    profile = measured([4.0, 1.0, 2.0])
    assert [profile.quantile_s(q) for q in (0, 0.25, 0.5, 1)] == [1, 1.5, 2, 4]
    assert (profile.source, profile.count) == (ProfileSource.LIVE, 3)
    assert measured([7.0]).quantile_s(0.3) == 7


def test_the_best_knowledge_wins() -> None:
    live = {"backend-developer": measured([5.0])}
    said = Duration(low_s=1, high_s=3)

    assert profile_of(Step(text="", line=1, agent="backend-developer", duration=said), live).median_s == 2
    assert profile_of(Step(text="", line=1, agent="backend-developer"), live).median_s == 5
    assert profile_of(Step(text="", line=1, agent="devops-engineer"), live) is PRIORS["devops-engineer"]
    assert profile_of(Step(text="", line=1, agent="stranger"), live) is ASSUMED
    assert profile_of(Step(text="", line=1), live) is ASSUMED
    assert ASSUMED.quantiles_s == (30, 60)


@pytest.mark.parametrize("quantiles_s", [(), (2.0, 1.0), (-1.0, 1.0)])
def test_what_is_no_distribution_is_refused(quantiles_s: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="quantiles_s"):
        Profile(quantiles_s=quantiles_s, source=ProfileSource.LIVE)
