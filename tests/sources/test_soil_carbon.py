"""Soil carbon from maps: NCSCD, TEM static data, and CF files of layers; made to the published layouts, and real."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik.errors import ConfigError, GridError, InputError, UnitsError
from talik.provenance import hash_file
from talik.sources.land_static import read_static
from talik.sources.soil_carbon import read_soil_carbon

CELLS = [(65.25, -159.75), (65.25, -159.25), (65.75, -159.75), (65.75, -159.25)]
"""The cells of the files that are made here, south to north, west to east."""
MAPS = {30: [100, 120, 80, 0], 100: [300, 250, 200, 0], 200: [200, 180, 150, 0], 300: [150, 100, 90, 0]}
"""hg m-2; the last cell has no data."""
STOCKS = np.array([[10, 12, 8, np.nan], [20, 13, 12, np.nan], [20, 18, 15, np.nan], [15, 10, 9, np.nan]])
"""The same by interval, kg m-2."""


def ncscd(
    folder: Path,
    values: Mapping[int, Sequence[float]] = MAPS,
    *,
    descending: bool = False,
    units: str | None = "hg C m-2",
) -> list[Path]:
    """NCSCD maps of two rows and two columns, longitudes 0..360, float32."""
    folder.mkdir(exist_ok=True)
    paths = []
    for depth, held in values.items():
        path = folder / f"NCSCDv2_Circumpolar_WGS84_SOCC{depth}_05deg.nc"
        with netCDF4.Dataset(path, "w") as file:
            lat, grid = np.array([65.25, 65.75]), np.reshape(held, (2, 2))
            if descending:
                lat, grid = lat[::-1], grid[::-1]
            for name, axis in (("lat", lat), ("lon", np.array([200.25, 200.75]))):
                file.createDimension(name, 2)
                file.createVariable(name, "f8", (name,))[:] = axis
            data = file.createVariable("NCSCDv2", "f4", ("lat", "lon"))
            if units is not None:
                data.units = units
            data[:] = grid
        paths.append(path)
    return paths


def layered(
    path: Path,
    values: npt.ArrayLike,
    edges: Sequence[float] = (0, 0.3, 1, 2, 3),
    *,
    name: str = "soil_carbon",
    units: str | None = "kg m-2",
    depth_units: str | None = "m",
    upward: bool = False,
    bounds: npt.ArrayLike | None = None,
    grid: bool = True,
) -> Path:
    """A CF file of values (layer, cell) in layers between edges, on a grid of two by two or a list of cells."""
    held = np.asarray(values, dtype=np.float64)
    both = np.stack([edges[:-1], edges[1:]], axis=1) if bounds is None else np.asarray(bounds)
    if upward:
        held, both = held[::-1], both[::-1]
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("depth", held.shape[0])
        file.createDimension("bnds", 2)
        depth = file.createVariable("depth", "f8", ("depth",))
        depth[:] = both.mean(axis=1)
        depth.bounds = "depth_bnds"
        if depth_units is not None:
            depth.units = depth_units
        file.createVariable("depth_bnds", "f4", ("depth", "bnds"))[:] = both
        if grid:
            places: tuple[str, ...] = ("lat", "lon")
            held = held.reshape(-1, 2, 2)
            for axis, at in (("lat", (65.25, 65.75)), ("lon", (-159.75, -159.25))):
                file.createDimension(axis, 2)
                file.createVariable(axis, "f8", (axis,))[:] = at
        else:
            places = ("cell",)
            file.createDimension("cell", held.shape[1])
            for i, axis in enumerate(("lat", "lon")):
                file.createVariable(axis, "f8", ("cell",))[:] = np.array(CELLS)[: held.shape[1], i]
        data = file.createVariable(name, "f8", ("depth", *places), fill_value=-9999.0)
        if units is not None:
            data.units = units
        data[:] = np.ma.masked_invalid(held)
    return path


def test_ncscd(tmp_path: Path) -> None:
    paths = ncscd(tmp_path)
    soil = read_soil_carbon(paths, cells=CELLS)
    assert soil["carbon"].dims == ("interval", "cell")
    assert soil["carbon"].dtype == np.float64
    assert soil["carbon"].attrs["units"] == "kg m-2"
    np.testing.assert_allclose(soil["carbon"], STOCKS)
    np.testing.assert_array_equal(soil["top"], [0, 0.3, 1, 2])
    np.testing.assert_array_equal(soil["bottom"], [0.3, 1, 2, 3])
    np.testing.assert_array_equal(soil["lon"], [-159.75, -159.25, -159.75, -159.25])
    assert "nitrogen" not in soil
    assert "lon 0..360 turned to -180..180" in soil.attrs["notes"]
    assert any("NCSCDv2 is not observed in 1 of 4 cells" in n for n in soil.attrs["notes"])
    assert json.loads(soil.attrs["talik_inputs"]) == {p.name: hash_file(p) for p in paths}
    for other in (
        read_soil_carbon(ncscd(tmp_path / "turned", descending=True)[::-1], cells=CELLS),
        read_soil_carbon(ncscd(tmp_path / "plain", units="hg/m2"), cells=CELLS),
        read_soil_carbon(ncscd(tmp_path / "none", units=None), cells=CELLS),
    ):
        np.testing.assert_array_equal(other["carbon"], soil["carbon"])
    assert (
        "NCSCDv2_Circumpolar_WGS84_SOCC30_05deg.nc states no units: taken as published, hg m-2 of carbon"
        in (other.attrs["notes"])
    )
    chosen = read_soil_carbon(paths, cells=[CELLS[2], CELLS[0], CELLS[0]])
    np.testing.assert_allclose(chosen["carbon"], STOCKS[:, [2, 0, 0]])


def test_ncscd_no_data_and_gaps(tmp_path: Path) -> None:
    gappy = {**MAPS, 300: [0.0005, 100, -32768, -32768], 200: [200, 180, 150, -32768]}
    paths = ncscd(tmp_path, gappy)
    soil = read_soil_carbon(paths, cells=CELLS)
    expected = STOCKS.copy()
    expected[:, [0, 2]] = np.nan
    np.testing.assert_allclose(soil["carbon"], expected)
    match = r"lacks some depths in 2 of 4 cells, first \(65.25, -159.75\), \(65.75, -159.75\)"
    assert any(match.replace("\\", "") in n for n in soil.attrs["notes"])
    with pytest.raises(
        InputError,
        match=rf"SOCC30_05deg.nc and SOCC100, SOCC200, SOCC300: NCSCDv2 {match}; expected all of 0-3 m",
    ):
        read_soil_carbon(paths, cells=CELLS, gaps="error")
    nothing = read_soil_carbon(ncscd(tmp_path, dict.fromkeys(MAPS, [0.0] * 4)), cells=CELLS, gaps="error")
    assert np.isnan(nothing["carbon"]).all()
    assert any("observed in none of 4 cells" in n for n in nothing.attrs["notes"])


def test_ncscd_that_is_wrong(tmp_path: Path) -> None:
    paths = ncscd(tmp_path)
    with pytest.raises(InputError, match=r"NCSCD without SOCC30, SOCC300; expected all four"):
        read_soil_carbon(paths[1:3], cells=CELLS)
    other = tmp_path / "other"
    other.mkdir()
    twice = paths[0].rename(other / paths[0].name)
    paths = ncscd(tmp_path)
    with pytest.raises(InputError, match=r"SOCC30 is given twice, also by"):
        read_soil_carbon([*paths, twice], cells=CELLS)
    with pytest.raises(InputError, match=r"soil.nc: the name of an NCSCD file says its depth"):
        read_soil_carbon(twice.rename(other / "soil.nc"), cells=CELLS)
    with pytest.raises(UnitsError, match=r"SOCC30_05deg.nc: .*which cannot become 'kg m-2'"):
        read_soil_carbon(ncscd(tmp_path / "units", units="percent"), cells=CELLS)
    swapped = ncscd(tmp_path / "swapped", {**MAPS, 30: [100, 260, 310, 0]})
    with pytest.raises(
        InputError,
        match=r"SOCC30_05deg.nc: 0-0.3 m has more carbon than 0-1 m in .*SOCC100_05deg.nc in 2 of 4 cells, first "
        r"\(65.25, -159.25\) 26 and 25, \(65.75, -159.75\) 31 and 20 kg m-2",
    ):
        read_soil_carbon(swapped, cells=CELLS)
    thin = read_soil_carbon(ncscd(tmp_path / "thin", {**MAPS, 30: [300, 250, 200, 0]}), cells=CELLS)
    np.testing.assert_array_equal(thin["carbon"][1, :3], 0.0)  # all of the first metre lies in its upper part


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("upward", [True, False])
def test_layers_of_stocks_and_densities(tmp_path: Path, grid: bool, upward: bool) -> None:
    rng = np.random.default_rng(5)
    edges = [0, 0.05, 0.3, 0.6, 1, 1.5, 2, 2.5, 3, 4.0, 5.0]
    density = rng.uniform(0, 40, (10, 4))
    density[9] = np.nan  # below 3 m nothing is needed
    stocks = density * np.diff(edges)[:, None]
    expected = np.array([stocks[:2].sum(0), stocks[2:4].sum(0), stocks[4:6].sum(0), stocks[6:8].sum(0)])
    one = layered(tmp_path / "a.nc", 1000 * stocks, edges, units="g m-2", grid=grid, upward=upward)
    many = {"edges": [100 * e for e in edges], "depth_units": "cm", "grid": grid, "upward": upward}
    two = layered(tmp_path / "b.nc", density, units="kg m-3", **many)  # type: ignore[arg-type]
    for path in (one, two):
        soil = read_soil_carbon(path, cells=CELLS, gaps="error")
        np.testing.assert_allclose(soil["carbon"], expected, rtol=1e-6)  # bounds are float32
    named = layered(tmp_path / "c.nc", density / 12, units="kg m-3", name="soil_nitrogen", **many)  # type: ignore[arg-type]
    with_nitrogen = read_soil_carbon([one, named], cells=CELLS)
    np.testing.assert_allclose(with_nitrogen["nitrogen"], expected / 12, rtol=1e-6)
    assert with_nitrogen["nitrogen"].attrs["source_files"] == "c.nc"
    assert with_nitrogen["carbon"].attrs["source_variable"] == "soil_carbon"
    with pytest.raises(InputError, match=r"b.nc: gives nothing new; expected NCSCDv2 or one of soil_carbon"):
        read_soil_carbon([one, two], cells=CELLS)
    with pytest.raises(InputError, match=r"a.nc: holds carbon, and so do the NCSCD files"):
        read_soil_carbon([one, *ncscd(tmp_path)], cells=CELLS)
    beside = read_soil_carbon([*ncscd(tmp_path), named], cells=CELLS)
    np.testing.assert_allclose(beside["carbon"], STOCKS)
    np.testing.assert_array_equal(beside["nitrogen"], with_nitrogen["nitrogen"])


@given(st.sets(st.integers(1, 34).filter(lambda k: k not in (3, 10, 20, 30)), max_size=8))
def test_any_layers_with_the_edges_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, more: set[int]
) -> None:
    edges = sorted({0, 3, 10, 20, 30, *more})
    path = tmp_path_factory.getbasetemp() / "layers.nc"
    density = np.full((len(edges) - 1, 4), 12.0)
    layered(path, density, [e / 10 for e in edges], units="kg m-3")
    soil = read_soil_carbon(path, cells=CELLS)
    np.testing.assert_allclose(soil["carbon"], np.outer([3.6, 8.4, 12.0, 12.0], np.ones(4)), rtol=1e-6)


def test_zero_in_a_cf_file_is_zero_and_in_tem_data_it_is_none(tmp_path: Path) -> None:
    stocks = np.full((4, 4), 5.0)
    stocks[:, 1] = 0.0
    stocks[3, 2] = 0.0
    plain = read_soil_carbon(layered(tmp_path / "a.nc", stocks), cells=CELLS)
    np.testing.assert_array_equal(plain["carbon"], stocks)
    tem = read_soil_carbon(layered(tmp_path / "b.nc", stocks, name="permafrost_c"), cells=CELLS)
    np.testing.assert_array_equal(tem["carbon"][:, [0, 2, 3]], stocks[:, [0, 2, 3]])
    assert np.isnan(tem["carbon"][:, 1]).all()
    assert "b.nc: 1 of 4 cells hold zero permafrost_c at every depth: no data" in tem.attrs["notes"]


def test_layers_that_are_wrong(tmp_path: Path) -> None:
    ones = np.ones((4, 4))
    below, heavy = ones.copy(), ones.copy()
    below[2, 1], heavy[0, 3] = -3.0, 100.0
    holes = [[0, 0.3], [0.3, 0.9], [1, 2], [2, 3]]
    cases: tuple[tuple[Path, type[Exception], str], ...] = (
        (
            layered(tmp_path / "a.nc", ones, (0, 0.2, 1, 2, 3)),
            InputError,
            r"a.nc: layers of soil_carbon with edges 0, 0.2, 1, 2, 3 m lack an edge at 0.3 m",
        ),
        (layered(tmp_path / "b.nc", ones[:3], (0, 0.3, 1, 2)), InputError, r"lack an edge at 3 m"),
        (layered(tmp_path / "c.nc", ones, (0, 0.3, 1, 2, 3.5)), InputError, r"lack an edge at 3 m"),
        (layered(tmp_path / "d.nc", ones, (0.05, 0.3, 1, 2, 3)), InputError, r"lack an edge at 0 m"),
        (
            layered(tmp_path / "e.nc", ones, bounds=holes),
            InputError,
            r"layers 0.3-0.9 and 1-2 m of soil_carbon do not join",
        ),
        (layered(tmp_path / "f.nc", ones, units=None), UnitsError, r"f.nc: 'soil_carbon' has no units"),
        (layered(tmp_path / "g.nc", ones, units="kg C m-2"), UnitsError, r"name a species"),
        (layered(tmp_path / "h.nc", ones, units="K"), UnitsError, r"h.nc.*Expected kg m-2 .a stock. or kg m-3"),
        (layered(tmp_path / "i.nc", ones, depth_units=None), UnitsError, r"i.nc: 'depth_bnds' has no units"),
        (
            layered(tmp_path / "j.nc", below),
            InputError,
            r"j.nc: soil_carbon: 1 of 4 cells, first \(65.25, -159.25\) 1-2 m -3 kg m-2; expected 0 or more",
        ),
        (
            layered(tmp_path / "k.nc", heavy),
            InputError,
            r"k.nc: soil_carbon: 1 of 4 cells, first \(65.75, -159.25\) 0-0.3 m 333.333 kg m-3; expected at most 300",
        ),
        (layered(tmp_path / "l.nc", ones, name="soil_iron"), InputError, r"l.nc: gives nothing new"),
    )  # fmt: skip
    for path, error, match in cases:
        with pytest.raises(error, match=match):
            read_soil_carbon(path, cells=CELLS)
    unbounded = tmp_path / "m.nc"
    with netCDF4.Dataset(unbounded, "w") as file:
        for name, size in (("depth", 4), ("cell", 1)):
            file.createDimension(name, size)
        for name, at in (("lat", 65.25), ("lon", -159.75)):
            file.createVariable(name, "f8", ("cell",))[:] = at
        file.createVariable("soil_carbon", "f8", ("depth", "cell"))[:] = 1.0
        file.createVariable("soil_nitrogen", "f8", ("cell",))[:] = 1.0
    with pytest.raises(InputError, match=r"m.nc: no depth_bnds; expected top and bottom of every layer"):
        read_soil_carbon(unbounded, cells=CELLS[:1])
    with netCDF4.Dataset(unbounded, "a") as file:
        file.renameVariable("soil_carbon", "other")
    with pytest.raises(InputError, match=r"soil_nitrogen has dimensions \('cell',\); expected depth, cell"):
        read_soil_carbon(unbounded, cells=CELLS[:1])


def test_arguments_that_are_wrong(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.nc", np.ones((4, 4)))
    with pytest.raises(ConfigError, match=r"no soil-carbon files given"):
        read_soil_carbon([], cells=CELLS)
    unknown: Literal["drop", "error"] = "fill"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"gaps is 'fill'; choose 'drop' or 'error'"):
        read_soil_carbon(path, cells=CELLS, gaps=unknown)
    with pytest.raises(ConfigError, match=r"outside is 'fill'; choose 'drop' or 'error'"):
        read_soil_carbon(path, cells=CELLS, outside=unknown)
    with pytest.raises(GridError, match=r"1 of 1 cells lie outside the grid"):
        read_soil_carbon(path, cells=[(50.0, 10.0)])
    with pytest.raises(InputError, match=r"no such file"):
        read_soil_carbon(tmp_path / "b.nc", cells=CELLS)


def test_cells_beyond_a_file_are_not_observed_in_it(tmp_path: Path) -> None:
    path = layered(tmp_path / "a.nc", np.arange(16.0).reshape(4, 4))
    # half a degree east is within a cell of the last column, 66.25 N, 158 W is not
    cells = [CELLS[3], (50.0, 10.0), (65.25, -158.75), (66.25, -158.0)]
    soil = read_soil_carbon(path, cells=cells, outside="drop")
    expected = np.array([3, np.nan, 1, np.nan]) + 4.0 * np.arange(4)[:, None]
    np.testing.assert_array_equal(soil["carbon"], expected)
    assert "a.nc: 2 of 4 cells lie outside its grid: no data" in soil.attrs["notes"]
    assert "a.nc: soil_carbon is not observed in 2 of 4 cells" in soil.attrs["notes"]


def test_the_band_from_65_to_70_north(shared: Path) -> None:
    path = shared / "data" / "tem-65-70n" / "tem_static_65-70N_0.5deg.nc"
    land = read_static(path)
    soil = read_soil_carbon(
        path, cells=list(zip(land["lat"].values, land["lon"].values, strict=True)), gaps="error"
    )
    held = {name: (soil[name] * land["area"]).sum().item() / 1e12 for name in ("carbon", "nitrogen")}
    assert held["carbon"] == pytest.approx(247, abs=0.5)  # Pg, stated with the data
    assert held["nitrogen"] == pytest.approx(16.3, abs=0.05)
    with netCDF4.Dataset(path) as file:
        density = file["permafrost_c"][:]
        for k in range(0, 5281, 211):
            j, i = int((land["lat"][k] - 65.25) * 2), int((land["lon"][k] + 179.75) * 2)
            d = density[:, j, i].astype(float)
            expected = [0.3 * d[0], 0.2 * d[1] + 0.5 * d[2], d[3], d[4]] if d.any() else [np.nan] * 4
            np.testing.assert_allclose(soil["carbon"][:, k], expected, rtol=1e-6)
