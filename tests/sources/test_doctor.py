"""The doctor: a mistake planted in a good file is found, together with all others, and named with its rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.sources.doctor import diagnose, examine
from talik.sources.problem import Problem
from talik.sources.site_table import read_sites

UNITS = "g m-2 month-1"


def good() -> pd.DataFrame:
    """Three sites, three years of months, closed and plausible; nothing to complain about."""
    rows = []
    rng = np.random.default_rng(5)
    for k, site in enumerate(("FI-Hyy", "US-Atq", "RU-Che")):
        for year in (2001, 2002, 2003):
            for month in range(1, 13):
                season = max(0.0, np.sin((month - 3.5) / 12 * 2 * np.pi))
                gpp, reco = 150 * season * (1 + 0.1 * k), 15 + 90 * season
                lat, lon = ((61.85, 24.3), (70.47, -157.4), (68.6, 161.3))[k]
                soil = 262 + 20 * season + rng.normal()
                rows.append((site, lat, lon, year, month, reco - gpp, gpp, reco, soil, 40 + rng.normal()))
    header = ["site_id", "lat [degrees_north]", "lon [degrees_east]", "year", "month"]
    header += [f"{f} [{UNITS}]" for f in ("nee", "gpp", "reco")]
    return pd.DataFrame(rows, columns=[*header, "soil_temperature [K]", "tree_cover [percent]"])


def _write(tmp_path: Path, table: pd.DataFrame) -> Path:
    path = tmp_path / "sites.csv"
    table.to_csv(path, index=False)
    return path


def test_a_good_table_has_no_problem(tmp_path):
    found = diagnose(_write(tmp_path, good()))
    assert found.problems == ()
    assert (found.format, found.n_rows, found.n_sites, found.usable) == ("generic", 108, 3, True)


def _set(column: str, rows: list[int] | slice, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        header = next(c for c in table.columns if c.split(" ")[0] == column)
        if not callable(value):
            table[header] = table[header].astype(object if isinstance(value, str | None) else float)
        table.loc[rows, header] = value(table.loc[rows, header]) if callable(value) else value
        return table

    return change


def _rename(old: str, new: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.rename(columns=lambda c: new if c.split(" ")[0] == old else c)


def _swap(table: pd.DataFrame) -> pd.DataFrame:
    lat, lon = table.columns[1:3]
    here = table["site_id"] == "FI-Hyy"
    table.loc[here, [lat, lon]] = table.loc[here, [lon, lat]].to_numpy()
    return table


EVERY = slice(None)
MISTAKES = {
    "text in numbers": (_set("gpp", [3], "lost"), "error", "gpp", "text in 1 row, first 'lost'", (4,)),
    "month 13": (_set("month", [5, 6], 13), "error", "month", "13 in 2 rows; expected a whole", (6, 7)),
    "half a month": (_set("month", [5], 1.5), "error", "month", "1.5 in 1 row", (6,)),
    "year 20001": (_set("year", [0], 20001), "error", "year", "20001 in 1 row", (1,)),
    "no site": (_set("site_id", [7], None), "error", "site_id", "no site in some rows", (8,)),
    "unknown units": (
        _rename("nee", "nee [furlong]"),
        "error",
        "nee",
        r"does not become 'g m-2 month-1'",
        (),
    ),
    "missing units": (_rename("nee", "nee"), "note", "", "no units in the header.*nee g m-2 month-1", ()),
    "negative GPP": (_set("gpp", EVERY, lambda v: -v), "error", "gpp", "mostly negative", (4, 5, 6, 7, 8)),
    "negative NEE": (_set("nee", EVERY, lambda v: -v), "error", "nee", "NEE equals GPP - Reco in", None),
    "open balance": (_set("nee", [20, 30], 77.0), "note", "nee", r"in 2 of 108 rows \(1\.9 %\)", (21, 31)),
    "often open": (
        _set("nee", list(range(40)), 77.0),
        "warning",
        "nee",
        r"in 40 of 108 rows",
        (1, 2, 3, 4, 5),
    ),
    "twice": (
        lambda t: pd.concat([t, t.iloc[[9]]]),
        "warning",
        "site_id, year, month",
        "1 row with a site",
        (109,),
    ),
    "too large": (_set("reco", [50], 5000.0), "warning", "reco", "1 of 108 values outside -30 to 700", (51,)),
    "a missing-value mark": (_set("reco", [50, 51], 9999.0), "error", "reco", "holds 9999", (51, 52)),
    "infinite": (_set("reco", [50], np.inf), "error", "reco", "infinite values", (51,)),
    "Celsius": (
        _set("soil_temperature", EVERY, lambda v: v - 273.15),
        "error",
        "soil_temperature",
        "outside",
        None,
    ),
    "fraction": (
        _set("tree_cover", EVERY, lambda v: v / 100),
        "warning",
        "tree_cover",
        "percent expected",
        (),
    ),
    "constant": (_set("tree_cover", EVERY, 12.0), "note", "tree_cover", "the same in all 108 rows", ()),
    "empty": (_set("tree_cover", EVERY, np.nan), "warning", "tree_cover", "no value in any row", ()),
    "swapped": (
        _swap,
        "error",
        "lat, lon",
        r"look swapped \(36 rows; first FI-Hyy: 24\.3, 61\.85\)",
        (1, 2, 3, 4, 5),
    ),
    "latitude 95": (_set("lat", [0], 95.0), "error", "lat, lon", "outside -90..90", (1,)),
    "0, 0": (
        lambda t: _set("lat", [0], 0.0)(_set("lon", [0], 0.0)(t)),
        "error",
        "lat, lon",
        r"^0, 0 \(1 row",
        (1,),
    ),
    "south": (_set("lat", [0], 40.0), "warning", "lat, lon", "south of 45 N", (1,)),
    "moving": (
        _set("lat", [0], 61.0),
        "warning",
        "lat, lon",
        "1 site with places more than 0.05 degrees",
        (),
    ),
    "east of Greenwich": (
        lambda t: _set("lon", slice(36, 71), 157.4)(t.assign(country="USA")).iloc[36:72],
        "error",
        "lat, lon",
        "east of Greenwich in North America",
        None,
    ),
    "no winter": (
        lambda t: t[(t["site_id"] != "US-Atq") | t["month"].between(4, 10)],
        "warning",
        "month",
        "1 of 3 sites have no flux from November to March: US-Atq",
        (),
    ),
    "gaps": (lambda t: t.drop([3, 4]), "note", "month", "1 of 3 sites have gaps, 2 months together", ()),
    "rates": (_set("gpp", EVERY, lambda v: v / 30), "warning", "gpp", "19 of 20 summer months below", ()),
    "no positions": (lambda t: t.drop(columns=t.columns[1]), "note", "lat", "no such column", ()),
    "some positions": (_set("lat", [2], np.nan), "note", "lat, lon", "no position in 1 of 108 rows", (3,)),
    "no date": (_set("year", [2], np.nan), "note", "year, month", "no year or month in 1 of 108", (3,)),
    "words": (lambda t: t.assign(biome="taiga"), "warning", "biome", "taiga in 108 rows; known are", None),
    "no flux": (
        lambda t: t.drop(columns=t.columns[5:8]),
        "error",
        "nee, gpp, reco, ch4",
        "no flux column",
        (),
    ),
    "given twice": (
        lambda t: t.assign(nee=1.0),
        "error",
        "nee",
        "the column is given twice, again as 'nee'",
        (),
    ),
}


def _find(problems: list[Problem], severity: str, column: str, pattern: str) -> list[Problem]:
    return [
        p for p in problems if (p.severity, p.column) == (severity, column) and re.search(pattern, p.found)
    ]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(tmp_path, mistake):
    change, severity, column, pattern, rows = MISTAKES[mistake]
    problems = examine(_write(tmp_path, change(good())))
    found = _find(problems, severity, column, pattern)
    assert len(found) == 1, problems
    assert rows is None or found[0].rows == rows
    assert found[0].remedy or found[0].severity == "note"


def test_all_mistakes_are_found_at_once(tmp_path):
    table = good()
    planted = [
        "text in numbers",
        "month 13",
        "no site",
        "unknown units",
        "fraction",
        "latitude 95",
        "year 20001",
    ]
    planted += ["a missing-value mark", "Celsius"]
    for name in planted:
        table = MISTAKES[name][0](table)
    problems = examine(_write(tmp_path, table))
    for name in planted:
        _, severity, column, pattern, _ = MISTAKES[name]
        assert _find(problems, severity, column, pattern), (name, problems)
    order = [("error", "warning", "note").index(p.severity) for p in problems]
    assert order == sorted(order)


def test_scale_is_guessed(tmp_path):
    table = MISTAKES["Celsius"][0](good())
    found = [p for p in examine(_write(tmp_path, table)) if p.column == "soil_temperature"]
    assert "like degC, not K" in found[0].remedy
    table = _set("soil_temperature", list(range(36)), lambda v: v - 273.15)(good())  # one site only
    found = [p for p in examine(_write(tmp_path, table)) if p.column == "soil_temperature"]
    assert [(p.severity, p.count) for p in found] == [("error", 36)]
    assert "like degC, not K" in found[0].remedy
    table = _set("tree_cover", EVERY, lambda v: v * 100)(good())
    found = [p for p in examine(_write(tmp_path, table)) if p.column == "tree_cover"]
    assert "100 times too large" in found[0].remedy


def test_nee_of_a_table_without_partitioning(tmp_path):
    table = good().drop(columns=[f"gpp [{UNITS}]", f"reco [{UNITS}]"])
    assert not [p for p in examine(_write(tmp_path, table)) if p.column == "nee"]
    table[f"nee [{UNITS}]"] *= -1
    found = [p for p in examine(_write(tmp_path, table)) if p.column == "nee"]
    assert [p.severity for p in found] == ["error"]
    assert "NEP" in found[0].remedy


def test_headers_are_matched(tmp_path):
    table = good().rename(columns={"site_id": "Site", "month": "Month"})
    found = diagnose(_write(tmp_path, table))
    remedies = {p.column: p.remedy for p in found.problems}
    assert remedies["site_id"] == "Rename 'Site' to site_id."
    assert remedies["month"] == "Rename 'Month' to month."
    assert (found.format, found.n_rows, found.usable) == ("unknown", 108, False)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "not a CSV|nothing to read"), (b"PAR1xxxx", "damaged Parquet"), (b"\x1f\x8bxx", "damaged gzip")],
)
def test_an_unreadable_file_is_one_problem(tmp_path, content, says):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    problems = examine(path)
    assert len(problems) == 1
    assert problems[0].severity == "error"
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(problems[0].found)


def test_other_files(tmp_path):
    (tmp_path / "talik.yaml").write_text("project: x\n")
    assert diagnose(tmp_path / "talik.yaml").format == "yaml"
    assert diagnose(tmp_path / "talik.yaml").usable
    assert not diagnose(tmp_path / "none.csv").usable
    (tmp_path / "empty").mkdir()
    assert "no monthly or daily FLUXNET file" in examine(tmp_path / "empty")[0].found


ABC = "site_name,site_reference,year,month,flux_method,nee,gpp,reco,ch4_flux_total\n"


def test_all_problems_of_an_abcflux_table(tmp_path):
    path = tmp_path / "v2.csv"
    path.write_text(ABC + "A,X,2001,1,balloon,1,-2,3,\nA,X,2001,14,EC,1,x,3,\nA,X,2001,3,EC,-9999,-2,3,\n")
    found = diagnose(path)
    assert (found.format, found.n_rows) == ("abcflux-v2", 3)
    told = {(p.column, p.found) for p in found.problems if p.severity == "error"}
    assert ("flux_method", "unknown: balloon") in told
    assert ("gpp", "text in 1 row, first 'x'") in told
    assert any(column == "month" for column, _ in told)


def test_real_tables(shared):
    """One error in 10,990 months: four rows of a Canadian site without the minus of its longitude."""
    for name in ("abcflux-v1-ml/wide.parquet", "fluxnet2015-cardamom/site_months.parquet"):
        assert diagnose(shared / "data" / name).usable
    found = diagnose(shared / "data/abcflux-v2-apr2024/site_months.parquet")
    errors = [p for p in found.problems if p.severity == "error"]
    assert [p.count for p in errors] == [4]
    assert "Thompson | Beaver pond: 55.92, 98.02" in errors[0].found
    table = pd.read_parquet(shared / "data/abcflux-v2-apr2024/site_months.parquet")
    rows = table.iloc[[row - 1 for row in errors[0].rows]]  # those of the file, of which a third is not taken
    assert len(rows) == 4
    assert (rows["longitude"] == 98.02).all()


def test_rows_are_those_of_the_file(tmp_path):
    path = tmp_path / "v2.csv"
    path.write_text(
        ABC
        + "A,X,2001,1,EC,1,-2,3,\nA,X,2001,1,EC,1,-2,3,\nA,X,2001,2,EC,1,-2,3,\nA,X,2001,3,EC,5000,-2,3,\n"
    )
    found = diagnose(path).problems
    assert [p.rows for p in found if p.column == "nee" and "outside" in p.found] == [(4,)]
    assert any(
        p.found.startswith("1 of 4 rows not taken: another row of the same site and month") for p in found
    )


def test_long_names_of_positions_and_fluxes_in_capitals(tmp_path):
    long = good().rename(columns={"lat [degrees_north]": "latitude", "lon [degrees_east]": "longitude"})
    assert not any(p.column == "lat, lon" for p in diagnose(_write(tmp_path, long)).problems)
    bare = good().drop(columns=[f"gpp [{UNITS}]", f"reco [{UNITS}]"])
    (lost,) = [
        p
        for p in diagnose(_write(tmp_path, bare.rename(columns={f"nee [{UNITS}]": "NEE"}))).problems
        if p.severity == "error"
    ]
    assert lost.remedy == "Rename NEE to nee."


@pytest.mark.parametrize(
    ("header", "advice"),
    [("nee", "in the header: nee [...]"), ("nee [umol m-2 s-1]", "correct the unit that the header gives")],
)
def test_a_header_with_a_unit_is_not_told_to_give_one(tmp_path, header, advice):
    scale = 100.0 if header == "nee" else 10.0
    table = (
        good().drop(columns=[f"gpp [{UNITS}]", f"reco [{UNITS}]"]).rename(columns={f"nee [{UNITS}]": header})
    )
    table[header] = scale * table[header] + 1000.0 * np.sign(table[header])
    (found,) = (
        p
        for p in diagnose(_write(tmp_path, table)).problems
        if p.severity == "error" and "outside" in p.found
    )
    assert found.column == "nee"
    assert advice in found.remedy
    assert ("[...]" in found.remedy) == (header == "nee")


def test_a_format_without_units_in_headers_is_not_told_to_give_one(tmp_path):
    path = tmp_path / "v2.csv"
    path.write_text(ABC + "".join(f"A,X,2001,{m},EC,{5000 + m},-2,3,\n" for m in range(1, 13)))
    (found,) = (p for p in diagnose(path).problems if p.column == "nee" and "outside" in p.found)
    assert "header" not in found.remedy


def test_a_wrong_date_is_told_with_the_row_of_the_file(tmp_path):
    path = tmp_path / "v2.csv"
    head = ABC + "A,X,2001,1,EC,1,-2,3,\nA,X,2001,1,EC,1,-2,3,\n"
    path.write_text(head + "A,X,2001.5,2,EC,1,-2,3,\n")
    with pytest.raises(
        InputError, match=r"v2\.csv: year is 2001\.5 in row 3 \(1 row\); expected a whole number\. Correct it"
    ):
        read_sites(path)
    path.write_text(head + "A,X,2001,13,EC,1,-2,3,\nA,X,2001,14,EC,1,-2,3,\n")
    with pytest.raises(InputError, match=r"month is 13 in rows 3, 4 \(2 rows\); expected 1\.\.12"):
        read_sites(path)


# ---- nothing makes it raise


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=200),
    magic=st.sampled_from([b"", b"PAR1", b"\x1f\x8b", b"CDF\x01", b"\x89HDF\r\n"]),
)
def test_any_bytes(tmp_path, content, magic):
    path = tmp_path / "any"
    path.write_bytes(magic + content)
    assert all(p.severity in ("error", "warning", "note") for p in examine(path))


ENTRIES = st.sampled_from(
    ["1", "-1e9", "inf", "", "NA", "x", "2004", "13", "-9999", "0", "1e300", "\u00e4", "60", "true"]
)
HEADS = st.sampled_from(
    [
        "site_id,year,month,nee [g m-2 d-1],gpp,reco,lat,lon",
        "study_id,meas_year,interval_month,nee,gpp,reco,latitude,longitude",
        "site_name,site_reference,year,month,ch4_flux_total,gpp,flux_method,partition_method",
        "site,month,tsoil_era5_l1,snowcover_era5,year,nee_obs,gpp_obs,lst_day_modis",
        "site,year,month,tmin,tmax,ssrd,vpd,nee,gpp,precip",
        "TIMESTAMP,NEE_VUT_REF,GPP_NT_VUT_REF,RECO_NT_VUT_REF,TA_F,NEE_VUT_REF_QC,P_F,SW_IN_F",
        "site_id,year,month,tree_cover [1],biome,country,lat,lon",
    ]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(head=HEADS, data=st.data())
def test_any_table(tmp_path, head, data):
    width = head.count(",") + 1
    rows = data.draw(st.lists(st.lists(ENTRIES, min_size=width, max_size=width), min_size=1, max_size=4))
    path = tmp_path / "FLX_FI-Hyy_MM.csv"
    path.write_text("\n".join([head, *(",".join(row) for row in rows)]))
    for problem in examine(path):
        assert problem.found
        assert problem.to_dict()["severity"] in ("error", "warning", "note")


def test_a_row_without_a_site_is_named(tmp_path):
    path = tmp_path / "sites.csv"
    head = "site_name,site_reference,year,month,ch4_flux_total,gpp,flux_method,partition_method"
    path.write_text(f"{head}\n,1,2004,1,1,-1,EC,Lasslop\n")
    assert any("site_id is missing in 1 rows" in p.found for p in examine(path))


# ---- grids


def grid() -> xr.Dataset:
    lat, lon = np.arange(60.5, 64), np.arange(-10.5, 10)
    time = xr.DataArray(
        [15.0, 45.0], dims="time", attrs={"units": "days since 2001-01-01", "calendar": "standard"}
    )
    time.attrs["bounds"] = "time_bnds"
    values = np.full((2, lat.size, lon.size), 280.0)
    bounds = {
        f"{n}_bnds": ((n, "two"), np.stack([v - 0.5, v + 0.5], 1)) for n, v in (("lat", lat), ("lon", lon))
    }
    return xr.Dataset(
        {
            "soil_temperature": (("time", "lat", "lon"), values, {"units": "K"}),
            "time_bnds": (("time", "two"), np.array([[0.0, 31.0], [31.0, 59.0]])),
            **bounds,
        },
        {
            "time": time,
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


def _attr(name: str, key: str, value: str | None) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(data: xr.Dataset) -> xr.Dataset:
        data[name].attrs.pop(key, None)
        if value is not None:
            data[name].attrs[key] = value
        return data

    return change


GRID_MISTAKES = {
    "no units": (_attr("soil_temperature", "units", None), "error", "soil_temperature", "no units"),
    "species": (_attr("soil_temperature", "units", "g C m-2"), "error", "soil_temperature", "name a species"),
    "other units": (
        _attr("soil_temperature", "units", "m"),
        "error",
        "soil_temperature",
        "cannot become 'K'",
    ),
    "Celsius": (
        _attr("soil_temperature", "units", "degC"),
        "error",
        "soil_temperature",
        "168 of 168 values outside",
    ),
    "axis without units": (_attr("lat", "units", None), "warning", "lat", "no units"),
    "descending": (lambda d: d.isel(lat=slice(None, None, -1)), "note", "lat", "descending"),
    "0..360": (lambda d: d.assign_coords(lon=d["lon"] + 180), "note", "lon", "runs 0..360"),
    "uneven": (lambda d: d.isel(lat=[0, 1, 3]), "warning", "lat", "uneven spacing"),
    "shuffled": (lambda d: d.isel(lat=[0, 2, 1]), "error", "lat", "neither ascending nor descending"),
    "latitude 99": (lambda d: d.assign_coords(lat=d["lat"] + 40), "error", "lat", "runs 100.5 to 103.5"),
    "no calendar": (_attr("time", "calendar", None), "note", "time", "no calendar"),
    "unknown calendar": (_attr("time", "calendar", "mayan"), "error", "time", "calendar 'mayan' is unknown"),
    "months since": (_attr("time", "units", "months since 2001-01-01"), "warning", "time", "months since"),
    "no time units": (_attr("time", "units", None), "error", "time", "a time axis with no units"),
    "time back": (lambda d: d.isel(time=[1, 0]), "error", "time", "time does not ascend"),
    "no coordinates": (lambda d: d.rename(lat="a", lon="b"), "error", "", "no coordinates lat, lon or y, x"),
    "projection": (lambda d: d.rename(lat="y", lon="x"), "warning", "y, x", "no grid mapping"),
    "fill value": (
        lambda d: d.assign(soil_temperature=d["soil_temperature"].where(d["lon"] > 0, 1e20)),
        "error",
        "soil_temperature",
        "values to 1e\\+20",
    ),
    "all missing": (
        lambda d: d.assign(soil_temperature=d["soil_temperature"] * np.nan),
        "warning",
        "soil_temperature",
        "no value in the first steps",
    ),
}


def test_a_good_grid_has_no_problem(tmp_path):
    grid().to_netcdf(tmp_path / "grid.nc")
    assert examine(tmp_path / "grid.nc") == []
    assert diagnose(tmp_path / "grid.nc").format == "grid"


@pytest.mark.parametrize("mistake", GRID_MISTAKES)
def test_a_mistake_in_a_grid_is_found(tmp_path, mistake):
    change, severity, column, pattern = GRID_MISTAKES[mistake]
    with xr.set_options(keep_attrs=True):
        change(grid()).to_netcdf(tmp_path / "grid.nc")
    problems = examine(tmp_path / "grid.nc")
    assert len(_find(problems, severity, column, pattern)) == 1, problems
