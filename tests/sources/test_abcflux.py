"""ABCflux: two versions of one database, two rows of one month, words and signs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talik.errors import InputError
from talik.sources.abcflux import V1_TO_V2
from talik.sources.site_table import read_sites

# the columns of version 1
V1 = [
    "study_id",
    "site_name",
    "site_reference",
    "country",
    "latitude",
    "longitude",
    "biome",
    "meas_year",
    "interval_month",
    "nee",
    "gpp",
    "reco",
    "nee_seasonal",
    "tair_int",
    "precip_int",
    "par_ppfd",
    "sol_depth",
    "soil_perc_carbon",
    "gap_fill_perc",
    "citation",
    "extraction_source",
    "chamber_nr_measurement_days",
    "partition_method",
    "flux_method",
    "diurnal_coverage",
    "permafrost",
    "disturbance",
    "disturb_year",
    "disturb_severity",
    "soil_moisture_class",
]


def _read(tmp_path: Path, text: str):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return read_sites(path)


def test_rename_is_a_bijection():
    renamed = [V1_TO_V2.get(name, name) for name in V1]
    assert len(set(renamed)) == len(V1)
    assert set(V1_TO_V2) <= set(V1)
    assert not set(V1_TO_V2) & set(V1_TO_V2.values())
    back = {new: old for old, new in V1_TO_V2.items()}
    assert [back.get(name, name) for name in renamed] == V1


def test_both_versions_give_the_same_rows(tmp_path):
    rng = np.random.default_rng(3)
    n = 30
    old = pd.DataFrame({name: rng.normal(size=n) for name in V1})
    old["study_id"], old["site_name"] = "Tower_XX-Abc_1", "Somewhere"
    old["site_reference"], old["country"], old["biome"] = "XX-Abc", "Canada", "Tundra"
    old["meas_year"], old["interval_month"] = 2000 + np.arange(n) // 12, np.arange(n) % 12 + 1
    old["latitude"], old["longitude"] = 70.0, -120.0
    old["flux_method"], old["partition_method"] = "EC", "Reichstein"
    old["gap_fill_perc"] = [f"{k} %" if k % 2 else str(k) for k in range(n)]
    new = old.rename(columns=dict(V1_TO_V2)).assign(ch4_flux_total=np.nan)
    first = _read(tmp_path, old.to_csv(index=False))
    second = _read(tmp_path, new.to_csv(index=False))
    assert (first.format, second.format) == ("abcflux-v1", "abcflux-v2")
    pd.testing.assert_frame_equal(first.rows, second.rows[first.rows.columns], check_dtype=False)
    np.testing.assert_allclose(first.rows["gpp"], -old["gpp"])
    np.testing.assert_allclose(first.rows["nee"], old["nee"])
    np.testing.assert_allclose(first.rows["gap_fill_perc"], np.arange(n))
    assert {"lat", "lon", "year", "month", "site_id"} <= set(first.rows.columns)


HEAD = "site_name,site_reference,year,month,flux_method,partition_method,nee,gpp,reco,ch4_flux_total,tair\n"


def test_of_two_partition_rows_reichstein_counts(tmp_path):
    sites = _read(
        tmp_path,
        HEAD
        + "A,XX-Aaa,2001,1,EC,Lasslop,5,-1,6,,3\n"
        + "A,XX-Aaa,2001,1,EC,Reichstein,5,-2,7,0.5,\n"
        + "A,XX-Aaa,2001,2,EC,Lasslop,4,-8,12,,\n"
        + "A,XX-Aaa,2001,2,EC,Reichstein,4,NA,-9999,,\n"
        + "A,XX-Aaa,2001,3,EC,Lasslop,4,-8,12,,\n"
        + "A,XX-Aaa,2001,3,EC,Reichstein,4,NA,9,,\n",
    )
    rows = sites.rows.set_index("month")
    assert rows["nee"].tolist() == [5, 4, 4]
    np.testing.assert_array_equal(rows["gpp"], [2, 8, np.nan])  # never GPP of one row with Reco of another
    np.testing.assert_array_equal(rows["reco"], [7, 12, 9])
    assert rows["partition_method"].tolist() == ["Reichstein", "Lasslop", "Reichstein"]
    assert rows.loc[1, "ch4"] == 0.5
    assert rows.loc[1, "tair"] == 3  # what only the other row has
    assert sites.dropped == (("another row of the same site and month (partitioning or plot)", 3),)


def test_chambers_are_averaged_and_methods_kept_apart(tmp_path):
    sites = _read(
        tmp_path,
        HEAD
        + "B,,2001,7,5-min chamber flux,,-10,-40,30,,\n"
        + "B,,2001,7,Chamber,,-20,-60,40,,\n"
        + "B,,2001,7,EC,,-33,,,,\n"
        + "B,,2001,7,Diff,,1,,,,\n",
    )
    rows = sites.rows.set_index("flux_method")
    assert sorted(rows.index) == ["Chamber", "Diffusion", "EC"]
    assert rows.loc["Chamber", ["nee", "gpp", "reco"]].tolist() == [-15, 50, 35]
    assert rows.loc["EC", "nee"] == -33
    assert rows["site_id"].nunique() == 3


def test_rows_without_a_date_are_not_merged(tmp_path):
    sites = _read(tmp_path, HEAD + "B,,2001,NA,EC,,-10,,,,\nB,,2001,NA,EC,,-20,,,,\nB,,2001,7,EC,,-30,,,,\n")
    assert sites.rows["nee"].tolist() == [-10, -20, -30]
    assert not sites.dropped


def test_moisture_of_the_site_is_no_predictor(tmp_path):
    text = HEAD.replace("tair", "soil_moisture") + "B,,2001,7,EC,,-10,,,,35%\n"
    sites = _read(tmp_path, text)
    assert "soil_moisture" not in sites.rows
    assert "soil_moisture_site" in sites.rows
    assert any("soil_moisture as measured at the site" in note for note in sites.notes)


def test_unknown_words_are_refused(tmp_path):
    with pytest.raises(InputError, match="flux_method balloon is unknown; expected one of ec"):
        _read(tmp_path, HEAD + "B,,2001,7,balloon,,-10,,,,\n")
    with pytest.raises(InputError, match="without nee, gpp or ch4_flux_total"):
        _read(tmp_path, "study_id,meas_year,interval_month,reco\nA,2001,1,3\n")


def test_training_table_units_and_classes(tmp_path):
    text = (
        "site,year,month,gpp_obs,tsoil_era5_l1,snowcover_era5,lst_day_modis,srad_terraclimate,ph_soilgrids_x10,"
        "treecover_modis,landcover_21,landcover_60,pr_terraclimate\n"
        "1,2001,6,-50,280,0,14500,2000,55,200,1,0,40\n"
        "1,2001,7,-60,281,0,0,2000,55,40,0,0,41\n"
        "2,2001,7,-60,281,0,14500,2000,55,40,0,1,41\n"
    )
    rows = _read(tmp_path, text).rows
    assert rows["gpp"].tolist() == [50, 60, 60]
    np.testing.assert_allclose(rows["surface_temperature"], [290, np.nan, 290])
    np.testing.assert_allclose(rows["srad"], 200)
    np.testing.assert_allclose(rows["soil_ph"], 5.5)
    np.testing.assert_allclose(rows["tree_cover"], [np.nan, 40, 40])  # 200 is water
    assert rows["vegetation_type"].tolist() == ["21", "other", "60"]
    assert rows["pr_terraclimate"].tolist() == [40, 41, 41]


# ---- the real tables (abcflux-v1-ml/README.md, abcflux-v2-apr2024/README.md)


@pytest.mark.parametrize(
    ("name", "rows", "sites"),
    [
        ("nee_1km", 4467, 152),
        ("gpp_1km", 3718, 88),
        ("reco_1km", 3705, 87),
        ("nee_20km", 4597, 176),
        ("gpp_20km", 3803, 100),
        ("reco_20km", 3794, 99),
    ],
)
def test_training_tables(shared, name, rows, sites):
    found = read_sites(shared / f"data/abcflux-v1-ml/{name}.csv.gz")
    assert found.format == "abcflux-v1-ml"
    assert len(found.rows) == rows
    assert found.rows["site_id"].nunique() == sites
    assert not found.rows.dropna(subset=["year", "month"]).duplicated(["site_id", "year", "month"]).any()


def test_all_rows_of_the_training_tables(shared):
    rows = read_sites(shared / "data/abcflux-v1-ml/wide.parquet").rows
    assert len(rows) == 4963
    assert rows["site_id"].nunique() == 186
    assert rows["month"].notna().sum() == 4643
    full = rows[["nee", "gpp", "reco"]].dropna()
    assert len(full) == 4068
    closed = (full["nee"] - (full["reco"] - full["gpp"])).abs() < 1
    assert 0.915 < closed.mean() < 0.925  # "92 %"
    assert (rows["gpp"].dropna() > -1).mean() > 0.9
    assert rows["soil_temperature"].between(220, 320).all()
    assert rows["soil_ph"].dropna().between(3, 8).all()


def test_version_two(shared):
    folder = shared / "data/abcflux-v2-apr2024"
    found = read_sites(folder / "site_months.parquet")
    assert found.format == "abcflux-v2"
    assert len(found.rows) + sum(count for _, count in found.dropped) == 17903
    assert not found.rows.duplicated(["site_id", "year", "month"]).any()
    assert found.rows["lat"].min() >= 45.5
    assert set(found.rows["flux_method"].dropna()) == {"EC", "Chamber", "Diffusion"}
    gpp = found.rows["gpp"].dropna()
    assert (gpp > 0).mean() > 0.75
    assert found.rows.loc[found.rows["month"] == 7, "gpp"].median() > 50
    assert len(read_sites(folder / "site_months_mean.parquet").rows) == 10988


def test_month_rows_against_a_slow_merge(shared):
    """Reichstein first, re-done row by row on the towers of one country."""
    path = shared / "data/abcflux-v2-apr2024/site_months.parquet"
    table = pd.read_parquet(path)
    table = table[(table["country"] == "Finland") & (table["flux_method"] == "EC")]
    slow = {}
    for row in table.to_dict("records"):
        key = (row["site_name"], row["site_reference"], row["year"], row["month"])
        method = str(row["partition_method"]).lower()
        empty = pd.isna(row["gpp"]) and pd.isna(row["reco"])
        rank = (empty, {"reichstein": 0, "lasslop": 2}.get(method, 1))
        if key not in slow or rank < slow[key][0]:
            slow[key] = (rank, row["gpp"], row["reco"])
    rows = read_sites(path).rows
    rows = rows[(rows["country"] == "Finland") & (rows["flux_method"] == "EC")]
    assert len(rows) == len(slow)
    for name, reference, year, month, gpp, reco in zip(
        rows["site_name"],
        rows["site_reference"],
        rows["year"],
        rows["month"],
        rows["gpp"],
        rows["reco"],
        strict=True,
    ):
        _, slow_gpp, slow_reco = slow[(name, reference, year, month)]
        np.testing.assert_allclose([gpp, reco], [-slow_gpp, slow_reco])
