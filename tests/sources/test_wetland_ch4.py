"""Wetland methane fluxes: the real table against published statistics, and rows that cannot be right."""

from __future__ import annotations

import csv
import gzip
import statistics

import numpy as np
import pandas as pd
import pytest

from talik.errors import InputError
from talik.flux.table import mass_ratio
from talik.sources.bawld_classes import CLASSES as COVER
from talik.sources.wetland_ch4 import CLASSES, UNITS, read_wetland_ch4

TABLE = "data/bawld-ch4-wetlands/bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
SEASON = {  # n, mean, median, SD, half-width of the 95 % limits of the mean; mg CH4 m-2 d-1
    "MAR": (33, 171.6, 106.0, 160.0, 54.6),
    "WTU": (109, 81.5, 65.0, 67.6, 12.7),
    "FEN": (109, 79.6, 54.0, 89.9, 16.9),
    "BOG": (86, 43.5, 24.6, 56.2, 11.9),
    "PEB": (80, 7.8, 2.3, 17.9, 3.9),
}
ANNUAL = {  # n, mean, median; g CH4 m-2 yr-1
    "MAR": (5, 27.4, 26.0),
    "FEN": (15, 14.0, 9.8),
    "WTU": (16, 7.7, 5.1),
    "BOG": (6, 7.2, 3.8),
    "PEB": (12, 0.67, 0.30),
}
ROW = {
    "field_1": 1,
    "Database": "Kuhn",
    "Reference": "Doe 2001",
    "Site": "Mire, Land",
    "SiteID": "Mire",
    "Country": "Land",
    "Class": "Fen",
    "Years": "1999, 2001-2003",
    "Meth": "C",
    "LatDec": 65.5,
    "LongDec": 200.25,
    "Cell_ID": 12,
    "CH4Av": 10.0,
    "CH4Md": 8.0,
    "CH4Mx": 20.0,
    "CH4An": 2.0,
    "GrowSL": 120,
    "WTAv": -5.0,
    "TSoilA": 8.0,
}


@pytest.fixture(scope="module")
def real(shared):
    return read_wetland_ch4(shared / TABLE)


@pytest.fixture
def written(tmp_path):
    def write(*rows):
        path = tmp_path / "sites.csv"
        pd.DataFrame(rows).to_csv(path, index=False)
        return path

    return write


def printed(text):
    """A number as printed, and half a unit of its last digit."""
    return pytest.approx(text, abs=0.5 * (0.01 if 0 < text < 1 else 0.1) + 1e-9)


@pytest.mark.parametrize("code", SEASON)
def test_growing_season_of_the_classes_as_published(real, code):
    values = real.table.loc[real.table["class"] == code, "ch4_mean"].dropna()
    n, mean, median, sd, half = SEASON[code]
    assert len(values) == n
    assert values.mean() == printed(mean)
    assert values.median() == printed(median)
    assert values.std() == pytest.approx(sd, abs=0.06)  # 159.95 is printed as 160.0
    assert 1.96 * values.std() / np.sqrt(n) == printed(half)


@pytest.mark.parametrize("code", ANNUAL)
def test_annual_fluxes_of_the_classes_as_published(real, code):
    values = real.table.loc[real.table["class"] == code, "ch4_annual"].dropna()
    assert (len(values), values.mean(), values.median()) == (
        ANNUAL[code][0],
        *(printed(v) for v in ANNUAL[code][1:]),
    )


def test_rows_equal_those_read_by_hand(real, shared):
    """Every number against the csv module."""
    with gzip.open(shared / TABLE, "rt", encoding="utf-8") as stream:
        raw = list(csv.DictReader(stream))
    assert len(raw) == len(real.table) == 419
    for name, column in (
        ("ch4_mean", "CH4Av"),
        ("ch4_annual", "CH4An"),
        ("water_table", "WTAv"),
        ("lat", "LatDec"),
    ):
        expected = [float(r[column]) if r[column] else np.nan for r in raw]
        np.testing.assert_array_equal(real.table[name], expected)
    assert list(real.table["class"]) == [CLASSES[r["Class"]] for r in raw]
    assert statistics.fmean(float(r["CH4An"]) for r in raw if r["CH4An"]) == pytest.approx(
        real.table["ch4_annual"].mean()
    )


def test_sites_of_the_real_table(real):
    table = real.table
    assert table["site_id"].nunique() == 133
    assert len(table.groupby(["site_id", "class"])) == 194
    assert table["site"].nunique() == 84
    # one name, places in two countries; two names, one place
    far = table[table["site"] == "Northern"]
    assert np.ptp(far["lon"]) > 46
    assert far["site_id"].nunique() == 5
    assert set(table.loc[table["site_id"] == "Stordalen 68.37 19.05", "site"]) == {"Stordalen", "Storflaket"}
    assert table["cell_id"].nunique() == 82
    assert table["first_year"].min() == 1974
    assert (table["first_year"].dropna() <= table["last_year"].dropna()).all()
    assert table["first_year"].isna().sum() == 4
    assert set(table["method"]) == {"Chamber", "EC"}


def test_notes_of_the_real_table(real):
    name = TABLE.split("/")[-1]
    assert real.notes == (
        f"{name}: 2 of 419 rows have no growing-season mean",
        f"{name}: 62 of 419 rows have no BAWLD cell",
        f"{name}: site Ivotuk at latitude 68.82 has 4 rows at longitude 155.74 and 1 at -155.74: a sign may be lost; "
        "the rows are kept as they are",
    )


def test_units_and_species_are_said(real):
    fluxes = [c for c in real.table if c.startswith("ch4_")]
    assert real.species == "CH4"
    assert {real.units[c] for c in fluxes if c != "ch4_annual"} == {"mg m-2 d-1"}
    assert real.units["ch4_annual"] == "g m-2 year-1"
    assert set(UNITS) <= set(real.table)
    fen = real.table.loc[real.table["class"] == "FEN", "ch4_annual"].mean()
    assert fen * mass_ratio(real.species, "C") == pytest.approx(13.980444 * 12.011 / 16.043, rel=1e-6)


def test_class_names_are_those_of_land_cover():
    assert {c for c in COVER if COVER[c].parent == "WET"} == set(CLASSES.values())


def test_a_row_of_ones_own(written):
    read = read_wetland_ch4(written(ROW, {**ROW, "CH4Av": 11.0, "LongDec": -159.7449, "SiteID": "Other"}))
    first, second = (read.table.iloc[i] for i in (0, 1))
    assert read.notes == ()
    assert first["site_id"] == "Mire 65.50 -159.75"
    assert second["site_id"] == "Other 65.50 -159.74"
    assert (first["first_year"], first["last_year"]) == (1999, 2003)
    assert (first["class"], first["cell_id"], first["season_length"]) == ("FEN", 12, 120)
    assert first["lon"] == -159.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Class": "Swamp"}, "1 of 1 rows, first row 1: class Swamp is unknown; known are Bog, Fen"),
        ({"Class": ""}, "Class is missing"),
        ({"SiteID": " "}, "SiteID is missing"),
        ({"LatDec": np.nan}, "LatDec or LongDec is missing"),
        ({"LatDec": 99.0}, "LatDec lies outside -90..90"),
        ({"CH4Av": "ten"}, "column CH4Av holds 'ten' in row 1 .1 such rows.; expected numbers"),
        ({"CH4Av": 1e20}, "CH4Av lies outside -100..5000 mg m-2 d-1"),
        ({"GrowSL": 400}, "GrowSL lies outside 1..366 d"),
        ({"CH4Mx": 3.0}, "CH4Mx is below CH4Av and CH4Md"),
        ({"Meth": "X"}, "Meth is neither C"),
        ({"Years": "nineties"}, "Years holds no year"),
    ],
)
def test_wrong_rows(written, change, message):
    with pytest.raises(InputError, match=message):
        read_wetland_ch4(written({**ROW, **change}))


def test_wrong_tables(written, tmp_path):
    with pytest.raises(InputError, match="2 rows are equal but for their number, first rows 1 and 3"):
        read_wetland_ch4(written(ROW, {**ROW, "CH4Av": 5.0}, {**ROW, "field_1": 3}))
    with pytest.raises(InputError, match="no column CH4An, GrowSL; expected those of BAWLD-CH4"):
        read_wetland_ch4(written({k: v for k, v in ROW.items() if k not in ("CH4An", "GrowSL")}))
    with pytest.raises(InputError, match="no such file"):
        read_wetland_ch4(tmp_path / "nothing.csv")
