"""The training settings that people choose from, and how long a training is likely to take."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InvalidInput

# What each preset changes of the defaults; the same names as `core.optimisation.TrainConfig`, which checks the values.
PRESETS: Mapping[str, Mapping[str, int]] = {
    "Quick": {"epochs": 20, "patience": 4},
    "Standard": {},
    "Custom": {},
}
CUSTOM_LIMITS = {"epochs": (1, 2000), "patience": (1, 2000), "seed": (0, 2**31 - 1)}
CUSTOM_DEFAULTS = {"epochs": 40, "patience": 20, "seed": 0}


def settings_for(preset: str, custom: Mapping[str, Any] | None = None) -> dict[str, int]:
    """The settings of a preset; those of Custom are `custom`. Raises InvalidInput naming what is wrong."""
    if preset not in PRESETS:
        raise InvalidInput(f"There is no preset '{preset}'. Known: {', '.join(PRESETS)}.")
    if preset != "Custom":
        return dict(PRESETS[preset])
    return {name: _whole(name, value) for name, value in (custom or {}).items()}


def _whole(name: str, value: Any) -> int:
    if name not in CUSTOM_LIMITS:
        raise InvalidInput(f"There is no training setting '{name}' to choose. Known: {', '.join(CUSTOM_LIMITS)}.")
    low, high = CUSTOM_LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"Training setting '{name}' is {value}; it must be a whole number from {low} to {high}.")
    return value


def likely_seconds(past: Sequence[tuple[float, int, int]], ratings: int, epochs: int) -> float | None:
    """How long a training is likely to take: the median pace of past ones (seconds, ratings, epochs) times its size.

    Time grows with the ratings and, in most of it, with the epochs asked for. None where nothing was trained yet.
    """
    paces = sorted(seconds / (max(n, 1) * max(e, 1)) for seconds, n, e in past if seconds > 0)
    return paces[len(paces) // 2] * max(ratings, 1) * max(epochs, 1) if paces else None
