"""Static input of the process model, against the files and numbers published with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.regions.grid import LatLonGrid
from talik.sources.climate import read_climate
from talik.sources.land_static import read_static


@pytest.fixture(scope="module")
def tem(shared: Path) -> Path:
    return shared / "data" / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"


@pytest.fixture(scope="module")
def toolik(shared: Path) -> Path:
    return shared / "data" / "dvmdostem-toolik-10x10"


def test_tem_static(tem: Path) -> None:
    static = read_static(tem)
    assert static.sizes["cell"] == 5281  # stated with the data
    classes, counts = np.unique(static["vegetation"], return_counts=True)
    assert dict(zip(classes.tolist(), counts.tolist(), strict=True)) == {
        1: 397, 2: 683, 3: 1731, 4: 638, 5: 13, 6: 1684, 7: 135,
    }  # fmt: skip
    assert static["vegetation"].dtype == np.int64
    assert static["area"].sum().item() == pytest.approx(6.27e12, rel=1e-3)  # 6.27 million km2
    assert static["area"].attrs["units"] == "m2"
    np.testing.assert_allclose(static["sand"] + static["silt"] + static["clay"], 100, atol=1)
    assert "1919 of 7200 cells lack a variable and are left out" in static.attrs["notes"]
    grid = LatLonGrid(tuple(np.arange(65, 70.5, 0.5)), tuple(np.arange(-180, 180.5, 0.5)))
    rows = np.round((static["lat"].values - 65.25) / 0.5).astype(int)
    np.testing.assert_allclose(static["area"], grid.row_area_m2[rows], rtol=0.01)


def test_a_better_soil_map_before_the_rest(shared: Path, tem: Path) -> None:
    hwsd = shared / "data" / "hwsd-topsoil-05deg" / "hwsd_topsoil_40-90N_0.5deg.nc"
    assert read_static(hwsd).sizes["cell"] == 31682  # cells with soil, stated with the data
    alone = read_static(tem)
    cells = [(68.25, 30.25), (65.25, -179.75), (68.75, -156.25)]
    both = read_static([hwsd, tem], cells=cells)
    with netCDF4.Dataset(hwsd) as soil:
        for k, (lat, lon) in enumerate(cells):
            j, i = int((lat - 40.25) * 2), int((lon + 179.75) * 2)
            assert both["sand"][k].item() == pytest.approx(float(soil["sand"][j, i]))
            there = (alone["lat"] == lat) & (alone["lon"] == lon)
            assert both["elevation"][k].item() == alone["elevation"][there].item()
            assert both["vegetation"][k].item() == alone["vegetation"][there].item()
    assert both["sand"].attrs["source_files"] == hwsd.name
    assert both["elevation"].attrs["source_files"] == tem.name
    with pytest.raises(InputError, match=r"gives nothing new"):
        read_static([tem, hwsd], cells=cells)


def test_dvmdostem_static(toolik: Path) -> None:
    files = [toolik / f"{n}.nc" for n in ("run-mask", "vegetation", "soil-texture", "topo")]
    types = {4: 2, 5: 3}
    static = read_static(files, vegetation_types=types)
    with (
        netCDF4.Dataset(files[0]) as mask,
        netCDF4.Dataset(files[1]) as veg,
        netCDF4.Dataset(files[3]) as topo,
    ):
        run = mask["run"][:] == 1
        assert static.sizes["cell"] == int(run.sum()) == 2
        np.testing.assert_array_equal(static["elevation"], topo["elevation"][:][run])
        np.testing.assert_array_equal(static["vegetation"], [types[c] for c in veg["veg_class"][:][run]])
    climate = read_climate(toolik / "historic-climate.nc", period=(1901, 1901))
    cells = list(zip(climate["lat"].values, climate["lon"].values, strict=True))
    every = read_static(files[1:], cells=cells, vegetation_types=types)
    with netCDF4.Dataset(files[3]) as topo:
        np.testing.assert_array_equal(every["elevation"], topo["elevation"][:].ravel())
    with pytest.raises(
        ConfigError, match=r"community codes of DVM-DOS-TEM \(4, 5\).*vegetation_types=\{5: 3\}"
    ):
        read_static(files)
    with pytest.raises(ConfigError, match=r"veg_class 5 has no TEM type in vegetation_types; add it"):
        read_static(files, vegetation_types={4: 2})
    with pytest.raises(InputError, match=r"run-mask.nc: a mask alone"):
        read_static(files[0])


def made(
    path: Path, lat: Sequence[float] = (65.25, 65.75), **values: tuple[str | None, float | Sequence[float]]
) -> Path:
    """A file of two rows and two columns; each variable is units and values."""
    with netCDF4.Dataset(path, "w") as file:
        for name, axis in (("lat", lat), ("lon", (200.25, 200.75))):
            file.createDimension(name, 2)
            file.createVariable(name, "f8", (name,))[:] = axis
        for name, (units, held) in values.items():
            data = file.createVariable(name, "f8", ("lat", "lon"), fill_value=-9999.0)
            if units is not None:
                data.units = units
            data[:] = np.broadcast_to(np.reshape(held, (-1, 2)) if np.ndim(held) else held, (2, 2))
    return path


def test_files_of_one_curvilinear_grid_go_point_by_point(tmp_path: Path) -> None:
    rows, columns = np.meshgrid(np.arange(3), np.arange(4), indexing="ij")
    lat, lon = 68.6 + 0.009 * rows, -149.6 + 0.0245 * columns
    sand = 10.0 + 4 * rows + columns
    for name, shift in (("vegetation", 0.0), ("soil", 0.6 * 0.0245)):
        with netCDF4.Dataset(tmp_path / f"{name}.nc", "w") as file:
            file.createDimension("Y", 3)
            file.createDimension("X", 4)
            held = {"lat": lat, "lon": lon + shift}
            held |= {"veg_class": rows + 1} if name == "vegetation" else {}
            held |= (
                {"pct_sand": sand, "pct_silt": 60 - sand, "pct_clay": 40 + 0 * sand} if name == "soil" else {}
            )
            for key, values in held.items():
                file.createVariable(key, "f8", ("Y", "X"))[:] = values
    files = [tmp_path / "vegetation.nc", tmp_path / "soil.nc"]
    static = read_static(
        files, vegetation_types={1: 2, 2: 3, 3: 4}, cells=[(68.609, -149.5755), (68.618, -149.551)]
    )
    np.testing.assert_array_equal(static["sand"], [15.0, 20.0])


def test_shifted_axes_go_by_position(tmp_path: Path) -> None:
    land = made(tmp_path / "a.nc", (65.25, 65.75), elevation=("m", [1, 2, 3, 4]))
    soil = {"sand": ("%", [40, 40, 50, 50]), "silt": ("%", [40, 40, 30, 30]), "clay": ("%", 20.0)}
    further_south = made(tmp_path / "b.nc", (64.75, 65.25), **soil)
    static = read_static([land, further_south], cells=[(65.25, -159.75)])
    assert (static["elevation"].item(), static["sand"].item()) == (1.0, 50.0)


def test_texture_must_sum_to_a_hundred(tmp_path: Path) -> None:
    sand = [40.0, 40.5, 42.0, 30.0]
    path = made(tmp_path / "a.nc", sand=("percent", sand), silt=("percent", 35.0), clay=("percent", 25.0))
    with pytest.raises(
        InputError,
        match=r"sand \+ silt \+ clay: 2 of 4 cells, first \(65.75, -159.75\) 102, \(65.75, -159.25\) 90",
    ):
        read_static(path)
    good = read_static(path, cells=[(65.25, -159.75), (65.25, -159.25)])
    np.testing.assert_array_equal(good["sand"], [40.0, 40.5])
    assert "lon 0..360 turned to -180..180" in good.attrs["notes"]


def test_fractions_become_percent_and_turned_grids_the_same(tmp_path: Path) -> None:
    sand = [0.4, 0.3, 0.2, 0.1]
    rest = [1 - s - 0.25 for s in sand]
    path = made(tmp_path / "a.nc", sand=("1", sand), silt=("1", rest), clay=("1", 0.25))
    static = read_static(path)
    np.testing.assert_allclose(static["sand"], [40, 30, 20, 10])
    turned = made(
        tmp_path / "b.nc",
        (65.75, 65.25),
        sand=("1", sand[2:] + sand[:2]),
        silt=("1", rest[2:] + rest[:2]),
        clay=("1", 0.25),
    )
    again = read_static(turned)
    np.testing.assert_array_equal(again["sand"], static["sand"])
    np.testing.assert_array_equal(again["lat"], static["lat"])


def test_what_is_wrong_is_listed(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.nc",
        elevation=("m", [10, 20, 1e5, 5]),
        temveg=("1", [1, 36, 2, 3]),
        cell_area=("km2", 0.0),
    )
    with pytest.raises(
        InputError, match=r"elevation \(a.nc\): 1 of 4(.|\n)*TEM types 1..35(.|\n)*area \(a.nc\): 4 of 4"
    ):
        read_static(path)
    for file, error, match in (
        (made(tmp_path / "b.nc", sand=(None, 40.0)), UnitsError, "b.nc: 'sand' has no units"),
        (
            made(tmp_path / "c.nc", sand=("percent", 40.0)),
            InputError,
            "some of sand, silt and clay are missing",
        ),
        (made(tmp_path / "d.nc", elevation=("m", -9999.0)), InputError, "no cell has all of elevation"),
        (
            made(tmp_path / "e.nc", albedo=("1", 0.2)),
            InputError,
            "e.nc: gives nothing new; expected one of sand",
        ),
    ):
        with pytest.raises(error, match=match):
            read_static(file)
    hole = made(tmp_path / "f.nc", elevation=("m", [10, -9999.0, 5, 5]))
    assert read_static(hole).sizes["cell"] == 3
    with pytest.raises(InputError, match=r"elevation \(f.nc\): 1 of 2 cells, first \(65.25, -159.25\) nan"):
        read_static(hole, cells=[(65.25, -159.75), (65.25, -159.25)])
    with pytest.raises(GridError, match=r"1 of 1 cells lie outside the grid"):
        read_static(hole, cells=[(50.0, 10.0)])
