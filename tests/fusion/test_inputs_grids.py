"""Input of fusion from NetCDF and Zarr: cells, units, several files, maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tests.fusion.fusion_world import grid, site_months

from talik.errors import ConfigError, GridError, InputError
from talik.fusion.inputs import Reader
from talik.fusion.observed import observations_of
from talik.fusion.settings import Files, FusionSettings

NAMES = {"tmin": "tasmin", "tmax": "tasmax", "sw": "rsds", "burned": "burnt"}


def reader_of(
    folder: Path, drivers: list[Path], streams: dict[str, Path] | None = None, **given: Any
) -> Reader:
    co2 = folder / "co2.csv"
    pd.DataFrame({"year": [2003, 2004, 2005], "co2_ppm": [375.0, 377.0, 379.0]}).to_csv(co2, index=False)
    content = {
        "drivers": {
            "files": [str(p) for p in drivers],
            "variables": NAMES,
            "without": ["loss"],
            "co2": {"files": [str(co2)]},
        }
    }
    settings = FusionSettings.model_validate_json(json.dumps(content | given), strict=True)
    return Reader(
        settings,
        Files(
            drivers=tuple(map(str, drivers)),
            co2=(str(co2),),
            streams={name: (str(path),) for name, path in (streams or {}).items()},
            period=settings.period,
        ),
    )


def written(ds: xr.Dataset, path: Path) -> Path:
    if path.suffix == ".zarr":
        ds.to_zarr(path, consolidated=False)
    else:
        ds.to_netcdf(path)
    return path


@pytest.mark.parametrize("name", ["drivers.nc", "drivers.zarr"])
def test_every_cell_of_land_is_a_pixel_in_the_units_of_the_model(name: str, tmp_path: Path):
    reader = reader_of(tmp_path, [written(grid(), tmp_path / name)])
    pixels = reader.pixels()
    assert len(pixels) == 11
    assert pixels.names[0] == "+60.250+25.250"
    assert "+61.250+26.750" not in pixels.names
    inputs = reader.read(pixels.take(slice(3, 7)))
    assert not inputs.problems
    site = site_months(("one",))
    k = pixels.names.index("+60.750+25.250") - 3
    np.testing.assert_allclose(inputs.drivers["tmin"][:, k] - site["tmin"], 0.29015, atol=0.02)
    sw = site["sw"].to_numpy()
    np.testing.assert_allclose(inputs.drivers["sw"][:, k], sw + 1e-3 * sw.max())
    np.testing.assert_allclose(inputs.drivers["burned"][6::12, k], 0.02002)
    np.testing.assert_array_equal(inputs.drivers["co2"][[0, 11, 12], k], [375, 375, 377])
    drivers = inputs.drivers_of(inputs.good)
    assert drivers.fires
    assert not drivers.losses
    assert drivers.burned.shape == (24, 4, 1)


def test_the_form_and_the_order_of_a_grid_change_nothing(tmp_path: Path):
    world = grid()
    cells = world.stack(cell=("lat", "lon")).reset_index("cell").isel(cell=slice(None, None, -1))
    turned = world.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    read = []
    for name, ds in (("a.nc", world), ("b.nc", cells), ("c.nc", turned)):
        reader = reader_of(tmp_path, [written(ds, tmp_path / name)], cells=[[60.7, 25.3], [61.2, 25.8]])
        inputs = reader.read(reader.pixels())
        assert inputs.pixels.names == ("+60.750+25.250", "+61.250+25.750")
        read.append(inputs.drivers)
    for other in read[1:]:
        for driver, values in read[0].items():
            np.testing.assert_array_equal(values, other[driver])


def test_years_may_stand_in_several_files(tmp_path: Path):
    world = grid(years=(2003, 2005))
    whole = reader_of(tmp_path, [written(world, tmp_path / "all.nc")], cells=[[60.25, 25.25]])
    parts = [written(world.isel(time=slice(a, b)), tmp_path / f"{a}.nc") for a, b in ((12, 36), (0, 12))]
    split = reader_of(tmp_path, parts, cells=[[60.25, 25.25]])
    expected, found = (r.read(r.pixels()) for r in (whole, split))
    assert len(found.axis) == 36
    for driver, values in expected.drivers.items():
        np.testing.assert_array_equal(found.drivers[driver], values)
    twice = reader_of(tmp_path, [*parts, parts[0]], cells=[[60.25, 25.25]])
    with pytest.raises(
        InputError, match=r"tasmin of \+60.250\+25.250 has months that an earlier file has too"
    ):
        twice.read(twice.pixels())


def test_a_missing_month_of_a_grid_is_an_error(tmp_path: Path):
    world = grid()
    gap = written(world.isel(time=[*range(7), *range(8, 24)]), tmp_path / "gap.nc")
    reader = reader_of(tmp_path, [gap])
    with pytest.raises(InputError, match="2003-08 missing"):
        reader.read(reader.pixels())


def test_a_cell_with_a_gap_is_named(tmp_path: Path):
    world = grid()
    world["rsds"][5, 1, 1] = np.nan
    reader = reader_of(tmp_path, [written(world, tmp_path / "hole.nc")])
    inputs = reader.read(reader.pixels())
    assert [(p.pixel, p.variable, p.found) for p in inputs.problems] == [
        ("+60.750+25.750", "sw", "2003-06 missing")
    ]
    assert inputs.good.size == 10


def test_a_cell_outside_is_refused(tmp_path: Path):
    reader = reader_of(tmp_path, [written(grid(), tmp_path / "a.nc")], cells=[[70.0, 25.0]])
    with pytest.raises(GridError, match="lie outside the grid"):
        reader.pixels()


def test_maps_of_biomass_and_soil_carbon(tmp_path: Path):
    world = grid()
    maps = xr.Dataset(
        {
            "agb": (("lat", "lon"), np.full((3, 4), 50.0), {"units": "Mg ha-1"}),
            "agb_sd": (("lat", "lon"), np.full((3, 4), 10.0), {"units": "Mg ha-1"}),
            "soc": (("lat", "lon"), np.full((3, 4), 20.0), {"units": "kg m-2"}),
        },
        coords={"lat": world.lat, "lon": world.lon},
    )
    maps["soc"][0, 0] = np.nan
    path = written(maps, tmp_path / "maps.nc")
    observations = {"agb": {"sd": "agb_sd", "year": 2004}, "soc": {}}
    drivers = written(world, tmp_path / "a.nc")
    reader = reader_of(
        tmp_path, [drivers], {"agb": path, "soc": path}, observations=observations, north_of=60.0
    )
    inputs = reader.read(reader.pixels())
    assert [(p.severity, p.pixel, p.variable) for p in inputs.problems] == [
        ("warning", "+60.250+25.250", "soc")
    ]
    made = observations_of(inputs, inputs.good, reader.settings)
    assert np.flatnonzero(np.asarray(made.wood.seen)[:, 3]).tolist() == [12]  # January of 2004
    carbon = 48 * (50 + 0.489 * 50**0.89)
    assert made.wood.value[12, 3] == pytest.approx(carbon)
    slope = 48 * (1 + 0.489 * 0.89 * 50**-0.11)
    assert made.wood.sd[12, 3] == pytest.approx(np.hypot(10 * slope, 0.1 * carbon))
    assert made.soc.value[3] == 20_000
    assert made.soc.sd[3] == pytest.approx(0.235 * 20_000)
    assert not made.soc.seen[0]


def test_a_map_without_a_year_says_nothing_of_a_month(tmp_path: Path):
    world = grid()
    wood = xr.Dataset(
        {"wood": (("lat", "lon"), np.ones((3, 4)), {"units": "kg m-2"})}, world[["lat", "lon"]].coords
    )
    path = written(wood, tmp_path / "wood.nc")
    drivers = written(world, tmp_path / "a.nc")
    reader = reader_of(tmp_path, [drivers], {"wood": path}, observations={"wood": {}})
    with pytest.raises(ConfigError, match=r"wood has no time\. State the year"):
        reader.read(reader.pixels())


def test_observations_of_some_years_stand_at_their_months(tmp_path: Path):
    world = grid()
    some = xr.Dataset(
        {"lai": (("time", "lat", "lon"), np.full((2, 3, 4), 2.0), {"units": "1"})},
        coords={
            "time": ("time", [181.0, 546.0], {"units": "days since 2003-01-01", "calendar": "standard"}),
            "lat": world.lat,
            "lon": world.lon,
        },
    )
    drivers = written(world, tmp_path / "a.nc")
    path = written(some, tmp_path / "lai.nc")
    reader = reader_of(tmp_path, [drivers], {"lai": path}, observations={"lai": {}})
    lai = reader.read(reader.pixels()).streams["lai"].value
    assert np.flatnonzero(np.isfinite(lai[:, 2])).tolist() == [6, 17]


@pytest.mark.parametrize(("days", "months"), [([181.0, 546.0], [0, 12]), ([181.0, 212.0], [6, 7])])
def test_maps_of_a_year_each_count_in_january(days: list[float], months: list[int], tmp_path: Path):
    world = grid()
    some = xr.Dataset(
        {"biomass": (("time", "lat", "lon"), np.full((2, 3, 4), 2.0), {"units": "kg m-2"})},
        coords={
            "time": ("time", days, {"units": "days since 2003-01-01", "calendar": "standard"}),
            "lat": world.lat,
            "lon": world.lon,
        },
    )
    drivers = written(world, tmp_path / "a.nc")
    path = written(some, tmp_path / "biomass.nc")
    reader = reader_of(tmp_path, [drivers], {"biomass": path}, observations={"biomass": {}})
    value = reader.read(reader.pixels()).streams["biomass"].value[:, 2]
    assert np.flatnonzero(np.isfinite(value)).tolist() == months


def test_wind_is_asked_for_by_acm2_only(tmp_path: Path):
    path = written(grid(), tmp_path / "a.nc")
    with pytest.raises(ConfigError, match="Add wind, which ACM2 needs, or take photosynthesis: acm1"):
        reader_of(tmp_path, [path], switches={"photosynthesis": "acm2"})
