import pytest

from core.errors import InvalidInput
from core.optimisation import TrainConfig
from core.presets import CUSTOM_DEFAULTS, CUSTOM_LIMITS, PRESETS, likely_seconds, settings_for


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_config_and_custom_starts_from_the_defaults(preset: str) -> None:
    config = TrainConfig.from_dict(settings_for(preset, CUSTOM_DEFAULTS))
    assert preset == "Quick" or config == TrainConfig()


@pytest.mark.parametrize("name", CUSTOM_LIMITS)
def test_a_custom_setting_out_of_its_range_or_no_whole_number_is_refused_by_name(name: str) -> None:
    low, high = CUSTOM_LIMITS[name]
    for edge in (low, high):
        assert getattr(TrainConfig.from_dict(settings_for("Custom", {name: edge})), name) == edge
    for wrong in (low - 1, high + 1, 1.5, "3", None, True):
        with pytest.raises(InvalidInput, match=name):
            settings_for("Custom", {name: wrong})


def test_what_is_not_offered_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no preset 'Endless'"):
        settings_for("Endless")
    with pytest.raises(InvalidInput, match="no training setting 'hidden'"):
        settings_for("Custom", {"hidden": 8})


def test_the_time_is_estimated_from_the_median_pace_of_past_trainings() -> None:
    assert likely_seconds([], 100, 10) is None
    past = [(10.0, 100, 10), (20.0, 100, 10), (900.0, 100, 10)]
    assert likely_seconds(past, 200, 10) == pytest.approx(40)
