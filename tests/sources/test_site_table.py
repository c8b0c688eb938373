"""Site tables: every reader gives the same numbers, units and month lengths are real, the odd files are read."""

from __future__ import annotations

import calendar
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError, UnitsError
from talik.sources.site_table import COLUMNS, MONTHLY, month_stamps, monthly_carbon, read_sites
from talik.sources.table_file import read_table

YEAR = 2004  # a leap year
MONTHS = [calendar.monthrange(YEAR, month)[1] for month in range(1, 13)]
DAYS = pd.date_range(f"{YEAR}-01-01", f"{YEAR}-12-31")
RATE = 1 / 366  # 1 g C m-2 yr-1 as a rate in g m-2 d-1
CARBON = 12.011
UMOL = RATE / 86_400 / CARBON * 1e6  # the same in umol m-2 s-1


def _v1(folder: Path) -> Path:
    path = folder / "Arctic_Boreal_CO2_Flux.csv"
    rows = {"study_id": "S", "meas_year": YEAR, "interval_month": range(1, 13)}
    amounts = [RATE * days for days in MONTHS]
    fluxes = {"nee": amounts, "gpp": [-a for a in amounts], "reco": [2 * a for a in amounts]}
    pd.DataFrame({**rows, "flux_method": "EC", **fluxes}).to_csv(path, index=False)
    return path


def _v2(folder: Path) -> Path:
    path = folder / "v2.csv"
    table = pd.read_csv(_v1(folder)).rename(columns={"meas_year": "year", "interval_month": "month"})
    table = table.rename(columns={"study_id": "site_name"}).assign(
        site_reference="XX-Abc", ch4_flux_total=np.nan
    )
    table.to_csv(path, index=False)
    return path


def _training(folder: Path) -> Path:
    path = folder / "gpp.csv.gz"
    table = pd.read_csv(_v1(folder))
    out = pd.DataFrame({"site": 1, "year": YEAR, "month": table["interval_month"], "tsoil_era5_l1": 270.0})
    for flux in ("nee", "gpp", "reco"):
        out[f"{flux}_obs"] = table[flux]
    out.assign(snowcover_era5=np.linspace(0, 100, 12)).to_csv(path, index=False)
    return path


def _monthly(folder: Path) -> Path:
    path = folder / "FLX_FI-Hyy_FLUXNET2015_FULLSET_MM_2004-2004_1-4.csv"
    stamps = [f"{YEAR}{month:02d}" for month in range(1, 13)]
    pd.DataFrame(
        {"TIMESTAMP": stamps, "NEE_VUT_REF": RATE, "GPP_NT_VUT_REF": RATE, "RECO_NT_VUT_REF": 2 * RATE}
    ).to_csv(path, index=False)
    return path


def _daily(folder: Path) -> Path:
    path = folder / "FLX_FI-Hyy_FLUXNET2015_FULLSET_DD_2004-2004_1-4.csv"
    pd.DataFrame(
        {
            "TIMESTAMP": DAYS.strftime("%Y%m%d"),
            "NEE_VUT_REF": RATE,
            "GPP_NT_VUT_REF": RATE,
            "RECO_NT_VUT_REF": 2 * RATE,
        }
    ).to_csv(path, index=False)
    return path


def _methane(folder: Path) -> Path:
    path = folder / "FLX_FI-Hyy_FLUXNET-CH4_DD_2004-2004_1-1.csv"
    pd.DataFrame(
        {
            "TIMESTAMP": DAYS.strftime("%Y%m%d"),
            "FCH4_F_ANNOPTLM": 1000 * UMOL,
            "NEE_F_ANNOPTLM": UMOL,
            "GPP_NT": UMOL,
            "RECO_NT": 2 * UMOL,
        }
    ).to_csv(path, index=False)
    return path


def _cardamom(folder: Path) -> Path:
    path = folder / "site_months.parquet"
    fixed = {
        "site": "FI-Hyy",
        "lat": 61.8,
        "lon": 24.3,
        "year": YEAR,
        "tmin": -1.0,
        "tmax": 3.0,
        "ssrd": 8.64,
    }
    table = pd.DataFrame(
        {"month": range(1, 13), **fixed, "vpd": 5.0, "precip": 1.0, "gpp": RATE, "nee": RATE}
    )
    table.to_parquet(path)
    return path


def _generic(header: str, factor: float | list[float]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "own.csv"
        values = factor * np.ones(12)
        table = pd.DataFrame({"site_id": "S", "year": YEAR, "month": range(1, 13)})
        for flux, sign in (("nee", 1), ("gpp", 1), ("reco", 2)):
            table[header.replace("*", flux)] = sign * values
        table.to_csv(path, index=False)
        return path

    return write


OWN = {
    "no brackets": _generic("*", [RATE * days for days in MONTHS]),
    "g m-2 month-1": _generic("* [g m-2 month-1]", [RATE * days for days in MONTHS]),
    "g C m-2 month-1": _generic("* [g C m-2 month-1]", [RATE * days for days in MONTHS]),
    "gC m-2 d-1": _generic("*[gC m-2 d-1]", RATE),
    "g CO2 m-2 d-1": _generic("* (g CO2 m-2 d-1)", RATE * 44.009 / 12.011),
    "mg CO2-C m-2 h-1": _generic("* [mg CO2-C m-2 h-1]", 1000 * RATE / 24),
    "umol CO2 m-2 s-1": _generic("* [umol CO2 m-2 s-1]", UMOL),
    "kg m-2 s-1": _generic("* [kg m-2 s-1]", RATE / 86_400 / 1000),
    "g m-2 yr-1": _generic("* [g m-2 yr-1]", 1.0),
}
WRITERS = {
    "abcflux-v1": _v1,
    "abcflux-v2": _v2,
    "abcflux-v1-ml": _training,
    "fluxnet MM": _monthly,
    "fluxnet DD": _daily,
    "fluxnet-ch4": _methane,
    "fluxnet2015-cardamom": _cardamom,
    **{f"generic {k}": w for k, w in OWN.items()},
}


@pytest.mark.parametrize("writer", WRITERS)
def test_one_gram_a_year_is_the_same_through_every_reader(tmp_path, writer):
    sites = read_sites(WRITERS[writer](tmp_path))
    assert sites.format == writer.split(" ")[0].replace("fluxnet-ch4", "fluxnet")
    assert len(sites.rows) == 12
    assert sites.rows["site_id"].nunique() == 1
    for flux, total in (("nee", 1.0), ("gpp", 1.0), ("reco", 2.0)):
        np.testing.assert_allclose(sites.rows[flux].sum(), total, rtol=1e-6)
        np.testing.assert_allclose(sites.rows[flux], total * np.array(MONTHS) / 366, rtol=1e-6)


def test_methane_in_nanomoles_is_carbon(tmp_path):
    sites = read_sites(_methane(tmp_path))
    np.testing.assert_allclose(sites.rows["ch4"].sum(), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("mg CH4 m-2 d-1", 1e-3 * 12.011 / 16.043),
        ("mg C m-2 d-1", 1e-3),
        ("nmol m-2 s-1", 86_400e-9 * 12.011),
    ],
)
def test_methane_units(tmp_path, units, factor):
    path = tmp_path / "ch4.csv"
    path.write_text(f"site_id,year,month,ch4 [{units}]\nS,2003,2,3\nS,2004,2,3\n")
    found = read_sites(path)
    np.testing.assert_allclose(found.rows["ch4"], [3 * factor * 28, 3 * factor * 29], rtol=1e-6)
    assert found.notes == (f"ch4: {units} to {MONTHLY} of carbon",)


@pytest.mark.parametrize("units", ["g N m-2 d-1", "g CH4 m-2 d-1", "furlong", "degC", "m-2 s-1", "", "g m-2"])
def test_units_that_are_no_carbon_flux_are_refused(tmp_path, units):
    path = tmp_path / "own.csv"
    path.write_text(f"site_id,year,month,nee [{units}]\nS,2004,2,3\n")
    with pytest.raises(UnitsError, match=r"own\.csv: header nee \["):
        read_sites(path)


@pytest.mark.parametrize(
    ("header", "given", "wanted"),
    [
        ("soil_temperature [degC]", 1.5, 274.65),
        ("snow_cover [1]", 0.25, 25.0),
        ("soil_moisture [%]", 25, 0.25),
        ("vpd [hPa]", 12, 1.2),
        ("precip [mm month-1]", 40, 40),
        ("precip [mm d-1]", 2, 58),
        ("soc_stock [kg m-2]", 30, 300),
        ("tair [K]", 273.15, 0),
    ],
)
def test_other_columns_are_converted_too(tmp_path, header, given, wanted):
    path = tmp_path / "own.csv"
    path.write_text(f"site_id,year,month,nee,{header}\nS,2004,2,3,{given}\n")
    name = header.split(" ")[0]
    assert read_sites(path).rows[name].iloc[0] == pytest.approx(wanted, abs=1e-9)


def test_assumed_units_are_said_once(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("site_id,year,month,nee,tair,colour\nS,2004,2,3,1,red\n")
    assert read_sites(path).notes == (
        "no units in the header, read as the schema says: nee g m-2 month-1, tair degC",
    )


@settings(max_examples=40)
@given(
    value=st.floats(-50, 50),
    year=st.integers(1950, 2100),
    month=st.integers(1, 12),
)
def test_rates_and_amounts_agree_for_any_month(value, year, month):
    when = month_stamps(pd.Series([year]), pd.Series([month]), Path("x"))
    found = monthly_carbon(pd.Series([value]), "umol m-2 s-1", when, "nee").iloc[0]
    slow = value * 1e-6 * CARBON * 86_400 * calendar.monthrange(year, month)[1]
    assert found == pytest.approx(slow, rel=1e-9, abs=1e-12)


def test_a_rate_without_a_date_has_no_monthly_total(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("site_id,year,month,nee [g m-2 d-1]\nS,2004,NA,3\nS,NA,1,3\nS,2004,1,3\n")
    assert read_sites(path).rows["nee"].isna().tolist() == [True, True, False]


def test_negative_gpp_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("site_id,year,month,gpp\n" + "".join(f"S,2004,{m},-5\n" for m in range(1, 13)))
    with pytest.raises(
        InputError, match=r"gpp is mostly negative \(12 of 12 rows\).*Multiply the column by -1"
    ):
        read_sites(path)


def test_errors_name_file_column_and_row(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("site_id,year,month,nee\nS,2004,1,3\nS,2004,2,lost\n")
    with pytest.raises(InputError, match=r"own\.csv: nee holds text in 1 rows, first 'lost' in row 2"):
        read_sites(path)
    path.write_text("site_id,year,month,nee\nS,2004,13,3\n")
    with pytest.raises(InputError, match=r"month is 13 in row 1 .*expected 1\.\.12"):
        read_sites(path)
    path.write_text("site_id,year,month,nee\n,2004,1,3\n")
    with pytest.raises(InputError, match="site_id is missing in 1 rows"):
        read_sites(path)
    path.write_text("site_id,year,month,nee,nee [g m-2 d-1]\nS,2004,1,3,3\n")
    with pytest.raises(InputError, match="column nee is given twice"):
        read_sites(path)
    path.write_text("place,when\nS,2004\n")
    with pytest.raises(
        InputError, match=r"not a site table talik knows.*site_id, year, month; found place, when"
    ):
        read_sites(path)


def test_longitudes_run_from_minus_180_to_180(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "site_id,year,month,nee,lat,lon\nA,2004,1,3,70,210\nB,2004,1,3,70,-30\nC,2004,1,3,70,180\n"
    )
    assert read_sites(path).rows["lon"].tolist() == [-150, -30, 180]


MARKS = "site_id,year,month,nee\n\u00c5kerm\u00e4n,2004,1,NA\nB,2004,1,-9999\nC,2004,1,\nD,2004,1, 5.5\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("zipped", [False, True])
def test_text_files(tmp_path, encoding, zipped):
    path = tmp_path / "table.txt"
    content = MARKS.encode(encoding)
    path.write_bytes(gzip.compress(content) if zipped else content)
    sites = read_sites(path)
    assert sites.rows["site_id"].iloc[0] == "\u00c5kerm\u00e4n"
    np.testing.assert_array_equal(sites.rows["nee"], [np.nan, np.nan, np.nan, 5.5])
    assert ("text is not UTF-8; read as latin-1" in sites.notes) == (encoding == "latin-1")


def test_decimal_commas_and_parquet(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("site_id;year;month;nee\nA;2004;1;1,5\nA;2004;2;-9999\n")
    table, notes = read_table(path)
    np.testing.assert_array_equal(table["nee"], [1.5, np.nan])
    assert notes == ["columns are separated by semicolons; a comma is read as the decimal sign"]
    pd.DataFrame({"a": [1, -9999], "b": ["x", "-9999"]}).to_parquet(tmp_path / "t.parquet")
    table, notes = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(table["a"], [1, np.nan])
    assert not notes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 rows|nothing to read|not a CSV"),
        (b"a,b\n", "nothing to read"),
        (b"PAR1 this is none", "damaged Parquet"),
        (b"\x1f\x8b broken", "damaged gzip"),
        (b"\x00\x01\x02\x03", "binary content"),
        (b"a,b\n1,2,3\n4,5,6,7\n", "not a CSV table"),
    ],
)
def test_damaged_files_are_said(tmp_path, content, says):
    path = tmp_path / "table"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_table(path)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_schema_is_complete():
    """Every canonical column of the brief has a meaning; every number has a unit or is a year or month."""
    wanted = "site_id year month lat lon biome country vegetation disturbance disturb_year flux_method nee gpp reco ch4"
    predictors = (
        "srad vpd co2 vegetation_type snow_cover soil_temperature soil_moisture ndvi surface_temperature cti "
        "tree_cover non_tree_vegetation non_vegetated soil_ph soc_stock permafrost_probability"
    )
    assert set(f"{wanted} {predictors}".split()) <= set(COLUMNS)
    for column in COLUMNS.values():
        assert column.meaning
        assert (column.kind == "number") == bool(column.units)
        assert column.low < column.high
