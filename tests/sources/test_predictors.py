"""Predictor table: names and units, published training ranges, fill codes, merges, masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cf_xarray.units import units as UNITS
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import ConfigError, InputError
from talik.sources.predictors import (
    MERGES,
    NOT_VEGETATION,
    PREDICTORS,
    VEGETATION,
    joint_masks,
    merge_vegetation,
    to_physical,
)

# lowest and highest training numbers seen in the authors' tables, and what they are physically
SEEN = {
    "srad": ((0, 3066), (0.0, 306.6)),
    "vpd": ((0, 141), (0.0, 1.41)),
    "soil_temperature": ((248, 297), (248.0, 297.0)),
    "soil_moisture": ((0.09, 0.73), (0.09, 0.73)),
    "ndvi": ((-0.14, 0.89), (-0.14, 0.89)),
    "surface_temperature": ((11542, 15345), (230.84, 306.9)),
    "soil_ph": ((37, 78), (3.7, 7.8)),
    "soc_stock": ((65, 5987), (65.0, 5987.0)),
}
# authors' raster integer = training number x this
RASTER_SCALE = {
    "srad": 10,
    "vpd": 1,
    "co2": 1000,
    "snow_cover": 100,
    "soil_temperature": 100,
    "soil_moisture": 100,
    "ndvi": 10_000,
    "surface_temperature": 10,
    "cti": 100,
    "tree_cover": 1,
    "soil_ph": 100,
    "soc_stock": 100,
    "permafrost_probability": 100,
}


def test_there_are_seventeen_with_units_that_parse() -> None:
    assert len(PREDICTORS) == 17
    assert [p.name for p in PREDICTORS.values() if p.categorical] == ["month", "vegetation_type"]
    assert sorted(p.name for p in PREDICTORS.values() if p.kind == "annual") == [
        "non_tree_vegetation",
        "non_vegetated",
        "tree_cover",
    ]
    assert sum(p.kind == "dynamic" for p in PREDICTORS.values()) == 9
    for predictor in PREDICTORS.values():
        assert predictor.low < predictor.high
        UNITS.Unit(predictor.units)


@pytest.mark.parametrize("name", SEEN)
def test_published_training_ranges_become_the_published_physical_ones(name: str) -> None:
    stored, physical = SEEN[name]
    np.testing.assert_allclose(to_physical(stored, name, "training"), physical, rtol=1e-12)


@pytest.mark.parametrize("name", RASTER_SCALE)
def test_rasters_and_tables_meet_in_physical_units(name: str) -> None:
    known = PREDICTORS[name]
    way = known.stored["training"]
    physical = np.linspace(max(known.low, 0.02), known.high, 7)
    training = (physical - way.offset) / way.factor
    raster = training * RASTER_SCALE[name]
    np.testing.assert_allclose(to_physical(training, name, "training"), physical, rtol=1e-12)
    np.testing.assert_allclose(to_physical(raster, name, "raster"), physical, rtol=1e-12)


def test_eight_km_temperature_is_tenths_of_a_degree_celsius() -> None:
    np.testing.assert_allclose(
        to_physical([-394, 0, 215.5], "surface_temperature", "training-8km"), [233.75, 273.15, 294.7]
    )
    np.testing.assert_allclose(
        to_physical([-2.5e8, -3940, 2155], "surface_temperature", "raster-8km"), [np.nan, 233.75, 294.7]
    )


@pytest.mark.parametrize("stored_as", ["training", "raster", "product"])
@pytest.mark.parametrize("name", ["tree_cover", "non_tree_vegetation", "non_vegetated"])
def test_cover_codes_above_100_are_missing(name: str, stored_as: str) -> None:
    got = to_physical([0, 100, 101, 175, 200, 253, -1], name, stored_as)
    np.testing.assert_array_equal(got, [0, 100, np.nan, np.nan, np.nan, np.nan, np.nan])


def test_fill_codes_of_modis_soilgrids_and_the_authors() -> None:
    np.testing.assert_allclose(to_physical([-3000, 5000], "ndvi", "product"), [np.nan, 0.5])
    np.testing.assert_allclose(to_physical([-10_001, 5000], "ndvi", "raster"), [np.nan, 0.5])
    np.testing.assert_allclose(
        to_physical([0, 13745], "surface_temperature", "product"), [np.nan, 274.9], rtol=1e-6
    )
    np.testing.assert_allclose(
        to_physical([[0, -2.5e8], [137450, 137450]], "surface_temperature", "raster"),
        [[np.nan, np.nan], [274.9, 274.9]],
    )
    for name in ("soil_temperature", "soil_ph", "soc_stock"):
        assert np.isnan(to_physical([0, -5], name, "raster")).all()
    assert np.isnan(to_physical(NOT_VEGETATION, "vegetation_type", "raster")).all()
    np.testing.assert_array_equal(to_physical([np.nan, 0.0], "srad", "training"), [np.nan, 0.0])


def test_real_training_columns_are_plausible_once_physical(shared: Path) -> None:
    wide = pd.read_parquet(shared / "data" / "abcflux-v1-ml" / "wide.parquet")
    checked = set()
    for name, predictor in PREDICTORS.items():
        for column, stored_as in predictor.columns.items():
            stored = wide[column].to_numpy(dtype=float)
            physical = to_physical(stored, name, stored_as)
            present = physical[~np.isnan(physical)]
            assert predictor.low <= present.min(), column
            assert present.max() <= predictor.high + 1e-9, column
            assert np.count_nonzero(np.isnan(physical)) - np.count_nonzero(np.isnan(stored)) < 5, column
            checked.add(name)
    assert checked == set(PREDICTORS) - {"vegetation_type", "cti"}
    # two independent temperatures of the same site-month agree, one decoded from 0.02 K and one from 0.1 degC
    lst = to_physical(wide["lst_day_modis"], "surface_temperature", "training")
    air = to_physical(wide["tmean_terraclimate"], "surface_temperature", "training-8km")
    assert abs(np.nanmedian(lst - air)) < 5.0


def test_the_wrong_way_of_storing_is_found() -> None:
    with pytest.raises(InputError, match=r"surface_temperature.*3 of 3 values fall outside 210..335 K"):
        to_physical([13000, 13745, 14000], "surface_temperature", "physical")
    with pytest.raises(
        ConfigError, match=r"no way of storing it is called 'grid'.*physical, training, raster"
    ):
        to_physical([1.0], "vpd", "grid")
    with pytest.raises(ConfigError, match="'tas' is no predictor"):
        to_physical([1.0], "tas", "physical")
    # single outliers are data, not a wrong unit
    np.testing.assert_array_equal(to_physical([50, 20_000, 60], "srad", "physical"), [50, 20_000, 60])


def test_merges_are_the_published_ones() -> None:
    merged = merge_vegetation(list(VEGETATION))
    assert sorted(set(merged)) == [21, 30, 31, 33, 60, 70, 80, 120, 160]
    np.testing.assert_array_equal(merge_vegetation([[1, 90, 41, 70, np.nan]]), [[31, 30, 160, 70, np.nan]])


@given(st.lists(st.sampled_from([*VEGETATION, np.nan])))
def test_merging_twice_changes_nothing(classes: list[float]) -> None:
    once = merge_vegetation(classes)
    np.testing.assert_array_equal(merge_vegetation(once), once)


def test_a_class_without_a_level_is_an_error_unless_merged() -> None:
    with pytest.raises(InputError, match=r"classes 50, 190 are not in the legend.*50: None"):
        merge_vegetation([50, 70, 190])
    np.testing.assert_array_equal(
        merge_vegetation([50, 70, 190], {**MERGES, 50: 60, 190: None}), [60, 70, np.nan]
    )


def test_joint_masks() -> None:
    nan = np.nan
    out = joint_masks(
        {
            "soil_temperature": [[270.0, nan], [280.0, 281.0]],
            "snow_cover": [[50.0, 0.0], [0.0, nan]],
            "soil_moisture": [[0.3, 0.0], [0.4, 0.5]],
            "vegetation_type": [70.0, nan],
            "permafrost_probability": [[0.1, 0.2], [0.3, 0.4]],
            "tree_cover": [10.0, 20.0],
            "non_tree_vegetation": [nan, 30.0],
            "non_vegetated": [40.0, 50.0],
            "co2": [400.0],
        }
    )
    np.testing.assert_array_equal(out["snow_cover"], [[50, nan], [0, nan]])
    np.testing.assert_array_equal(out["soil_moisture"], [[0.3, nan], [0.4, 0.5]])
    np.testing.assert_array_equal(out["permafrost_probability"], [[0.1, nan], [0.3, nan]])
    for cover in ("tree_cover", "non_tree_vegetation", "non_vegetated"):
        assert np.isnan(out[cover]).tolist() == [True, False]
    np.testing.assert_array_equal(out["co2"], [400.0])


def test_joint_masks_leave_their_input_alone_and_need_matching_shapes() -> None:
    snow = np.array([1.0, 2.0])
    joint_masks({"snow_cover": snow, "soil_temperature": [np.nan, 270.0]})
    np.testing.assert_array_equal(snow, [1.0, 2.0])
    with pytest.raises(InputError, match=r"snow_cover has shape \(2,\) but soil_temperature.*\(3,\)"):
        joint_masks({"snow_cover": snow, "soil_temperature": [270.0, 271.0, 272.0]})
