"""FLUXNET: months from days, fall-backs, quality, file names."""

from __future__ import annotations

import calendar
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talik.errors import ConfigError, InputError
from talik.sources.fluxnet import read_files, read_folder, site_code
from talik.sources.site_table import read_sites

DAYS = pd.date_range("2000-01-01", "2001-12-31")
NAME = "FLX_{}_FLUXNET2015_FULLSET_{}_2000-2001_1-4.csv"


def _daily() -> pd.DataFrame:
    """Two years with a leap February, a different number every day."""
    rng = np.random.default_rng(1)
    stamps = DAYS.strftime("%Y%m%d").astype(int)
    columns = ("NEE_VUT_REF", "GPP_NT_VUT_REF", "RECO_NT_VUT_REF", "GPP_DT_VUT_REF", "RECO_DT_VUT_REF")
    return pd.DataFrame({"TIMESTAMP": stamps} | {c: rng.normal(size=len(DAYS)) for c in columns})


def _write(folder: Path, table: pd.DataFrame, step: str = "DD", site: str = "FI-Hyy") -> Path:
    path = folder / NAME.format(site, step)
    table.fillna(-9999).to_csv(path, index=False)
    return path


def _months(daily: pd.DataFrame) -> pd.DataFrame:
    return daily.groupby(daily["TIMESTAMP"] // 100).mean().drop(columns="TIMESTAMP").reset_index()


def test_months_and_days_agree(tmp_path):
    daily = _daily()
    days = read_sites(_write(tmp_path, daily))
    months = read_sites(_write(tmp_path, _months(daily), "MM"))
    pd.testing.assert_frame_equal(days.rows, months.rows, rtol=1e-9)
    assert days.rows["partition_method"].unique().tolist() == ["Reichstein"]
    slow = [
        sum(v for d, v in zip(DAYS, daily["NEE_VUT_REF"], strict=True) if (d.year, d.month) == (y, m))
        for y in (2000, 2001)
        for m in range(1, 13)
    ]
    np.testing.assert_allclose(days.rows["nee"], slow, rtol=1e-9)


@pytest.mark.parametrize(("lost", "kept"), [(2, True), (3, False)])
def test_a_month_with_more_than_a_tenth_of_its_days_missing_is_dropped(tmp_path, lost, kept):
    daily = _daily()
    february = np.flatnonzero((DAYS.year == 2000) & (DAYS.month == 2))  # 29 days: 2 are 7 %, 3 are 10.3 %
    daily.loc[february[:lost], "NEE_VUT_REF"] = np.nan
    found = read_sites(_write(tmp_path, daily))
    nee = found.rows.query("year == 2000 and month == 2")["nee"].iloc[0]
    if kept:
        assert nee == pytest.approx(29 * daily.loc[february[lost:], "NEE_VUT_REF"].mean())
        assert found.dropped == ()
    else:
        assert np.isnan(nee)
        assert found.dropped == (("nee: more than 10 % of the days missing", 1),)


def test_missing_days_may_also_be_missing_rows(tmp_path):
    daily = _daily()
    found = read_sites(_write(tmp_path, daily.iloc[10:]))
    assert np.isnan(found.rows["nee"].iloc[0])
    assert dict(found.dropped)["nee: more than 10 % of the days missing"] == 1


def test_choice_of_threshold_and_partitioning(tmp_path):
    daily = _months(_daily())
    daily["NEE_CUT_REF"] = daily["NEE_VUT_REF"] + 1
    path = _write(tmp_path, daily, "MM")
    rows = read_files([path], threshold="CUT", partition="DT")
    days = [calendar.monthrange(s // 100, s % 100)[1] for s in daily["TIMESTAMP"]]
    np.testing.assert_allclose(rows.rows["nee"], daily["NEE_CUT_REF"] * days)
    np.testing.assert_allclose(rows.rows["gpp"], daily["GPP_DT_VUT_REF"] * days)
    assert rows.rows["partition_method"].unique().tolist() == ["Lasslop"]
    assert "FI-Hyy: gpp and reco have no CUT columns; VUT taken" in rows.notes
    with pytest.raises(ConfigError, match="threshold 'REF' must be VUT or CUT"):
        read_files([path], threshold="REF")


def test_fall_back_is_said(tmp_path):
    table = _months(_daily()).rename(columns=lambda c: c.replace("VUT", "CUT"))
    table = table.drop(columns=["GPP_NT_CUT_REF", "RECO_NT_CUT_REF"])
    found = read_sites(_write(tmp_path, table, "MM", "SE-Svb"))
    assert "SE-Svb: nee has no VUT columns; CUT taken" in found.notes
    assert "SE-Svb: gpp and reco have no NT columns; DT taken" in found.notes
    assert found.rows["gpp"].notna().all()


def test_quality_is_that_of_nee(tmp_path):
    table = _months(_daily())
    table["NEE_VUT_REF_QC"] = np.linspace(0, 1, len(table))
    path = _write(tmp_path, table, "MM")
    all_rows = read_files([path])
    assert all_rows.rows[["nee", "gpp", "reco"]].notna().all(axis=None)
    good = read_files([path], smallest_quality=0.5)
    for flux in ("nee", "gpp", "reco"):
        np.testing.assert_array_equal(good.rows[flux].isna(), table["NEE_VUT_REF_QC"] < 0.5)
        assert dict(good.dropped)[f"{flux}: quality below 0.5"] == (table["NEE_VUT_REF_QC"] < 0.5).sum()


def test_methane_traps(tmp_path):
    table = pd.DataFrame(
        {"TIMESTAMP": DAYS.strftime("%Y%m%d"), "FCH4_F_ANNOPTLM": 10.0, "NEE_F_ANNOPTLM": 1.0}
    )
    table["FCH4_F_ANNOPTLM_QC"] = 1
    table.loc[DAYS.month == 3, "FCH4_F_ANNOPTLM_QC"] = 3  # filled over a long gap
    table.loc[DAYS == "2000-05-05", "NEE_F_ANNOPTLM"] = 5000.0
    found = read_sites(_write(tmp_path, table))
    assert found.rows.loc[found.rows["ch4"].isna(), "month"].tolist() == [3, 3]
    np.testing.assert_allclose(found.rows["nee"].iloc[4], 1e-6 * 86_400 * 12.011 * 31, rtol=1e-9)
    assert dict(found.dropped) == {
        "ch4: filled in a gap longer than two months": 62,
        "nee: rate beyond 1000 umol m-2 s-1": 1,
    }


def test_meteorology_units(tmp_path):
    table = _months(_daily()).assign(TA_F=5.0, VPD_F=3.0, SW_IN_F=100.0, P_F=2.0)
    rows = read_sites(_write(tmp_path, table, "MM")).rows
    assert rows[["tair", "vpd", "srad"]].iloc[0].tolist() == pytest.approx([5.0, 0.3, 100.0])
    assert rows["precip"].iloc[:2].tolist() == [62.0, 58.0]


def test_a_folder_takes_months_before_days(tmp_path):
    daily = _daily()
    _write(tmp_path, daily, "DD", "FI-Hyy")
    _write(tmp_path, _months(daily), "MM", "FI-Hyy")
    (tmp_path / "deeper").mkdir()
    _write(tmp_path / "deeper", daily, "DD", "SE-Deg")
    (tmp_path / "FLX_FI-Hyy_VARINFO_MM.csv").write_text("TIMESTAMP,NEE\n200001,1\n")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    found = read_sites(tmp_path)
    assert found.rows.groupby("site_id").size().to_dict() == {"FI-Hyy": 24, "SE-Deg": 24}
    pd.testing.assert_series_equal(
        found.rows.query("site_id == 'FI-Hyy'")["nee"].reset_index(drop=True),
        found.rows.query("site_id == 'SE-Deg'")["nee"].reset_index(drop=True),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("FLX_FI-Hyy_FLUXNET2015_FULLSET_MM_1996-2014_1-4.csv", "FI-Hyy"),
        ("AMF_US-Atq_FLUXNET_FULLSET_MM_2003-2008_3-5.csv", "US-Atq"),
        ("ICOSETC_SE-Svb_FLUXNET_MM_L2.csv", "SE-Svb"),
        ("FLX_US-A10_FLUXNET-CH4_DD_2012-2018_1-1.csv", "US-A10"),
    ],
)
def test_site_codes(name, code):
    assert site_code(Path(name)) == code


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(InputError, match="no monthly or daily FLUXNET file"):
        read_folder(tmp_path)
    path = _write(tmp_path, _months(_daily()), "MM", "nowhere")
    with pytest.raises(InputError, match="no site code such as FI-Hyy"):
        read_sites(path)
    half_hourly = tmp_path / NAME.format("FI-Hyy", "HH")
    half_hourly.write_text("TIMESTAMP_START,TIMESTAMP_END,NEE_VUT_REF\n200001010000,200001010030,1\n")
    with pytest.raises(InputError, match="half-hourly data; talik reads the monthly"):
        read_sites(half_hourly)
    bad = _months(_daily()).astype({"TIMESTAMP": "float64"})
    bad.loc[3, "TIMESTAMP"] = 200013
    with pytest.raises(InputError, match=r"TIMESTAMP is 200013.* in row 4 .*expected YYYYMM or YYYYMMDD"):
        read_sites(_write(tmp_path, bad, "MM"))
    none = _months(_daily()).rename(columns=lambda c: c.replace("_REF", "_MEAN"))
    with pytest.raises(InputError, match="none of NEE, GPP, RECO, FCH4"):
        read_sites(_write(tmp_path, none, "MM"))


def test_the_cardamom_collection(shared):
    """fluxnet2015-cardamom/README.md: 93 sites, 192 months, GPP positive."""
    path = shared / "data/fluxnet2015-cardamom/site_months.parquet"
    rows = read_sites(path).rows
    assert (len(rows), rows["site_id"].nunique()) == (93 * 192, 93)
    assert not rows.duplicated(["site_id", "year", "month"]).any()
    assert (rows["gpp"].dropna() >= 0).all()
    raw = pd.read_parquet(path)
    row = raw.dropna(subset=["gpp", "nee"]).iloc[100]
    found = rows[
        (rows["site_id"] == row["site"]) & (rows["year"] == row["year"]) & (rows["month"] == row["month"])
    ]
    days = calendar.monthrange(int(row["year"]), int(row["month"]))[1]
    np.testing.assert_allclose(found["gpp"], row["gpp"] * days)
    np.testing.assert_allclose(found["reco"], (row["gpp"] + row["nee"]) * days)
    np.testing.assert_allclose(found["srad"], row["ssrd"] * 1e6 / 86_400)
