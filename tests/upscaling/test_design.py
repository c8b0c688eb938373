"""Designs for a training table: prediction points, positions, and what a design needs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.errors import ConfigError, InputError
from talik.upscaling.design import land_points, make_folds, site_positions
from talik.upscaling.training import Training, prepare


@pytest.fixture
def training() -> Training:
    rng = np.random.default_rng(0)
    site = np.repeat(np.arange(12), 6)
    table = pd.DataFrame(
        {
            "site_id": [f"s{k:02d}" for k in site],
            "lat": 60 + site / 2,
            "lon": site * 20.0 - 120,
            "year": np.tile([2001, 2002, 2003], 24),
            "nee": rng.normal(size=72),
            "warm": rng.normal(size=72),
        }
    )
    return prepare(table, "nee", "site_id", ["warm"])


def test_land_points_are_as_dense_in_area_everywhere() -> None:
    lat, lon = land_points()
    assert 8_000 < len(lat) < 20_000
    assert lat.min() == 49.25
    # each point stands for the same area: land north of 49 N is about 36.7 million km2 (talik.regions)
    from talik.regions import LatLonGrid
    from talik.regions.masks import land_fraction

    grid = LatLonGrid.regular(0.5, lat=(49.0, 90.0))
    land = land_fraction(grid).to_numpy() >= 0.5
    area = grid.cell_area().to_numpy()
    for low, high in ((49, 55), (55, 65), (65, 75), (75, 84)):
        band = (lat > low) & (lat < high)
        rows = (grid.y > low) & (grid.y < high)
        assert band.mean() == pytest.approx((area * land)[rows].sum() / (area * land).sum(), rel=0.03)
    assert np.ptp(lon[np.isclose(lat, 65.25)]) > 300


def test_every_design_by_name(training: Training) -> None:
    for name, count in (("loso", 12), ("cluster", 12), ("knndm", None), ("year", 3), ("forward", 2)):
        folds = make_folds(training, name, k=4)
        assert folds.name == name
        assert count is None or len(folds.held) == count


def test_what_a_design_needs(training: Training) -> None:
    bare = prepare(training.rows.drop(columns=["lat", "year"]), "nee", "site_id", ["warm"])
    with pytest.raises(InputError, match="needs columns lat and lon"):
        make_folds(bare, "cluster")
    with pytest.raises(InputError, match="needs a column year"):
        make_folds(bare, "forward")
    with pytest.raises(ConfigError, match="choose one of loso"):
        make_folds(training, "random")
    lost = training.rows.assign(lat=training.rows.lat.mask(training.rows.site_id == "s03"))
    holes = prepare(lost, "nee", "site_id", ["warm"])
    with pytest.raises(InputError, match=r"1 sites have no position \(s03\)"):
        site_positions(holes)
