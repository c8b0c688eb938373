"""What is frozen in the reference year: soil carbon of files, profiles and communities, and bad soil carbon."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.tem.inputs import Columns, parameters_of, read_columns, read_run
from talik.tem.permafrost.layers import carbon_layers
from talik.tem.permafrost.setup import (
    freeze,
    permafrost_parameters,
    read_stock,
    stock_of,
    thawed_by,
    write_stock,
)
from talik.tem.permafrost.stock import Stock
from talik.tem.run import check_reference_year
from talik.tem.section import files_of
from talik.tem.settings import Files, PermafrostCarbon, TemSettings
from talik.workflow.project import load_project

_spec = importlib.util.spec_from_file_location("tem_scenarios", Path(__file__).with_name("scenarios.py"))
scenarios = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenarios)
world = scenarios.world

LAYERS_M = np.diff(
    [0.0, *(k / 10 for k in range(1, 11)), *(1 + k / 5 for k in range(1, 11)), 3.5, 4, 4.5, 5, 6]
)
PROFILE = (6.0, 14.0, 20.0, 20.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenarios.files(tmp_path_factory.mktemp("setup"))


def read(folder: Path, **changes: Any) -> tuple[TemSettings, Files, Columns]:
    project = load_project(scenarios.project(folder, "p", **changes))
    settings = project.sections["tem"]
    assert isinstance(settings, TemSettings)
    files = files_of(project, settings)
    return settings, files, read_columns(settings, files.paths("land"))


def stocked(folder: Path, **permafrost: Any) -> tuple[Columns, Stock]:
    """The stock of all columns for a section permafrost."""
    section = {"reference_year": 2005, "soil_carbon": {"files": ["carbon.nc"]}, **permafrost}
    settings, files, columns = read(folder, permafrost=section)
    assert settings.permafrost is not None
    return columns, stock_of(columns, settings.permafrost, files.paths("soil_carbon"))


def test_columns_have_the_carbon_of_their_cell_or_the_mean_of_their_community(folder: Path) -> None:
    columns, stock = stocked(folder)
    gap = int(np.flatnonzero((columns.lat == 66.25) & (columns.lon == -149.75))[0])
    unknown = columns.cell == gap
    assert stock.source.tolist() == np.where(unknown, "community", "observed").tolist()
    row = ((columns.lat - 66.25) / 0.5)[columns.cell].round().astype(int)
    east = ((columns.lon + 150.75) / 0.5)[columns.cell].round().astype(int)
    total = 64.0 * (1 + 0.1 * (3 * row + east))
    np.testing.assert_allclose(stock.carbon[:20, ~unknown].sum(axis=0), 1000 * total[~unknown], rtol=1e-12)
    names = np.asarray(columns.community)
    others = ~unknown & (names == names[unknown][0])
    mean = np.average(total[others], weights=columns.share[others])
    assert stock.carbon[:20, unknown].sum() == pytest.approx(
        1000 * mean, rel=0.05
    )  # one curve through the mean
    np.testing.assert_allclose(stock.carbon[:15] / stock.nitrogen[:15], 11.0)
    np.testing.assert_allclose(stock.carbon[20:] / stock.nitrogen[20:], 8.0)


def test_gaps_are_counted_or_an_error(folder: Path) -> None:
    notes = "; ".join(stocked(folder)[1].notes)
    assert "carbon.nc: soil_carbon lacks some depths in 1 of 8 cells, first (66.25, -149.75)" in notes
    assert "1 of 9 columns have the mean profile of their community (wet_tundra)" in notes
    with pytest.raises(
        InputError, match=r"carbon\.nc: soil_carbon lacks some depths in 1 of 8 cells.*expected all of"
    ):
        stocked(folder, soil_carbon={"files": ["carbon.nc"], "gaps": "error"})


def test_stated_profiles_stand_in_for_means_and_not_for_what_is_observed(folder: Path) -> None:
    columns, mean = stocked(folder)
    _, stated = stocked(folder, profiles={"wet_tundra": PROFILE})
    changed = (mean.carbon != stated.carbon).any(axis=0)
    np.testing.assert_array_equal(changed, mean.source == "community")
    assert stated.source[changed].tolist() == ["profile"]
    # 20 kg m-3 at all depths: the curve runs to its upper limit, and density is constant
    np.testing.assert_allclose(stated.carbon[:, changed][:, 0], 20_000 * LAYERS_M, rtol=1e-9)
    assert stated.notes[-1] == (
        "soil carbon: 1 of 9 columns have the profile that is stated for their community, not a mean (wet_tundra)"
    )
    assert columns.cell.size == 9


def test_profiles_of_every_community_need_no_files(folder: Path) -> None:
    columns, _ = stocked(folder)
    names = dict.fromkeys(columns.community)
    _, stock = stocked(folder, soil_carbon={}, profiles=dict.fromkeys(names, PROFILE), cn=[12.0, 22.0])
    assert set(stock.source.tolist()) == {"profile"}
    np.testing.assert_allclose(stock.carbon, 20_000 * LAYERS_M[:, None] * np.ones(9), rtol=1e-9)
    np.testing.assert_allclose(stock.carbon[:15] / stock.nitrogen[:15], 12.0)
    np.testing.assert_allclose(stock.carbon[20:] / stock.nitrogen[20:], 22.0)


@pytest.mark.parametrize(
    ("permafrost", "error", "says"),
    [
        (
            {"soil_carbon": {}},
            ConfigError,
            r"tem\.permafrost: no soil_carbon\.files and no profiles of \w+, .*Give soil carbon by depth",
        ),
        (
            {"soil_carbon": {}, "profiles": {"wet_tundra": PROFILE}},
            ConfigError,
            r"no profiles of (?!.*wet_tundra)\w+",
        ),
        (
            {"profiles": {"tundra": PROFILE}},
            ConfigError,
            r"tem\.permafrost\.profiles: 'tundra' is unknown; choose one of: .*wet_tundra",
        ),
        (
            {"profiles": {"wet_tundra": [5.0, -1.0, 3.0, 3.0]}},
            ConfigError,
            r"profiles\.wet_tundra is 5, -1, 3, 3; expected four stocks of 0 or more",
        ),
    ],
)
def test_soil_carbon_that_cannot_be(
    folder: Path, permafrost: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        stocked(folder, **permafrost)


def test_negative_stocks_are_named(tmp_path: Path) -> None:
    scenarios.soil_carbon(scenarios.files(tmp_path) / "carbon.nc", negative=True)
    with pytest.raises(
        InputError,
        match=r"carbon\.nc: soil_carbon: 1 of 8 cells, first \(67\.25, -150\.75\) 0\.3-1 m -3 kg m-2; expected",
    ):
        stocked(tmp_path)


def test_cell_areas_are_needed(tmp_path: Path) -> None:
    scenarios.files(tmp_path)
    with xr.load_dataset(tmp_path / "land.nc") as land:
        land.drop_vars("cell_area").to_netcdf(tmp_path / "land.nc")
    with pytest.raises(
        InputError, match=r"no cell_area in the land files.*Add a file with cell_area to land\.files"
    ):
        stocked(tmp_path)


def test_texture_is_needed(tmp_path: Path) -> None:
    scenarios.files(tmp_path)
    with xr.load_dataset(tmp_path / "land.nc") as land:
        land.drop_vars(["sand", "silt", "clay"]).to_netcdf(tmp_path / "land.nc")
    with pytest.raises(
        InputError, match=r"land\.nc: no sand; expected soil texture. Add a soil file to land\.files"
    ):
        stocked(tmp_path)


def test_a_stock_is_read_back_by_cell(folder: Path, tmp_path: Path) -> None:
    settings, files, columns = read(folder)
    write_stock(tmp_path / "stock.nc", settings, files)
    _, whole = stocked(folder)
    part = read_stock(tmp_path / "stock.nc", range(3, 5))
    chosen = (columns.cell >= 3) & (columns.cell < 5)
    assert chosen.sum() == 3
    for name in ("carbon", "nitrogen", "source"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[..., chosen])
    assert part.notes == whole.notes
    with xr.open_dataset(tmp_path / "stock.nc") as ds:
        np.testing.assert_allclose(ds["bottom"] - ds["top"], LAYERS_M)


def test_what_lies_below_the_active_layer_is_frozen() -> None:
    """Carbon below a depth by hand; none where the active layer reaches 10 m."""
    density = 30_000.0
    stock = Stock(
        density * LAYERS_M[:, None] * np.ones(5),
        2_000.0 * LAYERS_M[:, None] * np.ones(5),
        np.full(5, "observed"),
        (),
    )
    alt = np.array([0.0, 0.45, 3.2, 9.9, 10.0])
    held = freeze(stock, alt)
    np.testing.assert_allclose(
        held.frozen_c.sum(axis=0), density * np.array([6.0, 5.55, 2.8, 0.0, 0.0]), atol=1e-6
    )
    np.testing.assert_allclose(held.frozen_n * 15.0, held.frozen_c)
    assert float(held.thawed_c.sum() + held.thawed_n.sum() + held.mineral_n.sum()) == 0.0
    np.testing.assert_array_equal(held.thawed_from, alt)
    other = freeze(stock, alt, (12.0, 22.0))
    np.testing.assert_array_equal(other.frozen_c, held.frozen_c)
    np.testing.assert_allclose(other.frozen_n[:15], held.frozen_c[:15] / 12.0)
    np.testing.assert_allclose(other.frozen_n[20:], held.frozen_c[20:] / 22.0)


def test_the_deepest_active_layer_of_some_years() -> None:
    alt = {2003: np.array([0.4, 0.9]), 2004: np.array([0.8, 0.5]), 2005: np.array([0.6, 0.7])}
    wanted = PermafrostCarbon(reference_year=2005)
    np.testing.assert_array_equal(thawed_by(wanted, alt), [0.6, 0.7])
    three = wanted.model_copy(update={"thawed_years": (2003, 2005)})
    np.testing.assert_array_equal(thawed_by(three, alt), [0.8, 0.9])
    early = wanted.model_copy(update={"thawed_years": (2003, 2003)})
    np.testing.assert_array_equal(thawed_by(early, alt), [0.4, 0.9])
    for years in ((2002, 2005), (2004, 2006), (2005, 2004)):
        wrong = wanted.model_copy(update={"thawed_years": years})
        with pytest.raises(
            ConfigError,
            match=rf"tem\.permafrost: thawed_years {years[0]}\.\.{years[1]}; expected years of the run, 2003 or later, "
            "up to the reference year 2005",
        ):
            thawed_by(wrong, alt)


def test_parameters_of_both_layer_sets(folder: Path) -> None:
    """Pores of the layers that hold the carbon; wetness below the roots as stated."""
    for layers in ("physical", "legacy"):
        settings, files, columns = read(folder, soil_heat={"layers": layers})
        climate = read_run(settings, files, columns)
        parameters = parameters_of(columns, settings, climate)
        wanted = PermafrostCarbon(attenuation_m=0.7, inorganic_share=0.1, nitrogen_in_reach=0.4)
        found = permafrost_parameters(columns.community, parameters, wanted)
        for name, value in (
            ("attenuation_m", 0.7),
            ("inorganic_share", 0.1),
            ("in_reach", 0.4),
            ("thaws", 1.0),
        ):
            np.testing.assert_array_equal(getattr(found, name), np.full(9, value))
        assert found.porosity.shape == (25, 9)
        assert 0.2 < float(found.porosity.min()) <= float(found.porosity.max()) < 0.96
        capacity = np.asarray(parameters.site.field_capacity_share)
        dry, wet = (
            permafrost_parameters(
                columns.community, parameters, PermafrostCarbon(deep_wetness=w), thaws=False
            )
            for w in (0.0, 1.0)
        )
        np.testing.assert_allclose(dry.deep_saturation, capacity)
        np.testing.assert_allclose(wet.deep_saturation, np.full(9, 0.95))
        np.testing.assert_array_equal(wet.thaws, np.zeros(9))
        assert (np.asarray(found.deep_saturation) >= capacity - 1e-12).all()
        if layers == "physical":
            ground = parameters.ground
            pores = ground.fibric * 0.95 + ground.humic * 0.80 + ground.mineral * ground.porosity
            np.testing.assert_array_equal(found.porosity, carbon_layers(pores))
        else:
            np.testing.assert_array_equal(
                found.porosity, np.asarray(parameters.site.porosity) * np.ones((25, 9))
            )


def test_runs_that_would_never_freeze_or_lose_carbon(folder: Path) -> None:
    settings, files, columns = read(folder)
    climate = read_run(settings, files, columns)  # 2001..2003

    def check(
        year: int | None, held: xr.Dataset | None = None, years: tuple[int, int] | None = None
    ) -> list[str]:
        permafrost = None if year is None else PermafrostCarbon(reference_year=year, thawed_years=years)
        wanted = settings.model_copy(update={"permafrost": permafrost, "restart": "before.nc"})
        return check_reference_year(wanted, climate, held)

    frozen, plain = xr.Dataset({"permafrost_frozen_c": 1.0}), xr.Dataset()
    assert check(2002) == check(2003, plain) == check(None) == check(2000, frozen) == []
    assert check(2005) == [
        "tem.permafrost.reference_year is 2005, the run is 2001..2003: nothing is frozen yet"
    ]
    for held in (None, plain):
        with pytest.raises(
            ConfigError, match=r"reference_year is 2000, the run is 2001\.\.2003; expected a year of"
        ):
            check(2000, held)
    with pytest.raises(ConfigError, match=r"before\.nc holds carbon that was frozen in an earlier year"):
        check(2002, frozen)
    with pytest.raises(
        ConfigError, match=r"before\.nc holds frozen carbon, but tem has no section permafrost"
    ):
        check(None, frozen)
    with pytest.raises(
        ConfigError, match=r"thawed_years 2000\.\.2002; expected years of the run, 2001 or later"
    ):
        check(2002, years=(2000, 2002))
