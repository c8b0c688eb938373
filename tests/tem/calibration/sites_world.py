"""Three made sites: polar desert, wet tundra and boreal forest under five years of climate that differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from talik.tem.inputs import Climate, Columns
from talik.tem.settings import TemSettings

COMMUNITIES = ("alpine_tundra_polar_desert", "wet_tundra", "boreal_forest")
MEAN_C, SWING_C = np.array([-9.0, -10.0, -3.0]), np.array([14.0, 17.0, 19.0])
RAIN_MM = np.array([15.0, 12.0, 25.0])
YEARS = 5


def columns() -> Columns:
    """A column each."""
    n = len(COMMUNITIES)
    return Columns(
        lat=np.array([74.5, 70.5, 65.1]),
        lon=np.array([-20.5, -157.4, -147.5]),
        area_m2=np.full(n, 1e9),
        cell=np.arange(n),
        community=COMMUNITIES,
        share=np.ones(n),
        sand=np.array([60.0, 45.0, 40.0]),
        silt=np.array([30.0, 35.0, 40.0]),
        clay=np.array([10.0, 20.0, 20.0]),
        elevation=np.array([40.0, 15.0, 210.0]),
    )


def climate(years: int = YEARS) -> Climate:
    """Monthly climate, (year, 12, column)."""
    rng = np.random.default_rng(7)
    season = -np.cos(2 * np.pi * (np.arange(12) + 0.3) / 12)[None, :, None]
    shape = (years, 12, len(COMMUNITIES))
    light = np.maximum(190.0 + 190.0 * season, 3.0) * np.ones(shape)
    return Climate(
        first_year=2001,
        tair=MEAN_C + SWING_C * season + rng.normal(0.0, 1.0, shape),
        precip=RAIN_MM * (1.0 + 0.7 * season) * rng.uniform(0.7, 1.3, shape),
        irradiance=light,
        par=0.5 * light,
        co2=370.0 + 2.0 * np.arange(years),
    )


def settings(**changes: Any) -> TemSettings:
    """A section tem whose files are never read."""
    given = {
        "climate": {"files": ["-"]},
        "co2": {"files": ["-"]},
        "land": {"files": ["-"]},
        "spin_up": {"years": 5},
        **changes,
    }
    return TemSettings.model_validate(given)
