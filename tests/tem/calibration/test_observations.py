"""Targets from site tables: signs and counts against the raw tables, screening against loops, every refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from talik.errors import InputError
from talik.flux.table import FLUXES as TABLE
from talik.sources.site_table import SiteTable, read_sites
from talik.tem.calibration.observations import (
    COLUMNS,
    Errors,
    Observations,
    ObservationSettings,
    Screening,
    read_observations,
    sigmas,
)
from talik.tem.calibration.towers import PUBLISHED_TOWERS, Tower

BOG = Tower(
    site="XX-Bog", lat=65.0, lon=25.0, community="wet_tundra", calibration=(2004, 2005), left_out=(2006, 2006)
)
EVERYTHING = ObservationSettings(
    screening=Screening(frozen_below_degc=None, imbalance_g_m2=None, most_filled_percent=100)
)


def table(format: str = "made", **changed: object) -> SiteTable:
    """Two summers of one tower; reco - gpp = nee."""
    month = np.tile(np.arange(4, 10), 2)
    gpp = np.tile([5.0, 20.0, 60.0, 90.0, 70.0, 20.0], 2)
    rows = pd.DataFrame(
        {
            "site_id": "XX-Bog",
            "year": np.repeat([2004, 2005], 6),
            "month": month,
            "gpp": gpp,
            "reco": 0.5 * gpp + 10,
        }
    )
    rows = rows.assign(nee=rows["reco"] - rows["gpp"], tair=8.0)
    return SiteTable(rows.assign(**changed), format, (), ())


def read(*tables: SiteTable, settings: ObservationSettings = EVERYTHING, tower: Tower = BOG) -> Observations:
    return read_observations(tables, [tower], "calibration", settings)


def values(found: Observations, variable: str) -> list[float]:
    return found.table.loc[found.table["variable"] == variable, "value"].tolist()


@pytest.fixture(scope="module")
def cardamom(shared: Path) -> Path:
    return shared / "data/fluxnet2015-cardamom/site_months.parquet"


@pytest.fixture(scope="module")
def abcflux(shared: Path) -> Path:
    return shared / "data/abcflux-v2-apr2024/site_months.parquet"


@pytest.fixture(scope="module")
def real(cardamom: Path, abcflux: Path) -> tuple[SiteTable, SiteTable]:
    return read_sites(cardamom), read_sites(abcflux)


def test_july_at_atqasuk_is_uptake(cardamom: Path, real: tuple[SiteTable, SiteTable]) -> None:
    raw = pd.read_parquet(cardamom).set_index(["site", "year", "month"]).loc[("US-Atq", 2005, 7)]
    found = read_observations(real, PUBLISHED_TOWERS, "calibration").table
    july = found[(found["site_id"] == "US-Atq") & (found["year"] == 2005) & (found["month"] == 7)]
    by_name = july.set_index("variable")["value"]
    assert by_name["nee"] == pytest.approx(31 * raw["nee"])
    assert by_name["nee"] < -40
    assert by_name["gpp"] == pytest.approx(31 * raw["gpp"])
    assert by_name["gpp"] > 90
    assert by_name["reco"] == pytest.approx(31 * (raw["nee"] + raw["gpp"]))
    directions = {n: TABLE[n].positive for n in ("nee", "nep", "gpp", "reco")}
    assert directions == {"nee": "up", "nep": "down", "gpp": "down", "reco": "up"}  # so NEP is positive here


def test_unscreened_counts_are_those_of_the_raw_tables(
    cardamom: Path, abcflux: Path, real: tuple[SiteTable, SiteTable]
) -> None:
    raw, v2 = pd.read_parquet(cardamom), pd.read_parquet(abcflux)
    for use in ("calibration", "left_out"):
        towers = [t for t in PUBLISHED_TOWERS if t.years(use)]
        counts = read_observations(real, towers, use, EVERYTHING).counts()["all"]
        for tower in towers:
            years = tower.years(use)
            assert years is not None
            mine = raw[(raw["site"] == tower.site) & raw["year"].between(*years)]
            other = v2[(v2["site_reference"] == tower.site) & v2["year"].between(*years)]
            source = mine if mine["nee"].notna().any() else other
            expected = source.dropna(subset=["nee"]).drop_duplicates(["year", "month"])
            assert counts[tower.site, "nee"] == len(expected)
            soil = other.dropna(subset=["tsoil_surface"]).drop_duplicates(["year", "month"])
            assert counts.get((tower.site, "tsoil"), 0) == len(soil)


def test_thaw_depth_and_soil_temperature_of_spasskaya_pad(
    abcflux: Path, real: tuple[SiteTable, SiteTable]
) -> None:
    raw = pd.read_parquet(abcflux)
    raw = raw[(raw["site_reference"] == "RU-SkP") & raw["year"].between(2005, 2010)].sort_values(
        ["year", "month"]
    )
    larch = [t for t in PUBLISHED_TOWERS if t.site == "RU-SkP"]
    found = read_observations(real, larch, "left_out")
    assert values(found, "thaw_depth") == pytest.approx((raw["thaw_depth"].dropna() / 100).tolist())
    assert values(found, "tsoil") == pytest.approx(raw["tsoil_surface"].dropna().tolist())
    assert set(found.table.loc[found.table["variable"] == "tsoil", "depth_m"]) == {0.10}
    assert found.left_out == ()
    counts = found.counts()
    assert counts.loc[("RU-SkP", "nee"), [1, 2, 3, 4, 10, 11, 12]].sum() == 0
    assert counts.loc[("RU-SkP", "nee"), [5, 6, 7, 8, 9, "all"]].tolist() == [6, 6, 6, 6, 6, 30]


def test_screening_of_ivotuk_against_a_loop(cardamom: Path, real: tuple[SiteTable, SiteTable]) -> None:
    raw = pd.read_parquet(cardamom)
    raw = raw[(raw["site"] == "US-Ivo") & raw["year"].between(2004, 2007)].dropna(subset=["nee"])
    kept_nee, kept_gpp, uptake = 0, 0, 0
    for row in raw.itertuples():
        days = pd.Period(f"{row.year}-{row.month:02d}").days_in_month
        frozen = (row.tmin + row.tmax) / 2 < -5
        false_uptake = frozen and row.nee * days < -5
        uptake += false_uptake
        kept_nee += not false_uptake
        kept_gpp += not frozen
    ivotuk = [t for t in PUBLISHED_TOWERS if t.site == "US-Ivo"]
    found = read_observations(real, ivotuk, "left_out")
    counts = found.counts()["all"]
    assert (counts["US-Ivo", "nee"], counts["US-Ivo", "gpp"]) == (kept_nee, kept_gpp)
    assert uptake == 3  # an analyser that heats itself: 2007-01 to 2007-03
    reason = "US-Ivo, fluxnet2015-cardamom: nee is uptake in a month below -5 degC"
    assert dict(found.left_out)[reason] == uptake


def test_zackenberg_where_nothing_was_measured(abcflux: Path, real: tuple[SiteTable, SiteTable]) -> None:
    raw = read_sites(abcflux).rows
    raw = raw[raw["site_id"].str.contains("GL-ZaH") & raw["year"].between(2009, 2011)]
    heath = [t for t in PUBLISHED_TOWERS if t.site == "GL-ZaH"]
    found = read_observations(real, heath, "left_out")
    left = dict(found.left_out)
    filled = int((raw["gap_fill_perc"] > 95).sum())
    assert left["GL-ZaH, abcflux-v2: nee with more than 95 % filled gaps"] == filled == 20
    summer = raw[(raw["gap_fill_perc"] <= 95)]
    apart = (summer["nee"] - summer["reco"] + summer["gpp"]).abs()
    against = (apart > 5) & (apart > 0.25 * summer[["gpp", "reco"]].abs().max(axis=1))
    assert left["GL-ZaH, abcflux-v2: gpp contradicts NEE of the same row"] == int(against.sum()) > 0
    assert found.counts().loc[("GL-ZaH", "nee"), "all"] == len(raw) - filled


def test_rules_can_be_turned_off_one_by_one() -> None:
    cold = table(tair=-20.0, nee=-8.0, gap_fill_perc=100.0)
    assert read(cold).counts()["all"].tolist() == [12, 12, 12]

    def kept(**rules: object) -> dict[str, int]:
        screening = EVERYTHING.screening.model_copy(update=rules)
        found = read(
            cold, settings=EVERYTHING.model_copy(update={"screening": screening, "fewest_months": 1})
        )
        return found.table["variable"].value_counts().to_dict()

    assert kept(imbalance_g_m2=1e9) == {"gpp": 12, "reco": 12, "nee": 12}
    assert "gpp" not in kept(imbalance_g_m2=0.1, imbalance_share=0.0)
    assert kept(frozen_below_degc=-5.0, frozen_uptake_g_m2=8.0) == {"nee": 12}
    with pytest.raises(InputError, match=r"XX-Bog: no gpp, reco, nee, tsoil, thaw_depth in 2004\.\.2005"):
        kept(frozen_below_degc=-5.0, frozen_uptake_g_m2=7.9)
    with pytest.raises(InputError, match="XX-Bog: no gpp"):
        kept(most_filled_percent=99.0)


def test_fluxes_of_a_tower_come_from_one_table_and_differences_are_told() -> None:
    first = table("first")
    first = SiteTable(first.rows[first.rows["month"] > 6], "first", (), ())
    second = table("second", reco=45.0, tsoil_surface=3.0)
    found = read(first, second)
    assert found.table.groupby("variable")["source"].unique().map(list).to_dict() == {
        "gpp": ["first"],
        "reco": ["first"],
        "nee": ["first"],
        "tsoil": ["second"],
    }
    assert values(found, "gpp") == [90, 70, 20, 90, 70, 20]
    told = [n for n in found.notes if "differs" in n]
    assert told == [
        "XX-Bog: reco of first taken; second differs in 4 of 6 common months, most in 2004-09 (20 and 45 g m-2 month-1)"
    ]


def test_a_table_that_contradicts_itself_is_refused_or_left_out() -> None:
    made = table()
    again = made.rows.iloc[[3]]
    both = pd.concat([made.rows, again, again.assign(nee=3.0)])
    with pytest.raises(
        InputError, match=r"XX-Bog: made contradicts itself: nee in 2004-07: -35 and 3\. Keep one"
    ):
        read(SiteTable(both, "made", (), ()))
    settings = EVERYTHING.model_copy(
        update={"screening": EVERYTHING.screening.model_copy(update={"contradictions": "leave out"})}
    )
    found = read(SiteTable(both, "made", (), ()), settings=settings)
    assert found.counts()["all"].to_dict() == {
        ("XX-Bog", "gpp"): 12,
        ("XX-Bog", "reco"): 12,
        ("XX-Bog", "nee"): 11,
    }
    assert found.left_out == (("XX-Bog, made: nee contradictory (nee in 2004-07: -35 and 3)", 2),)
    repeated = read(SiteTable(pd.concat([made.rows, again]), "made", (), ()))
    assert repeated.counts()["all"].tolist() == [12, 12, 12]
    assert repeated.notes == ("XX-Bog: 3 values of made are repeated; taken once",)


def test_depths_of_soil_temperature() -> None:
    surface = ["10", "0-5cm", "4.5 cm", None, "shallow", "2"] * 2
    deep = ["50", "20-30 cm", None, "31", "deep", "23.33"] * 2
    found = read(
        table(
            tsoil_surface=np.arange(12.0), tsoil_surface_depth=surface, tsoil_deep=-1.0, tsoil_deep_depth=deep
        )
    )
    rows = found.table[found.table["variable"] == "tsoil"]
    expected = {0.1: 2, 0.025: 2, 0.045: 2, 0.05: 4, 0.02: 2, 0.5: 2, 0.25: 2, 0.31: 2, 0.2333: 2}
    assert rows["depth_m"].round(6).value_counts().to_dict() == expected
    assert rows.loc[rows["depth_m"] == 0.05, "value"].tolist() == [3, 4, 9, 10]
    assert "XX-Bog: 4 tsoil_surface values of made have no depth; taken as 0.05 m" in found.notes
    assert "XX-Bog: 4 tsoil_deep values of made have no depth; not taken" in found.notes


def test_the_order_of_rows_does_not_matter() -> None:
    made = table(tsoil_surface=np.arange(12.0), thaw_depth=40.0)
    one = read(made)
    other = read(SiteTable(made.rows.sample(frac=1, random_state=4), "made", (), ()))
    pd.testing.assert_frame_equal(one.table, other.table)
    assert tuple(one.table.columns) == COLUMNS
    assert one.table["variable"].unique().tolist() == ["gpp", "reco", "nee", "tsoil", "thaw_depth"]


def test_a_site_with_three_months_is_an_error_or_a_note() -> None:
    short = SiteTable(table().rows.iloc[:3], "made", (), ())
    with pytest.raises(
        InputError, match=r"XX-Bog: 3 months of observations in 2004\.\.2005, fewer than 6\. Leave"
    ):
        read(short)
    found = read(short, settings=EVERYTHING.model_copy(update={"short": "note"}))
    assert found.notes == ("XX-Bog: 3 months of observations in 2004..2005, fewer than 6",)
    assert len(found.table) == 9


def test_towers_without_data_or_years_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"XX-Bog: no gpp.* in 2006\.\.2006 in any of 1 site tables \(made\)"
    ):
        read_observations([table()], [BOG], "left_out")
    idle = BOG.model_copy(update={"left_out": None})
    with pytest.raises(InputError, match="none of 1 towers has years for left-out"):
        read_observations([table()], [idle], "left_out")


def test_settings_are_strict() -> None:
    with pytest.raises(ValidationError, match="extra"):
        ObservationSettings.model_validate({"fewest": 3})
    with pytest.raises(ValidationError, match="variables"):
        ObservationSettings.model_validate({"variables": ["nep"]})
    chosen = ObservationSettings.model_validate({**EVERYTHING.model_dump(), "variables": ["nee"]})
    assert read(table(), settings=chosen).table["variable"].unique().tolist() == ["nee"]


def test_measurement_errors_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "site_id": "XX-Bog",
            "variable": ["gpp", "nee", "nee", "reco", "tsoil", "thaw_depth", "thaw_depth"],
            "value": [100.0, -50.0, 2.0, 20.0, -30.0, 0.2, 1.5],
            "depth_m": [np.nan] * 4 + [0.1] + [np.nan] * 2,
        }
    )
    assert sigmas(rows, Errors()).tolist() == pytest.approx([20.0, 10.0, 5.0, 5.0, 2.0, 0.05, 0.15])


@hypothesis_settings(deadline=None)
@given(
    gpp=arrays(np.float64, 7, elements=st.floats(0, 200), unique=True),
    soil=arrays(np.float64, 31, elements=st.floats(-30, 20), unique=True),
)
def test_spread_gives_every_stream_the_same_weight(gpp: np.ndarray, soil: np.ndarray) -> None:
    gpp, soil = np.round(gpp, 3) + np.arange(7), np.round(soil, 3) + np.arange(31)
    rows = pd.DataFrame(
        {
            "site_id": "XX-Bog",
            "variable": ["gpp"] * 7 + ["tsoil"] * 31,
            "value": np.concatenate([gpp, soil]),
            "depth_m": [np.nan] * 7 + [0.1] * 31,
        }
    )
    sigma = sigmas(rows, Errors(kind="spread")).to_numpy()
    phi = [(((v - v.mean()) / s) ** 2).sum() for v, s in ((gpp, sigma[:7]), (soil, sigma[7:]))]
    assert phi == pytest.approx([19.0, 19.0])


def test_spread_needs_spread() -> None:
    settings = ObservationSettings(errors=Errors(kind="spread"), screening=EVERYTHING.screening)
    with pytest.raises(InputError, match="gpp at XX-Bog has 12 values without spread"):
        read(table(gpp=30.0), settings=settings)
