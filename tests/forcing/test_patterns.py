"""Patterns at cells against SciPy's interpolation, and errors of their files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from talik.errors import GridError, InputError, UnitsError
from talik.forcing.patterns import SEASON_OF_MONTH, SEASONS, bilinear, read_patterns
from talik.forcing.settings import Patterns
from talik.sources.climatology import on_map, read_climatology

_spec = importlib.util.spec_from_file_location("forcing_world", Path(__file__).with_name("world.py"))
world = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(world)

ROWS, COLUMNS = np.array([41.0, 44.0, 62.0, 80.0, 88.0]), np.arange(1.25, 360, 22.5)
RELATIVE = Patterns(files=("patterns.nc",))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.lists(st.tuples(st.floats(41, 88), st.floats(-180, 180)), min_size=1, max_size=20),
)
def test_bilinear_is_that_of_scipy_on_a_field_laid_thrice_around(
    seed: int, at: list[tuple[float, float]]
) -> None:
    field = np.random.default_rng(seed).normal(size=(3, ROWS.size, COLUMNS.size))
    lat, lon = np.array(at).T
    around = np.concatenate([COLUMNS - 360, COLUMNS, COLUMNS + 360])
    for step in range(3):
        oracle = RegularGridInterpolator((ROWS, around), np.tile(field[step], 3))
        np.testing.assert_allclose(
            bilinear(ROWS, COLUMNS, field, lat, lon)[step], oracle(np.array(at)), atol=1e-9
        )


def test_the_pole_is_the_mean_of_the_last_row_and_the_south_its_first() -> None:
    field = np.random.default_rng(1).normal(size=(ROWS.size, COLUMNS.size))
    poles = bilinear(ROWS, COLUMNS, field, np.array([90.0, 90.0]), np.array([10.0, -170.0]))
    np.testing.assert_allclose(poles, field[-1].mean())
    south = bilinear(ROWS, COLUMNS, field, np.array([40.25]), np.array([COLUMNS[2]]))
    np.testing.assert_allclose(south, field[0, 2])


def test_fields_that_do_not_hold_the_cells_are_errors() -> None:
    field = np.zeros((ROWS.size, COLUMNS.size))
    with pytest.raises(GridError, match=r"longitudes run 1.25..203.75; expected the whole circle"):
        bilinear(ROWS, COLUMNS[:10], field[:, :10], np.array([60.0]), np.array([0.0]))
    with pytest.raises(GridError, match=r"latitudes run 41..88, cells reach 10"):
        bilinear(ROWS, COLUMNS, field, np.array([10.0]), np.array([0.0]))
    with pytest.raises(GridError, match="expected a field up to the pole"):
        bilinear(np.array([41.0, 44.0]), COLUMNS, field[:2], np.array([44.0]), np.array([0.0]))


def test_maps_are_read_at_cell_centres_only() -> None:
    data = xr.DataArray(
        np.arange(6.0).reshape(3, 2),
        coords={"lat": [61.25, 60.75, 60.25], "lon": [179.75, 180.25]},
        dims=("lat", "lon"),
    )
    at = on_map(data, np.array([60.25, 61.25, 60.5, 60.25]), np.array([-179.75, 179.75, 179.75, 0.0]))
    np.testing.assert_array_equal(at, [5.0, 0.0, np.nan, np.nan])


def test_seasons_are_those_of_the_months() -> None:
    names = [SEASONS[i] for i in SEASON_OF_MONTH]
    assert names == ["DJF", "DJF", "MAM", "MAM", "MAM", "JJA", "JJA", "JJA", "SON", "SON", "SON", "DJF"]


def read(folder: Path, how: Patterns = RELATIVE) -> tuple[np.ndarray, np.ndarray, int]:
    return read_patterns(
        [folder / n for n in how.files], how, np.array([60.25, 61.25]), np.array([-0.25, 0.25])
    )


def test_patterns_at_cells_across_greenwich(tmp_path: Path) -> None:
    world.write_patterns(tmp_path / "patterns.nc")
    tas, pr, limited = read(tmp_path)
    expected = world.pattern(np.arange(12)[:, None], np.array([60.25, 61.25]))
    np.testing.assert_allclose(tas, expected, rtol=1e-12)
    np.testing.assert_allclose(pr[[0, 4, 6, 9, 11], 0], [0.1, 0.05, -0.05, 0.2, 0.1])
    assert limited == 0


def test_the_mean_of_models_and_limited_ratios(tmp_path: Path) -> None:
    world.write_patterns(tmp_path / "patterns.nc")
    world.write_patterns(tmp_path / "other.nc", scale=3.0)
    both = Patterns(files=("patterns.nc", "other.nc"))
    tas, pr, limited = read(tmp_path, both)
    np.testing.assert_allclose(tas, 2 * world.pattern(np.arange(12)[:, None], np.array([60.25, 61.25])))
    # the second model's autumn is 0.6 K-1, limited to 0.3, in two cells
    np.testing.assert_allclose(pr[[0, 9], 0], [0.5 * (0.1 + 0.3), 0.5 * (0.2 + 0.3)])
    assert limited == 2
    additive = read(tmp_path, Patterns(files=("patterns.nc", "other.nc"), precipitation="additive"))
    np.testing.assert_allclose(additive[1][[0, 6, 9], 1], [8.0, -4.0, 16.0])
    assert additive[2] == 0


def test_units_are_converted(tmp_path: Path) -> None:
    world.write_patterns(tmp_path / "patterns.nc", units="K/K")
    with xr.open_dataset(tmp_path / "patterns.nc") as ds:
        held = ds.load()
    held["pr_pattern_season"] /= 10
    held["pr_pattern_season"].attrs["units"] = "cm month-1 K-1"
    held.to_netcdf(tmp_path / "centimetres.nc")
    for how in ("relative", "additive"):
        one, other = (
            read(tmp_path, Patterns.model_validate({"files": [name], "precipitation": how}))
            for name in ("patterns.nc", "centimetres.nc")
        )
        np.testing.assert_allclose(one[1], other[1], rtol=1e-12)


def test_bad_patterns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "patterns.nc"
    world.write_patterns(path, units="degC")
    with pytest.raises(
        UnitsError, match=r"patterns.nc: 'tas_pattern' is in 'degC', which cannot become 'K K-1'"
    ):
        read(tmp_path)
    world.write_patterns(path, months=11)
    with pytest.raises(InputError, match=r"tas_pattern has months .*10, 11\]; expected 1..12"):
        read(tmp_path)
    world.write_patterns(path)
    with xr.open_dataset(path) as ds:
        held = ds.load()
    del held["pr_clim"].attrs["units"]
    held.to_netcdf(tmp_path / "unitless.nc")
    with pytest.raises(UnitsError, match=r"unitless.nc: 'pr_clim' has no units"):
        read(tmp_path, Patterns(files=("unitless.nc",)))
    held["pr_clim"].attrs["units"] = "mm month-1"
    held.isel(season=slice(3)).to_netcdf(tmp_path / "three.nc")
    with pytest.raises(InputError, match=r"has seasons \['DJF', 'MAM', 'JJA'\]; expected DJF, MAM, JJA, SON"):
        read(tmp_path, Patterns(files=("three.nc",)))
    held.drop_vars("pr_clim").to_netcdf(tmp_path / "without.nc")
    with pytest.raises(InputError, match="expected pr_clim by month, lat and lon"):
        read(tmp_path, Patterns(files=("without.nc",)))
    held["tas_pattern"][3, 2, 1] = np.nan
    held.to_netcdf(tmp_path / "hole.nc")
    with pytest.raises(InputError, match="tas_pattern has missing values"):
        read(tmp_path, Patterns(files=("hole.nc",)))
    held.isel(lon=slice(40)).drop_vars("tas_pattern").assign(
        tas_pattern=held["tas_pattern"].fillna(0).isel(lon=slice(40))
    ).to_netcdf(tmp_path / "part.nc")
    with pytest.raises(GridError, match=r"part.nc: longitudes run 1.25..98.75"):
        read(tmp_path, Patterns(files=("part.nc",)))


def test_bad_climatologies_are_named(tmp_path: Path) -> None:
    path, lat, lon = tmp_path / "climatology.nc", np.array([60.25]), np.array([-0.25])
    world.write_climatology(path, {"tas": None})
    with pytest.raises(UnitsError, match=r"climatology.nc: 'tas' has no units"):
        read_climatology(path, lat, lon)
    world.write_climatology(path, {"pr": "mm"})
    with pytest.raises(UnitsError, match=r"climatology.nc: 'pr' is in 'mm'"):
        read_climatology(path, lat, lon)
    world.write_climatology(path, months=10)
    with pytest.raises(InputError, match="tas has months"):
        read_climatology(path, lat, lon)


def test_the_climatology_is_that_of_yakutsk(shared: Path) -> None:
    path = shared / "data/climatology-biome4-05deg/biome4_climatology_40-90N_0.5deg.nc"
    tas, pr, clt = read_climatology(path, np.array([62.25]), np.array([129.75]))
    assert (tas[0, 0], tas[6, 0], pr[:, 0].sum()) == pytest.approx((-43.2, 18.5, 244.0))
    assert clt[0, 0] == pytest.approx(0.667)
