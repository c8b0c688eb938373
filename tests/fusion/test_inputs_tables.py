"""Input of fusion from tables of site-months: units, periods, roles, and what is wrong with a pixel."""

from __future__ import annotations

import json
import re
from calendar import monthrange
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fusion.fusion_world import UNITS, site_months

from talik.errors import ConfigError, InputError, UnitsError
from talik.fusion.axis import TimeAxis
from talik.fusion.inputs import Inputs, Reader
from talik.fusion.observations import Observations
from talik.fusion.observed import errors_of_months, observations_of
from talik.fusion.settings import Files, FusionSettings

NOTHING_BURNS = ["burned", "loss"]


def settings_for(path: Path, **given: Any) -> FusionSettings:
    content: dict[str, Any] = {
        "drivers": {"files": [str(path)], "units": UNITS, "without": NOTHING_BURNS},
        "observations": {"nee": {"units": "g m-2 d-1"}},
    }
    content["drivers"] |= given.pop("drivers", {})
    return FusionSettings.model_validate_json(json.dumps(content | given), strict=True)


def reader_of(table: pd.DataFrame, folder: Path, **given: Any) -> Reader:
    path = folder / "sites.csv"
    table.to_csv(path, index=False)
    settings = settings_for(path, **given)
    streams = {name: (str(path),) for name in settings.observations.streams}
    files = Files(drivers=(str(path),), co2=(), streams=streams, period=settings.period)
    return Reader(settings, files)


def read(table: pd.DataFrame, folder: Path, **given: Any) -> Inputs:
    reader = reader_of(table, folder, **given)
    return reader.read(reader.pixels())


def told(inputs: Inputs, pixel: str) -> list[str]:
    return [str(p) for p in inputs.problems if p.pixel == pixel and p.severity == "error"]


@given(first=st.integers(1890, 2110), years=st.integers(1, 9))
def test_the_axis_is_that_of_the_calendar(first: int, years: int):
    axis = TimeAxis.of_years(first, first + years - 1)
    days = [(date(int(y), int(m), monthrange(y, m)[1])) for y, m in zip(axis.years, axis.months, strict=True)]
    assert axis.dt.tolist() == [monthrange(d.year, d.month)[1] for d in days]
    assert axis.doy_end.tolist() == [d.timetuple().tm_yday for d in days]


def test_a_break_in_the_axis_is_refused():
    with pytest.raises(InputError, match="a break after 2001-02"):
        TimeAxis(np.array([2001, 2001, 2001]), np.array([1, 2, 4]))


def test_drivers_are_as_in_the_table(tmp_path: Path):
    table = site_months()
    inputs = read(table.sample(frac=1, random_state=1), tmp_path)
    assert not inputs.problems
    drivers = inputs.drivers_of(inputs.good)
    assert drivers.tmin.shape == (24, 3, 1)
    k = inputs.pixels.names.index("two")
    ours = table[table.site == "two"]
    np.testing.assert_array_equal(drivers.tmax[:, k, 0], ours["tmax"])
    np.testing.assert_allclose(drivers.sw[:, k, 0], ours["sw"])
    assert drivers.latitude[k, 0] == 61.0
    assert drivers.dt[:, 0, 0].sum() == 365 + 366  # 2004 is a leap year
    assert drivers.doy_end[-1, 0, 0] == 366
    assert not drivers.fires
    assert not drivers.losses
    assert np.isnan(drivers.wind).all()  # ACM1 does without


def test_units_of_headers_are_converted(tmp_path: Path):
    table = site_months()
    for name, units, back in (
        ("tmin", "K", lambda v: v + 273.15),
        ("sw", "W m-2", lambda v: v / 0.0864),
        ("vpd", "hPa", lambda v: v / 100),
        ("nee", "umol m-2 s-1", lambda v: v / 1.0377504),
    ):
        table[name] = back(table[name])
        table = table.rename(columns={name: f"{name} [{units}]"})
    kept = {"tmax": "degC", "co2": "ppm", "wind": "m s-1"}
    inputs = read(
        table,
        tmp_path,
        drivers={"units": kept},
        observations={"nee": {}},
        switches={"photosynthesis": "acm2"},
    )
    assert not inputs.problems
    plain = site_months()
    for name in ("tmin", "sw", "vpd"):
        np.testing.assert_allclose(inputs.drivers[name][:, 0], plain[name][:24], atol=1e-9)
    np.testing.assert_allclose(inputs.streams["nee"].value[:, 0], plain["nee"][:24], rtol=1e-6)


def test_monthly_sums_and_the_mass_of_co2_become_daily_carbon(tmp_path: Path):
    table = site_months()
    length = [monthrange(y, m)[1] for y, m in zip(table.year, table.month, strict=True)]
    table["nee"] = -table["nee"] * length * 44.009 / 12.011
    stream = {"units": "g m-2 month-1", "species": "CO2", "positive": "down"}
    inputs = read(table, tmp_path, observations={"nee": stream})
    np.testing.assert_allclose(inputs.streams["nee"].value[:, 1], site_months()["nee"][24:48], rtol=1e-9)


def test_missing_units_are_not_guessed(tmp_path: Path):
    match = (
        r"of tmax \(drivers.units: {tmax: degC}\), sw .*, co2 .*, nee \(observations.nee.units: g m-2 d-1\)"
    )
    with pytest.raises(UnitsError, match=match):
        reader_of(
            site_months(),
            tmp_path,
            drivers={"units": {"tmin": "degC"}},
            observations={"nee": None, "lai": {"units": "1"}},
        )


def test_units_of_file_and_project_must_agree(tmp_path: Path):
    reader = reader_of(site_months().rename(columns={"tmin": "tmin [K]"}), tmp_path)
    with pytest.raises(UnitsError, match="tmin is in 'K', the project file says 'degC'"):
        reader.read(reader.pixels())


def test_half_of_the_values_is_held_out(tmp_path: Path):
    given = {
        "nee": {"units": "g m-2 d-1"},
        "lai": {"units": "1"},
        "assimilate": "calibration",
    }
    inputs = read(site_months(), tmp_path, observations=given)
    table = site_months(("one",))
    nee = inputs.streams["nee"]
    expected = table["nee"].where(table["role"] == "calibration")
    np.testing.assert_array_equal(nee.value[:, 0], expected)
    np.testing.assert_array_equal(nee.held_out[:, 0], table["nee"].where(table["role"] == "validation"))
    np.testing.assert_array_equal(inputs.streams["lai"].value[:, 0], table["lai"])  # not split
    assert np.isnan(inputs.streams["lai"].held_out).all()


def test_a_table_without_roles_cannot_be_split(tmp_path: Path):
    given = {"nee": {"units": "g m-2 d-1"}, "assimilate": "calibration"}
    reader = reader_of(site_months().drop(columns="role"), tmp_path, observations=given)
    with pytest.raises(InputError, match="has no column role"):
        reader.read(reader.pixels())


def test_a_stated_error_is_read_and_one_that_is_not_is_modelled(tmp_path: Path):
    table = site_months().assign(err=0.4)
    given = {
        "nee": {"units": "g m-2 d-1", "sd": "err", "scale_sd": 2.0},
        "gpp": {"units": "g m-2 d-1"},
        "lai": {"units": "1", "sd": 0.5},
    }
    reader = reader_of(table, tmp_path, observations=given)
    inputs = reader.read(reader.pixels())
    made = observations_of(inputs, inputs.good[1:], reader.settings)
    seen = np.isfinite(site_months(("two",))["nee"].to_numpy())
    np.testing.assert_allclose(made.nee.sd[seen, 0], 0.8)
    gpp = site_months(("two",))["gpp"].to_numpy()
    np.testing.assert_allclose(made.gpp.sd[seen, 0], np.hypot(0.3, 0.15 * gpp[seen]))
    lai = site_months(("two",))["lai"].to_numpy()
    np.testing.assert_allclose(made.lai.sd[np.isfinite(lai), 0], np.hypot(0.5, 0.1 * np.nanmean(lai)))
    assert made.nee.value.shape == (24, 2)
    assert made.wood is None


BROKEN = {
    "K": (("tmin", lambda v: v + 273.15), "279.15 degC in 2003-07.*expected -80 to 50 degC.*K is 273 more"),
    "crossed": (("tmin", lambda v: v + 20), "above tmax .*expected tmin <= tmax"),
    "watts": (("sw", lambda v: v / 0.0864), "214.12 MJ m-2 d-1 in 2003-07.*expected 0 to 45"),
    "joules": (("sw", lambda v: v * 1e6), "expected 0 to 45 MJ m-2 d-1"),
    "kwh": (("sw", lambda v: v / 3.6), "5.13.* at most; expected more than 9"),
    "mole": (("co2", lambda v: v * 1e-6), "expected 150 to 3000 ppm.*1 mol mol-1 is 1e6 ppm"),
    "hectopascal": (("vpd", lambda v: v / 100), "7 Pa at most; expected more than 80 Pa"),
    "gap": (("tmax", lambda v: v.where(v.index % 24 != 7)), "2003-08 missing; expected every month"),
    "short": (("tmax", lambda v: v.where(v.index % 24 < 7)), "7 of 24 months; expected every month, and 12"),
    "percent": (("burned", lambda v: v * 100), "5 in .*expected 0 to 1. .*1 % is 0.01"),
    "nowhere": (("lat", lambda v: v * np.nan), "latitude: missing; expected degrees north"),
    "empty": (("nee", lambda v: v * np.nan), "nee: no value in the period"),
    "huge": (("nee", lambda v: v * 100), "expected -60 to 60 g m-2 d-1"),
    "upward": (("gpp", lambda v: -v / 10), "gpp: .* on average; expected GPP as uptake"),
    "exact": (("err", lambda v: v * 0), "nee error: 0 .*expected a positive standard error for each value"),
    "negative": (("err", lambda v: -v), "nee error: -0.4"),
    "no error": (("err", lambda v: v * np.nan), "nee error: nan"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_one_broken_pixel_is_named_and_the_others_are_not(what: str, tmp_path: Path):
    (column, break_it), match = BROKEN[what]
    table = site_months().assign(burned=0.05, err=0.4)
    ours = table.site == "two"
    table.loc[ours, column] = break_it(table.loc[ours, column].reset_index(drop=True)).to_numpy()
    observations = {"nee": {"units": "g m-2 d-1", "sd": "err"}}
    if what == "upward":
        observations["gpp"] = {"units": "g m-2 d-1"}
    inputs = read(
        table,
        tmp_path,
        drivers={"units": {**UNITS, "burned": "1", "vpd": "Pa", "wind": "m s-1"}, "without": ["loss"]},
        observations=observations,
        switches={"photosynthesis": "acm2"},
    )
    assert [p.pixel for p in inputs.problems if p.pixel != "two"] == []
    assert [inputs.pixels.names[k] for k in inputs.good] == ["one", "three"]
    assert any(re.search(match, text) for text in told(inputs, "two")), told(inputs, "two")
    for problem in inputs.problems:
        assert problem.fix
        assert json.loads(json.dumps(problem.to_dict()))["pixel"] == "two"


def test_observations_outside_the_period_are_named(tmp_path: Path):
    table = site_months(years=(2003, 2006))
    late = (table.site == "two") & (table.year < 2005)
    table.loc[late, "nee"] = np.nan
    outside = (
        "two: nee: all of its 22 values lie outside the period (the files have 2003-01..2006-12); expected values "
        "inside. Change the period, or leave the stream out."
    )
    both = {"nee": {"units": "g m-2 d-1"}, "lai": {"units": "1"}}
    inputs = read(table, tmp_path, period=[2003, 2004], observations=both)
    assert outside in [str(p) for p in inputs.problems]
    assert inputs.good.tolist() == [0, 1, 2]
    assert [(p.severity, p.found) for p in inputs.problems if p.pixel == "one"] == [
        ("warning", "8 values outside the period"),
        ("warning", "22 values outside the period"),
    ]
    required = both | {"nee": {"units": "g m-2 d-1", "required": True}}
    assert told(read(table, tmp_path, period=[2003, 2004], observations=required), "two") == [outside]
    alone = read(table, tmp_path, period=[2003, 2004])
    assert told(alone, "two")[0].startswith("two: nee: no value in the period")


def test_the_one_biomass_of_a_site_may_count_in_another_year(tmp_path: Path):
    """As in the collection of towers, where the map stands in one month of a later year."""
    table = site_months(years=(2003, 2006)).assign(abgb=np.nan)
    table.loc[(table.year == 2006) & (table.month == 12), "abgb"] = [2500.0, 600.0, np.nan]
    wood = {"variable": "abgb", "units": "g m-2"}
    given = {"nee": {"units": "g m-2 d-1"}, "wood": wood}
    found = read(table, tmp_path, period=[2003, 2004], observations=given)
    assert [str(p) for p in found.problems if p.pixel == "two" and p.variable == "wood"] == [
        "two: wood: its one value lies outside the period (the files have 2006-12..2006-12); expected values inside. "
        "Change the period, or leave the stream out. A map that is to count in another year than its own: "
        "observations.wood.year."
    ]
    moved = read(table, tmp_path, period=[2003, 2004], observations=given | {"wood": wood | {"year": 2004}})
    value = moved.streams["wood"].value
    np.testing.assert_array_equal(value[12], [2500.0, 600.0, np.nan])
    assert np.isfinite(value).sum() == 2
    assert [(p.pixel, p.severity, p.found) for p in moved.problems if p.variable == "wood"] == [
        ("three", "warning", "no value")
    ]


NBE = {"units": "g m-2 d-1", "variable": "nee"}


def annual_weight(made: Observations, year: int, pixel: int) -> float:
    """Sd of a common shift of the months of a year: that of the annual mean alone."""
    shift = made.nbe.whitening[year, :, :, pixel] @ np.ones(12)
    return float(1 / np.linalg.norm(shift))


def test_an_annual_error_of_nbe_is_read_by_year_or_as_a_number(tmp_path: Path):
    table = site_months().assign(err=np.where(site_months()["year"] == 2003, 0.2, 0.5))
    nothing = {"without": [], "none": NOTHING_BURNS}
    for annual_sd, scale, expected in (
        ("err", 1.0, (0.2, 0.5)),
        (0.3, 2.0, (0.6, 0.6)),
        (0.01, 1.0, (0.1, 0.1)),
    ):
        given = {"nbe": NBE | {"annual_sd": annual_sd, "scale_sd": scale}}
        reader = reader_of(table, tmp_path, observations=given, drivers=nothing)
        inputs = reader.read(reader.pixels())
        assert not inputs.problems
        made = observations_of(inputs, inputs.good[1:], reader.settings)
        assert [annual_weight(made, year, 1) for year in (0, 1)] == pytest.approx(expected)
        assert reader.settings.assumed == ()
    reader = reader_of(table, tmp_path, observations={"nbe": NBE}, drivers=nothing)
    made = observations_of(reader.read(reader.pixels()), np.arange(3), reader.settings)
    assert 0.38 < annual_weight(made, 0, 0) < 0.42  # 1 g a month, correlated by 0.3, eleven of them seen
    assert "nbe states no annual_sd" in reader.settings.assumed[0]


def test_a_year_without_one_annual_error_is_named(tmp_path: Path):
    table = site_months().assign(err=0.4)
    ours = (table.site == "two") & (table.year == 2004)
    table.loc[ours & (table.month == 5), "err"] = 0.9
    inputs = read(
        table,
        tmp_path,
        observations={"nbe": NBE | {"annual_sd": "err"}},
        drivers={"without": [], "none": NOTHING_BURNS},
    )
    (text,) = told(inputs, "two")
    assert "nbe annual error: no single value above 0 in 2004; expected one positive" in text
    assert {p.pixel for p in inputs.problems} == {"two"}


def test_errors_of_what_is_held_out_are_known_too(tmp_path: Path):
    given = {"nee": {"units": "g m-2 d-1"}, "assimilate": "calibration"}
    reader = reader_of(site_months(), tmp_path, observations=given)
    inputs = reader.read(reader.pixels())
    sd = errors_of_months(inputs, inputs.good, reader.settings)["nee"]
    nee = site_months(("one",))["nee"].to_numpy()
    np.testing.assert_allclose(sd[:, 0], np.hypot(0.2, 0.2 * nee))


def test_nothing_burns_is_another_thing_than_unknown(tmp_path: Path):
    unknown = reader_of(site_months(), tmp_path)
    known = reader_of(site_months(), tmp_path, drivers={"without": ["loss"], "none": ["burned"]})
    assert unknown.settings.undisturbed == known.settings.undisturbed == ("burned", "loss")
    assert unknown.settings.unknown == ("burned", "loss")
    assert known.settings.unknown == ("loss",)


def test_a_stream_without_values_is_an_error_only_where_it_is_required(tmp_path: Path):
    table = site_months()
    table.loc[table.site == "two", "lai"] = np.nan
    for required, severity in ((False, "warning"), (True, "error")):
        given = {"nee": {"units": "g m-2 d-1"}, "lai": {"units": "1", "required": required}}
        found = read(table, tmp_path, observations=given).problems
        assert [(p.pixel, p.variable, p.severity) for p in found] == [("two", "lai", severity)]


def test_a_run_without_data_has_no_problems(tmp_path: Path):
    inputs = read(site_months(), tmp_path, observations={})
    assert inputs.problems == ()
    assert inputs.streams == {}


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"drivers": {"without": ["loss"]}}, r"no burned in them. Add burned, or say without: \[burned\]"),
        (
            {"switches": {"photosynthesis": "acm2"}, "drivers": {"variables": {"wind": "u10"}}},
            "Add u10, which ACM2",
        ),
        ({"pixels": ["one", "four"]}, "no four in .*it holds one, two, three"),
        ({"cells": [[60.0, 25.0]]}, "fusion.cells chooses from a grid"),
        ({"north_of": 80}, "no pixel is left"),
    ],
)
def test_what_concerns_whole_files_stops_the_run(given: dict, match: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=match):
        reader_of(site_months(), tmp_path, **given).pixels()


def test_a_month_that_is_there_twice_is_refused(tmp_path: Path):
    table = pd.concat([site_months(), site_months().iloc[[30]]])
    with pytest.raises(InputError, match=r"two has 2003-07 twice \(1 such rows\)"):
        reader_of(table, tmp_path).pixels()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"switches": {"photosynthsis": "acm2"}}, "photosynthsis: unknown; known are: photosynthesis"),
        ({"switches": {"photosynthesis": "acm3"}}, "photosynthesis: Input should be 'acm1' or 'acm2'"),
        ({"observations": {"wood": {}, "agb": {}}}, "state one of them"),
        ({"observations": {"wood": {}, "biomass": {}}}, "wood and biomass are given"),
        ({"observations": {"lcma": {}}}, "lcma: states no sd"),
        ({"observations": {"nee": {"annual_sd": 0.1}}}, "nee: annual_sd is of nbe alone"),
        (
            {
                "drivers": {"without": [], "none": NOTHING_BURNS},
                "preset": "reproduce",
                "observations": {"nbe": {"annual_sd": 0.1}},
            },
            "nbe: reference does not use it",
        ),
        ({"observations": {"nbe": {}}}, "observations.nbe holds fire"),
        ({"drivers": {"none": ["loss"]}}, "loss in without and in none"),
        ({"drivers": {"units": {"tair": "K"}}}, "units: tair: unknown"),
        ({"pixels": ["one"], "cells": [[60.0, 25.0]]}, "pixels and cells are both given"),
        ({"period": [2004, 2003]}, "lies before"),
    ],
)
def test_settings_are_strict(given: dict, match: str):
    with pytest.raises(ValueError, match=match):
        settings_for(Path("sites.csv"), **given)


def test_switches_change_the_preset():
    chosen = settings_for(Path("x"), preset="reproduce", switches={"ra_gpp": [0.5, 0.1]}).chosen_switches()
    assert chosen.ra_gpp == (0.5, 0.1)
    assert chosen.nbe == "reference"
    assert hash(chosen) != hash(settings_for(Path("x")).chosen_switches())


def test_the_soil_that_burns_is_that_of_the_depth_that_is_observed():
    for soil, share in (
        ({}, 217 / 472),
        ({"soc": {}}, 217 / 472),
        ({"soc": {"depth": "0-3 m"}}, 217 / 1035),
    ):
        assert settings_for(Path("x"), observations=soil).chosen_switches().surface_share == share
    stated = settings_for(
        Path("x"), observations={"soc": {"depth": "0-3 m"}}, switches={"surface_share": 0.3}
    )
    assert stated.chosen_switches().surface_share == 0.3


def test_acm2_takes_its_own_bounds():
    acm2 = {"photosynthesis": "acm2"}
    assert settings_for(Path("x"), switches=acm2).chosen_switches().bounds == "acm2"
    assert settings_for(Path("x"), switches=acm2 | {"bounds": "b15"}).chosen_switches().bounds == "b15"
    assert settings_for(Path("x")).chosen_switches().bounds == "c1"


def test_towers_of_the_collection(shared: Path):
    path = shared / "data" / "fluxnet2015-cardamom" / "site_months.parquet"
    settings = settings_for(
        path,
        drivers={"variables": {"sw": "ssrd"}},
        observations={
            "lai": {"units": "1"},
            "biomass": {"variable": "abgb", "units": "g m-2"},
            "nee": {"units": "g m-2 d-1"},
            "gpp": {"units": "g m-2 d-1"},
            "assimilate": "calibration",
        },
        north_of=60,
    )
    streams = {name: (str(path),) for name in settings.observations.streams}
    reader = Reader(settings, Files(drivers=(str(path),), co2=(), streams=streams, period=None))
    inputs = reader.read(reader.pixels())
    table = pd.read_parquet(path)
    table = table[table.lat >= 60]
    assert set(inputs.pixels.names) == set(table.site)
    assert inputs.good.size == len(inputs.pixels)  # nothing that stops a tower
    for name in ("nee", "gpp"):
        used = table[table.role == "calibration"][name]
        assert np.isfinite(inputs.streams[name].value).sum() == used.notna().sum()
        assert np.nansum(inputs.streams[name].value) == pytest.approx(used.sum())
    lacking = {p.pixel for p in inputs.problems if p.variable == "biomass"}
    assert lacking == {"GL-NuF", "GL-ZaF", "GL-ZaH", "SJ-Adv", "SJ-Blv"}
    made = observations_of(inputs, inputs.good, settings)
    assert made.wood is None
    seen = np.asarray(made.biomass.seen)
    assert set(seen.sum(axis=0).tolist()) <= {0, 1}
    value, sd = (np.asarray(of)[seen] for of in (made.biomass.value, made.biomass.sd))
    np.testing.assert_allclose(sd, np.maximum(100, np.hypot(0.3, 0.1) * value))
    assert settings.assumed == (
        "biomass states no sd: 30 % of the value is taken (observations.stock_share).",
    )
