"""Observed permafrost: the real files, and made ones that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest
import xarray as xr

from talik.errors import InputError, UnitsError
from talik.regions import grid_of, land_fraction
from talik.sources.permafrost_maps import (
    blocks_of,
    read_active_layers,
    read_ground_temperatures,
    read_permafrost_grid,
)

FOLDER = Path("data") / "permafrost-cci-validation"


def test_the_grid_has_the_values_its_readme_checks(shared: Path) -> None:
    """Yakutsk 99.7 % and 1.00 m, Prudhoe 100 % and 0.36 m, Toolik 100 % and 0.61 m."""
    grid = read_permafrost_grid(shared / FOLDER / "permafrost_cci_grid_0.5deg.nc")
    assert grid["lat"].to_index().is_monotonic_increasing
    assert int(grid["permafrostFraction"].notnull().sum()) == 21_840
    for lat, lon, share, thickness in (
        (62.03, 129.73, 0.997, 1.00),
        (70.3, -148.6, 1.0, 0.36),
        (68.63, -149.6, 1.0, 0.61),
    ):
        cell = grid.sel(lat=lat, lon=lon, method="nearest")
        np.testing.assert_allclose(cell["permafrostFraction"], share, atol=0.0006)
        np.testing.assert_allclose(cell["activeLayerThickness"], thickness, atol=0.006)


def test_area_is_that_of_the_13_9_km_grid_and_near_what_is_published(shared: Path) -> None:
    """Blocks with their true area (pyproj) against half-degree cells; land with at least half is about 14.6e6 km2."""
    blocks = xr.open_dataset(shared / FOLDER / "permafrost_cci_grid_13.9km.nc").load()
    scale = pyproj.Proj("+proj=stere +lat_0=90 +lat_ts=71 +datum=WGS84").get_factors(
        blocks["lon"].values.astype(float), blocks["lat"].values.astype(float)
    )
    side = float(blocks["x"][1] - blocks["x"][0])
    each = side**2 / scale.areal_scale * 1e-12
    north = blocks["lat"].values > 25.0
    true = float(np.nansum(each * north * blocks["permafrost_fraction_median"].values / 100.0))
    grid = read_permafrost_grid(shared / FOLDER / "permafrost_cci_grid_0.5deg.nc")
    cell = grid_of(grid).cell_area() * 1e-12
    np.testing.assert_allclose(float((cell * grid["permafrostFraction"]).sum()), true, rtol=0.002)
    land = cell * land_fraction(grid_of(grid)) * (grid["lat"] > 30.0)
    np.testing.assert_allclose(float((land * (grid["permafrostFraction"] >= 0.5)).sum()), 14.6, atol=0.1)


def test_fractions_are_the_means_of_all_13_9_km_blocks_of_a_cell(shared: Path) -> None:
    """Binned by the positions of the blocks in their own file, which are float32: six blocks on edges go elsewhere."""
    blocks = xr.open_dataset(shared / FOLDER / "permafrost_cci_grid_13.9km.nc").load()
    row = np.floor((blocks["lat"].values.astype(float) - 25.0) / 0.5).astype(int)
    column = np.floor((blocks["lon"].values.astype(float) + 180.0) / 0.5).astype(int) % 720
    inside = row >= 0
    place = np.ravel_multi_index((row[inside], column[inside]), (130, 720))
    frozen = np.nan_to_num(blocks["permafrost_fraction_median"].values[inside]) / 100.0
    number = np.bincount(place, minlength=130 * 720)
    slow = np.bincount(place, frozen, minlength=130 * 720) / np.maximum(number, 1)
    grid = read_permafrost_grid(shared / FOLDER / "permafrost_cci_grid_0.5deg.nc")
    counted = blocks_of(grid["lat"].values, grid["lon"].values).ravel()
    same = counted == number
    assert (~same).sum() <= 6
    np.testing.assert_allclose(
        np.nan_to_num(grid["permafrostFraction"].values).ravel()[same], slow[same], atol=1e-6
    )


def test_thaw_at_sites_is_that_of_a_plain_loop_and_every_row_is_accounted_for(shared: Path) -> None:
    path = shared / FOLDER / "alt_insitu_1997-2019.csv.gz"
    sites = read_active_layers(path)
    raw = pd.read_csv(path)
    slow: dict[str, dict[int, list[float]]] = {}
    for row in raw.itertuples():
        if 2006 <= row.year <= 2015 and 5 <= row.alt_cm <= 300:
            slow.setdefault(row.code.strip(), {}).setdefault(row.year, []).append(row.alt_cm / 100)
    means = {code: np.mean([np.mean(v) for v in years.values()]) for code, years in slow.items()}
    assert dict(zip(sites.table["code"], sites.table["value"], strict=True)) == pytest.approx(
        means, rel=1e-12
    )
    kept = ((raw.year >= 2006) & (raw.year <= 2015) & (raw.alt_cm >= 5) & (raw.alt_cm <= 300)).sum()
    assert sites.read == 2688 == sum(sites.left_out.values()) + kept
    assert (
        sites.left_out["thicker than 300 cm"]
        == ((raw.year >= 2006) & (raw.year <= 2015) & (raw.alt_cm > 300)).sum()
    )
    assert sites.units == "m"


def test_the_slip_of_the_pen_and_the_boreholes_are_left_out(shared: Path) -> None:
    path = shared / FOLDER / "alt_calm_ras_1990-2019.csv.gz"
    sites = read_active_layers(path, (1990, 2019))
    assert sites.left_out["thinner than 5 cm"] == 18
    assert sites.left_out["thicker than 300 cm"] == 258
    assert sites.table["value"].between(0.05, 3.0).all()
    deep = read_active_layers(path, (1990, 2019), deepest_m=20.0)
    assert deep.table["value"].max() > 9.0


def test_ground_temperatures_near_20_cm(shared: Path) -> None:
    path = shared / FOLDER / "magt_insitu_depths_1980-2018.parquet"
    stations = read_ground_temperatures(path)
    raw = pd.read_parquet(path)
    chosen = raw[raw.year.between(2006, 2015) & raw.depth_cm.between(15, 25) & raw.magt_degC.notna()]
    assert set(stations.table["code"]) == set(chosen.cci_id.astype(str))
    assert stations.read - sum(stations.left_out.values()) == len(chosen)
    one = str(chosen.cci_id.iloc[0])
    slow = chosen[chosen.cci_id.astype(str) == one].groupby("year").magt_degC.mean().mean()
    assert float(stations.table.set_index("code").loc[one, "value"]) == pytest.approx(slow)


def grid_file(path: Path, **changes: xr.DataArray) -> Path:
    axes = {"lat": [60.75, 60.25], "lon": [10.25, 10.75]}
    ds = xr.Dataset(
        {
            "permafrost_fraction_median": (("lat", "lon"), [[100.0, 50.0], [25.0, np.nan]], {"units": "%"}),
            "n_permafrost": (("lat", "lon"), [[99, 99], [99, 0]]),
            "active_layer_thickness_median": (("lat", "lon"), [[1.0, 2.0], [3.0, np.nan]], {"units": "m"}),
        },
        axes,
    ).assign(changes)
    ds.to_netcdf(path, engine="netcdf4")
    return path


def test_a_grid_that_descends_is_turned(tmp_path: Path) -> None:
    found = read_permafrost_grid(grid_file(tmp_path / "a.nc"))
    np.testing.assert_array_equal(found["permafrostFraction"], [[0.25, np.nan], [1.0, 0.5]])


def test_blocks_without_permafrost_count_as_zero(tmp_path: Path) -> None:
    """A cell of 0.5 degrees at 60 N holds eight to ten blocks: 55.8 km x 27.9 km over (13.9 km / 0.966)^2."""
    count = blocks_of(np.array([60.25, 60.75]), np.array([10.25, 10.75]))
    assert ((count >= 6) & (count <= 10)).all()
    half = xr.DataArray(count[::-1] / 2, dims=("lat", "lon"))
    found = read_permafrost_grid(grid_file(tmp_path / "a.nc", n_permafrost=half))
    np.testing.assert_allclose(found["permafrostFraction"], [[0.125, np.nan], [0.5, 0.25]])


def test_bad_grids_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_permafrost_grid(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(InputError, match="not readable as NetCDF"):
        read_permafrost_grid(tmp_path / "text.nc")
    good = xr.open_dataset(grid_file(tmp_path / "good.nc")).load()
    fraction = good["permafrost_fraction_median"]
    with pytest.raises(UnitsError, match="'permafrost_fraction_median' has units '1'"):
        read_permafrost_grid(
            grid_file(tmp_path / "b.nc", permafrost_fraction_median=fraction.assign_attrs(units="1"))
        )
    high = (fraction * 3).assign_attrs(units="%")
    with pytest.raises(InputError, match=r"outside 0\.\.100 percent in 2 cells"):
        read_permafrost_grid(grid_file(tmp_path / "c.nc", permafrost_fraction_median=high))
    good.drop_vars("active_layer_thickness_median").to_netcdf(tmp_path / "d.nc", engine="netcdf4")
    with pytest.raises(InputError, match="no variable 'active_layer_thickness_median'"):
        read_permafrost_grid(tmp_path / "d.nc")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("code,year,lat,lon\nA,2010,60,10\n", "no column alt_cm or alt_m"),
        ("code,alt_cm,lat,lon\nA,50,60,10\n", "no column year"),
        ("code,year,alt_cm,lat,lon\nA,2010,50,95,10\n", "1 rows have a latitude beyond 90"),
        (
            "code,year,alt_cm,lat,lon\nA,1999,50,60,10\nB,2010,900,60,10\n",
            "none of 2 rows is left: .*1 outside 2006-2015",
        ),
    ],
)
def test_bad_site_tables_are_told(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "sites.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        read_active_layers(tmp_path / "sites.csv")


def test_years_weigh_the_same_however_many_rows_they_have(tmp_path: Path) -> None:
    text = (
        "code,year,alt_m,lat,lon\nA,2010,0.4,60,190\nA,2010,0.6,60,190\nA,2011,0.8,60,190\nA,2011,,60,190\n"
    )
    (tmp_path / "sites.csv").write_text(text)
    found = read_active_layers(tmp_path / "sites.csv")
    row = found.table.iloc[0]
    assert (row["value"], row["years"], row["lon"]) == (pytest.approx(0.65), 2, -170.0)
    assert found.left_out["no thickness or place"] == 1


def test_a_temperature_table_needs_its_depth(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("cci_id,year,magt_degC,latitude,longitude\n1,2010,-3,60,10\n")
    with pytest.raises(InputError, match="no column depth_cm"):
        read_ground_temperatures(tmp_path / "t.csv")
