"""Pixels of a world: which they are, and that the fusion section reads what is written of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from tests.osse import tiny_world
from typer.testing import CliRunner

from talik.cli import app
from talik.errors import ConfigError
from talik.flux.units import amount_from_rate
from talik.fusion.inputs import Reader
from talik.fusion.observed import observations_of
from talik.fusion.section import files_of, settings_of
from talik.osse.nature import Nature
from talik.osse.pixels import leaf_area, pixels_of, write_pixel_drivers, write_pixel_observations
from talik.tem.communities import parameters_for
from talik.tem.output import month_seconds
from talik.workflow.project import load_project

DRIVERS, OBSERVATIONS = "pixels.csv", "pixel-observations.csv"
SECTION = {
    "drivers": {"files": [DRIVERS], "without": ["burned", "loss"]},
    "observations": {
        "lai": {"files": [OBSERVATIONS], "sd": "lai_sd", "scale_sd": 2.0},
        "biomass": {"files": [OBSERVATIONS], "sd": "biomass_sd"},
        "soc": {"files": [OBSERVATIONS], "sd": "soc_sd"},
        "nee": {"files": [OBSERVATIONS]},
        "gpp": {"files": [OBSERVATIONS]},
        "tower_error": {"factor": 1.5},
    },
    "switches": {"constraints": "none"},
    "sampler": {"method": "smc", "chains": 4, "particles": 96},
    "block": 2,
    "fill": "flagged",
}


@pytest.fixture(scope="module")
def nature() -> Nature:
    world = tiny_world.nature(pixels={"years": 3})
    summer = np.clip(world.weather.tas, 0.0, None) * 8.0
    seconds = np.concatenate([month_seconds(year) for year in world.weather.years])[:, None]
    months = world.months.assign(evspsbl=(("time", "cell"), summer / seconds))
    months["cVeg"] = months["cVeg"].assign_attrs(units="kg m-2")
    months["cSoil"] = months["cSoil"].assign_attrs(units="kg m-2")
    for name in ("nee", "gpp"):
        months[name] = months[name].assign_attrs(units="kg m-2 s-1")
    return dataclasses.replace(world, months=months)


@pytest.fixture(scope="module")
def folder(nature: Nature, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pixels")
    write_pixel_drivers(out / DRIVERS, nature)
    write_pixel_observations(out / OBSERVATIONS, nature)
    project = {"talik": 1, "name": "pixels", "output": "out", "fusion": SECTION}
    (out / "project.yaml").write_text(yaml.safe_dump(project))
    return out


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name).rename(columns=lambda text: text.split(" [")[0])


def test_pixels_are_typical_cells_of_their_communities(nature: Nature):
    production = nature.months["gpp"].mean("time").values
    for pixel in pixels_of(nature):
        mine = production[np.array(nature.community) == pixel.name]
        assert nature.community[pixel.cell] == pixel.name
        assert (mine <= production[pixel.cell]).mean() == pytest.approx(0.5, abs=1.0 / mine.size)
        assert pixel.months.sizes["time"] == 36
        assert pixel.months["time"].dt.year.values[0] == 2004
        np.testing.assert_array_equal(pixel.weather("tas"), nature.weather.tas[36:, pixel.cell])


def test_a_community_may_have_two_pixels_but_not_more_than_cells(nature: Nature):
    def of(*communities: str) -> Nature:
        pixels = nature.settings.pixels.model_copy(update={"communities": communities})
        return dataclasses.replace(nature, settings=nature.settings.model_copy(update={"pixels": pixels}))

    low, high = pixels_of(of("wet_tundra", "wet_tundra"))
    assert (low.name, high.name) == ("wet_tundra-1", "wet_tundra-2")
    assert low.months["gpp"].mean() < high.months["gpp"].mean()
    with pytest.raises(ConfigError, match="0 cells of savanna, 1 are asked for"):
        pixels_of(of("savanna"))


def test_the_section_finds_nothing_wrong_with_the_files(folder: Path):
    done = CliRunner().invoke(app, ["check", str(folder / "project.yaml")])
    assert done.exit_code == 0, done.output


def test_what_is_assimilated_is_the_truth_within_its_errors(folder: Path, nature: Nature):
    project = load_project(folder / "project.yaml")
    settings = settings_of(project)
    reader = Reader(settings, files_of(project, settings))
    inputs = reader.read(reader.pixels())
    assert inputs.problems == ()
    assert inputs.pixels.names == ("boreal_forest", "wet_tundra")
    assert len(inputs.axis) == 36
    pixels = pixels_of(nature)
    sw = np.stack([p.weather("rsds") * 0.0864 for p in pixels], axis=1)
    np.testing.assert_allclose(inputs.drivers["sw"], sw, rtol=1e-5)
    middle = 0.5 * (inputs.drivers["tmin"] + inputs.drivers["tmax"])
    np.testing.assert_allclose(middle, np.stack([p.weather("tas") for p in pixels], axis=1), atol=1e-3)
    observed = observations_of(inputs, inputs.good, settings)
    days = np.repeat(inputs.axis.dt[:, None], 2, axis=1)
    for name, stream in (("nee", observed.nee), ("gpp", observed.gpp)):
        true = np.stack([amount_from_rate(p.months[name], "g m-2 month-1").values for p in pixels], axis=1)
        seen = np.isfinite(inputs.streams[name].value)
        apart = (inputs.streams[name].value * days - true)[seen]
        sd = np.hypot(nature.settings.towers.random_error, nature.settings.towers.relative_error * true)[seen]
        assert 0.8 < np.std(apart / sd) < 1.2
        assert 0.4 < seen.mean() < 0.95
        assert stream is not None
    for stock, of, factor in (("biomass", "cVeg", 1e3), ("soc", "cSoil", 1e3)):
        value = np.nanmax(np.atleast_2d(inputs.streams[stock].value), axis=0)
        true = np.array([float(p.months[of].mean()) * factor for p in pixels])
        assert (np.abs(np.log(value / true)) < 0.8).all()
        assert (value != true).all()
    area = np.stack([p.leaf_area for p in pixels], axis=1)
    lai = inputs.streams["lai"]
    assert np.nanmean(((lai.value - area) / lai.sd) ** 2) == pytest.approx(1.0, abs=0.5)


def test_another_pixel_changes_no_number_of_the_others(folder: Path, nature: Nature, tmp_path: Path):
    pixels = nature.settings.pixels.model_copy(update={"communities": ("wet_tundra",)})
    alone = dataclasses.replace(nature, settings=nature.settings.model_copy(update={"pixels": pixels}))
    write_pixel_observations(tmp_path / OBSERVATIONS, alone)
    both = read(folder, OBSERVATIONS)
    expected = both[both["site"] == "wet_tundra"].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path, OBSERVATIONS), expected)
    write_pixel_observations(tmp_path / "again.csv", nature)
    assert (tmp_path / "again.csv").read_bytes() == (folder / OBSERVATIONS).read_bytes()


def test_leaf_area_follows_the_equations_of_the_process_model():
    """Three months by hand: Raich et al. (1991), relative to the largest of the year before; evergreens keep a half."""
    plant = {name: float(of[0]) for name, of in parameters_for(["boreal_forest"])._asdict().items()}
    years = xr.date_range("2001-01", periods=24, freq="MS")
    water = np.tile([0.0, 0, 0, 10, 40, 80, 100, 70, 30, 5, 0, 0], 2)
    seconds = np.concatenate([month_seconds(2001), month_seconds(2002)])
    months = xr.Dataset(
        {
            "evspsbl": ("time", water / seconds),
            "cVeg": ("time", np.full(24, 9.0), {"units": "kg m-2"}),
        },
        coords={"time": years},
    )
    raw, before = [], plant["unleaf12"]
    for amount in water:
        before = max(
            0.5 * plant["leaf_min"],
            plant["leaf_a"] * amount / 100.0 + plant["leaf_b"] * before + plant["leaf_c"],
        )
        raw.append(before)
    canopy = 1.0 / (1.0 + plant["foliage_m"] * np.exp(plant["foliage_c"] * 9000.0))
    full = plant["sla"] * plant["leaf_mass_max"] * canopy
    relative = np.clip(np.array(raw[12:]) / max(raw[:12]), plant["leaf_min"], 1.0)
    np.testing.assert_allclose(leaf_area(months, "boreal_forest")[12:], full * relative, rtol=1e-10)
    assert relative.min() == plant["leaf_min"] < relative.max()


def test_years_of_the_pixels_are_fewer_than_those_of_the_world():
    with pytest.raises(ValueError, match="expected fewer than the years"):
        tiny_world.settings(pixels={"years": 6})


def test_the_truth_of_a_world_does_not_depend_on_who_looks():
    short = {"period": (2001, 2004), "first_year": 1995}
    key = tiny_world.settings(pixels={"years": 3}, **short).nature_key()
    assert tiny_world.settings(pixels={"years": 2}, towers={"count": 9}, **short).nature_key() == key
    assert tiny_world.settings(seed=4, pixels={"years": 3}, **short).nature_key() != key
