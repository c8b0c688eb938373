"""Input that is possible but cannot be right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.fusion.fusion_world import grid, site_months
from tests.fusion.test_inputs_tables import read, reader_of, settings_for, told

from talik.errors import ConfigError, InputError, UnitsError
from talik.fusion.input_grids import GridFile

FLUXES = {"nee": {"units": "g m-2 d-1"}, "gpp": {"units": "g m-2 d-1"}}


def warned(inputs, pixel: str) -> list[str]:
    return [str(p) for p in inputs.problems if p.pixel == pixel and p.severity == "warning"]


def of_two(table, column: str, values) -> None:
    table.loc[table["site"] == "two", column] = values


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("lat", 200.0, "latitude: 200; expected -90 to 90"),
        ("lat", -60.0, "latitude: -60 degrees north, with 15.* of light from April to September"),
        ("lon", 400.0, "longitude: 400; expected -180 to 360"),
    ],
)
def test_a_place_that_is_none_is_an_error(column: str, value: float, match: str, tmp_path: Path):
    table = site_months()
    of_two(table, column, value)
    found = read(table, tmp_path)
    assert found.good.tolist() == [0, 2]
    (message,) = told(found, "two")
    assert re.search(match, message)


def test_several_places_of_a_site_are_refused(tmp_path: Path):
    table = site_months()
    table.loc[30, "lat"] = 65.0
    with pytest.raises(InputError, match="lat of two runs from 61 to 65; expected one position"):
        reader_of(table, tmp_path).pixels()


def test_a_missing_longitude_is_told(tmp_path: Path):
    found = read(site_months().drop(columns="lon"), tmp_path)
    assert len(found.good) == 3
    assert "longitude: missing" in warned(found, "one")[0]


def test_other_names_and_cases_of_the_columns_are_read(tmp_path: Path):
    names = {"site": "Site_ID", "lat": "latitude", "lon": "Longitude", "year": "YEAR"}
    found = read(site_months().rename(columns=names), tmp_path)
    assert found.pixels.lat.tolist() == [60.0, 61.0, 62.0]
    assert not found.problems


@pytest.mark.parametrize("streams", [FLUXES, {"nee": FLUXES["nee"]}])
@pytest.mark.parametrize("how", ["turned", "positive"])
def test_nee_of_the_wrong_sign_is_an_error(streams: dict, how: str, tmp_path: Path):
    table = site_months()
    if how == "turned":
        of_two(table, "nee", -table["nee"])
        good = [0, 2]
    else:
        streams = {**streams, "nee": {**streams["nee"], "positive": "down"}}
        good = []
    found = read(table, tmp_path, observations=streams)
    assert found.good.tolist() == good
    assert "Set positive: down for observations.nee, or leave it out" in told(found, "two")[0]


def test_a_clearing_that_loses_carbon_all_year_is_no_wrong_sign(tmp_path: Path):
    table = site_months()
    of_two(table, "nee", table["gpp"] * 0.5 + 0.5)
    of_two(table, "gpp", table["gpp"] * 0.2)
    found = read(table, tmp_path, observations=FLUXES)
    assert len(found.good) == 3


@pytest.mark.parametrize(
    ("column", "change", "streams", "match"),
    [
        ("nee", lambda v: v * 1e-3, FLUXES, "nee: 0.002 g m-2 d-1 at most"),
        ("gpp", lambda v: v * 1e-3, FLUXES, "gpp: 0.0059 g m-2 d-1 at most"),
        ("sw", lambda v: 0 * v + 12.0, FLUXES, "sw: 12 MJ m-2 d-1 in every month"),
        ("lai", lambda v: 0 * v, {"lai": {"units": "1"}}, "lai: 0 in every month"),
        ("nee", lambda v: v, {"nee": {**FLUXES["nee"], "sd": 1e-6}}, "nee error: 1e-06 g m-2 d-1"),
        ("nee", lambda v: v, {"nee": {**FLUXES["nee"], "sd": 1e6}}, r"nee error: 1e\+06 g m-2 d-1"),
    ],
)
def test_values_of_another_size_are_told(column, change, streams, match: str, tmp_path: Path):
    table = site_months()
    of_two(table, column, change(table[column]))
    found = read(table, tmp_path, observations=streams)
    assert 1 in found.good
    assert any(re.search(match, text) for text in warned(found, "two")), warned(found, "two")
    assert np.isfinite(found.drivers["sw"]).all()


def test_a_stream_whose_key_stands_alone_has_all_defaults(tmp_path: Path):
    table = site_months().rename(columns={"lai": "lai [1]"})
    assert "lai" in read(table, tmp_path, observations={"lai": None, "nee": FLUXES["nee"]}).streams


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (
            {"nee": {**FLUXES["nee"], "sd": "err"}},
            "no err in .*sites.csv, which observations.nee.sd names; it holds tmin",
        ),
        ({"nee": {**FLUXES["nee"], "variable": "fc"}}, "no fc in .*which observations.nee.variable names"),
    ],
)
def test_a_name_that_no_file_holds_is_told_before_the_run(given: dict, match: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=match):
        reader_of(site_months(), tmp_path, observations=given)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"observations": {"nee": {"sd": "0.5"}}}, "sd: '0.5' is text; a number stands without quotes"),
        ({"period": 2003}, r"expected a list of two years, \[2003, 2003\] for one"),
    ],
)
def test_a_number_or_list_that_is_none_is_named(given: dict, match: str, tmp_path: Path):
    with pytest.raises(ValidationError, match=match):
        settings_for(tmp_path, **given)


def test_one_file_and_names_that_are_numbers_are_lists(tmp_path: Path):
    settings = settings_for(tmp_path, drivers={"files": "one.csv"}, pixels=[1, 2])
    assert settings.drivers.files == ("one.csv",)
    assert settings.pixels == ("1", "2")


def test_roles_of_other_words_are_refused(tmp_path: Path):
    table = site_months().replace({"role": {"calibration": "train"}})
    reader = reader_of(table, tmp_path, observations={**FLUXES, "assimilate": "calibration"})
    with pytest.raises(
        InputError, match=r"role of 36 rows is 'train'; expected calibration, validation, or none"
    ):
        reader.read(reader.pixels())


def test_a_period_that_the_drivers_do_not_have_is_named(tmp_path: Path):
    reader = reader_of(site_months(), tmp_path, period=[2010, 2011])
    with pytest.raises(ConfigError, match=r"tmin has the months 2003-01..2004-12, the period is 2010..2011"):
        reader.read(reader.pixels())


def test_the_project_overrides_a_spelling_that_is_not_understood(tmp_path: Path):
    table = site_months().rename(columns={"nee": "nee [gC m-2 d-1]"})
    reader = reader_of(table, tmp_path, observations={"nee": {}})
    with pytest.raises(
        UnitsError, match=r"is in 'gC m-2 d-1', which names what it counts beside the unit; .*'g m-2 d-1'"
    ):
        reader.read(reader.pixels())
    found = read(table, tmp_path, observations=FLUXES | {"gpp": {"units": "g m-2 d-1"}})
    np.testing.assert_array_equal(found.streams["nee"].value[:, 0], site_months(("one",))["nee"])


def test_the_time_of_a_grid_may_be_called_otherwise(tmp_path: Path):
    grid().rename(time="valid_time").to_netcdf(tmp_path / "drivers.nc")
    assert GridFile.open(tmp_path / "drivers.nc").span == (12 * 2003, 12 * 2005 - 1)


def test_stamps_at_the_ends_of_months_are_told(tmp_path: Path):
    moved = grid().assign_coords(
        time=("time", np.arange(24) + 1, {"units": "months since 2003-01-01", "calendar": "standard"})
    )
    moved.to_netcdf(tmp_path / "drivers.nc")
    with pytest.raises(InputError, match="runs from 2003-02 to 2005-01 on first days, without bounds"):
        _ = GridFile.open(tmp_path / "drivers.nc").span


def test_a_pixel_that_is_named_twice_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"fusion\.pixels: one is named twice"):
        reader_of(site_months(), tmp_path, pixels=["one", "one"]).pixels()
