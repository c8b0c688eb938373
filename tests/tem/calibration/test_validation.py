"""What a validation computes and says, from made-up months with known answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, pearsonr

from talik.errors import InputError
from talik.tem.calibration.figures import season_means, seasons, soil_scatter, taylor, taylor_points
from talik.tem.calibration.forward import Predicted
from talik.tem.calibration.ground import (
    ACTIVE_LAYER,
    TEMPERATURE,
    beside_model,
    for_scores,
    ground_near,
    without_permafrost,
)
from talik.tem.calibration.page import Validation, render
from talik.tem.calibration.summary import change, number, parameter_rows, share_inside
from talik.tem.calibration.towers import PUBLISHED_TOWERS
from talik.tem.calibration.validation import (
    Calibration,
    levels_reached,
    read_calibration,
    score_rows,
    scores_by_site,
    scores_table,
    with_nep,
)
from talik.tem.thermal.grid import SOIL_THICKNESS_M

ATQASUK, IVOTUK = (next(t for t in PUBLISHED_TOWERS if t.site == site) for site in ("US-Atq", "US-Ivo"))


def made_months(interval: bool = True) -> pd.DataFrame:
    """Two years at two towers: before is too large, after is near what was observed."""
    rng = np.random.default_rng(3)
    rows = []
    for site, use, year in (
        ("US-Atq", "calibration", 2005),
        ("US-Atq", "left_out", 2007),
        ("US-Ivo", "left_out", 2005),
    ):
        for variable, size in (("gpp", 50.0), ("nee", -30.0), ("tsoil", 12.0)):
            for month in range(4, 11):
                value = size * math.sin((month - 3) / 8 * math.pi) + rng.normal()
                rows.append(
                    {
                        "site_id": site,
                        "year": year,
                        "month": month,
                        "variable": variable,
                        "depth_m": 0.05 if variable == "tsoil" else None,
                        "value": value,
                        "sigma": 5.0,
                        "source": "made",
                        "use": use,
                        "before": 1.5 * value + rng.normal(),
                        "after": value + rng.normal(),
                    }
                )
    out = pd.DataFrame(rows)
    return out.assign(low=out["after"] - 2.0, high=out["after"] + 2.0) if interval else out


def made_stage(name: str = "plants") -> dict[str, Any]:
    community = "wet_tundra"
    return {
        "name": name,
        "told": "sum of squares 800 to 100 of 60 targets",
        "scale": {f"{community}.cmax": "log", f"{community}.krb": "linear"},
        "start": {f"{community}.cmax": 600.0, f"{community}.krb": -4.0},
        "found": {f"{community}.cmax": 250.0, f"{community}.krb": -3.5},
        "at_limit": {f"{community}.cmax": 0, f"{community}.krb": 1},
        "laplace": {
            "coordinates": [
                {
                    "name": f"{community}.cmax",
                    "optimum": math.log(250.0),
                    "standard_error": 0.1,
                    "identifiable": 0.98,
                    "low": math.log(100.0),
                    "high": math.log(1500.0),
                },
                {
                    "name": f"{community}.krb",
                    "optimum": -3.5,
                    "standard_error": 2.0,
                    "identifiable": 0.1,
                    "low": -5.5,
                    "high": -2.5,
                },
            ],
            "notes": [],
        },
    }


def made_calibration(months: pd.DataFrame | None = None) -> Calibration:
    table = made_months() if months is None else months
    held = {
        "parameters": {},
        "organic_soil": {},
        "stages": [made_stage()],
        "notes": ["US-Atq: a <b>note</b>"],
        "scores": scores_by_site(table.to_csv(index=False)),
    }
    return Calibration({"wet_tundra": held}, with_nep(table))


def made_page(found: Calibration, ground: pd.DataFrame | None = None) -> str:
    rows = score_rows(found.months) + ([] if ground is None else score_rows(for_scores(ground)))
    validation = Validation(found, rows, levels_reached(rows), ground, [], {"US-Atq": ["a <b>note</b>"]})
    return render(validation, "Made", {"code": "0", "inputs": {}})


def test_rows_by_use_site_and_variable_with_the_share_inside() -> None:
    months = pd.DataFrame(
        {
            "use": ["calibration"] * 4 + ["left_out"] * 3,
            "site_id": ["bog"] * 7,
            "variable": ["nee"] * 7,
            "value": [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0],
            "before": [5.0, 5.0, 6.0, 7.0, 0.0, 0.0, 0.0],
            "after": [0.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0],
            "low": [-1.0, 0.0, 1.0, 4.0, -1.0, 0.0, 1.0],
            "high": [1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 3.0],
        }
    )
    fitted, apart = scores_by_site(months.to_csv(index=False))
    assert (fitted["use"], fitted["site_id"], fitted["inside_interval"]) == ("calibration", "bog", 0.75)
    assert fitted["after"]["nash_sutcliffe"] == 1.0
    assert (apart["after"]["mean_bias"], apart["before"]["r2"], apart["inside_interval"]) == (1.0, None, 1.0)
    assert share_inside([fitted, apart]) == (pytest.approx(6 / 7), 7)
    assert (
        "inside_interval" not in scores_by_site(months.drop(columns=["low", "high"]).to_csv(index=False))[0]
    )


def test_nep_has_the_scores_of_nee_with_the_bias_turned_round() -> None:
    months = made_months()
    turned = with_nep(months)
    assert "nee" not in set(turned["variable"])
    assert (turned["low"] <= turned["high"]).all()
    was = next(r for r in score_rows(months) if r["variable"] == "nee")
    now = next(r for r in score_rows(turned) if r["variable"] == "nep")
    for name in ("r2", "slope", "rmse", "nash_sutcliffe"):
        assert now["after"][name] == pytest.approx(was["after"][name])
    assert now["after"]["mean_bias"] == pytest.approx(-was["after"]["mean_bias"])
    assert now["inside_interval"] == was["inside_interval"]


def test_levels_are_judged_by_site_and_use() -> None:
    row = {"site_id": "bog", "before": {"r2": 0.2}, "after": {"r2": 0.69}}
    rows = [
        {**row, "use": "calibration", "variable": "nep"},
        {**row, "use": "left_out", "variable": "nep"},
        {**row, "use": "left_out", "variable": "gpp"},
        {**row, "use": "calibration", "variable": "tsoil", "after": {"r2": None}},
    ]
    found = {(r["use"], r["variable"]): r["reached"] for r in levels_reached(rows)}
    assert found == {
        ("calibration", "tsoil"): None,
        ("calibration", "nep"): False,
        ("left_out", "nep"): True,
    }


def test_a_table_of_scores_has_a_row_a_run() -> None:
    rows = score_rows(with_nep(made_months()))
    table = scores_table(rows, {"US-Atq": "wet_tundra", "US-Ivo": "wet_tundra"})
    assert len(table) == 2 * len(rows)
    assert set(table["community"]) == {"wet_tundra"}
    assert table.loc[table["run"] == "before", "inside_interval"].isna().all()


def test_points_of_the_taylor_diagram_are_correlation_and_ratio_and_keep_its_law() -> None:
    months = with_nep(made_months())
    months.loc[months["site_id"] == "US-Ivo", "before"] *= -1.0
    points = taylor_points(score_rows(months))
    assert len(points) == 6
    for point in points:
        rows = months[
            (months["use"] == "left_out")
            & (months["site_id"] == point["site_id"])
            & (months["variable"] == point["variable"])
        ]
        for run in ("before", "after"):
            ratio, correlation = point[run]
            observed, model = rows["value"].to_numpy(), rows[run].to_numpy()
            assert correlation == pytest.approx(pearsonr(observed, model).statistic)
            # law of cosines of the diagram: centred squared error from its two coordinates
            centred = ((model - model.mean() - observed + observed.mean()) ** 2).mean() / observed.var()
            assert 1.0 + ratio**2 - 2.0 * ratio * correlation == pytest.approx(centred)
    assert taylor(score_rows(months)) is not None
    assert taylor([]) is None


def test_seasonal_means_are_those_of_the_months_that_were_observed_at_one_depth() -> None:
    rows = pd.DataFrame(
        {
            "month": [6, 6, 7, 6],
            "depth_m": [0.05, 0.05, 0.05, 0.5],
            "value": [2.0, 4.0, 9.0, 100.0],
            "before": [1.0, 3.0, 5.0, 100.0],
            "after": [2.0, 2.0, 8.0, 100.0],
        }
    )
    means = season_means(rows)
    assert means.loc[6, ["value", "before", "after", "n"]].tolist() == [3.0, 2.0, 2.0, 2.0]
    assert means["sd"].tolist() == [pytest.approx(math.sqrt(2.0)), 0.0]


def test_figures_of_a_tower_show_its_variables_and_none_is_drawn_of_nothing() -> None:
    months = with_nep(made_months(interval=False))
    drawn = seasons(months, "US-Atq")
    assert drawn is not None
    assert [ax.get_title(loc="left") for ax in drawn.axes[:3]] == [
        "GPP, fitted",
        "NEP, fitted",
        "Soil temperature, fitted",
    ]
    assert seasons(months, "XX-Bog") is None
    assert soil_scatter(months[months["variable"] == "gpp"]) is None


def test_intervals_of_parameters_are_normal_on_the_scale_of_the_coordinate_and_end_at_limits() -> None:
    cmax, krb = parameter_rows("wet_tundra", [made_stage()])
    ends = np.exp(norm.interval(0.9, math.log(250.0), 0.1))
    assert (cmax["name"], cmax["low"], cmax["high"]) == (
        "cmax",
        pytest.approx(ends[0]),
        pytest.approx(ends[1]),
    )
    assert (krb["low"], krb["high"], krb["limit"]) == (-5.5, -2.5, "upper limit")
    stage = made_stage()
    stage["nuts"] = {
        "coordinates": [
            {
                "name": "wet_tundra.cmax",
                "q05": math.log(200.0),
                "q95": math.log(300.0),
                "rhat": 1.004,
                "bulk_ess": 900.0,
                "tail_ess": 700.0,
            }
        ]
    }
    drawn = parameter_rows("wet_tundra", [stage])[0]
    assert (drawn["low"], drawn["high"]) == (pytest.approx(200.0), pytest.approx(300.0))
    assert (drawn["rhat"], drawn["ess"]) == (1.004, 700.0)


def test_numbers_have_a_true_minus_sign_and_no_negative_zero() -> None:
    assert [number(v) for v in (-0.5, -0.001, None, math.nan)] == ["−0.50", "0.00", "–", "–"]
    assert change({"before": {"r2": None}, "after": {"r2": 0.5}}, "r2") == "– → 0.50"


@pytest.fixture(scope="module")
def page() -> str:
    """A page with months of two towers and ground of one; drawing it takes seconds."""
    table = made_ground()
    return made_page(made_calibration(), table.assign(before=[0.6, 0.7, -1.0], after=[0.5, 0.5, -1.5]))


def test_the_page_escapes_and_has_a_heading_an_alternative_text_and_a_scope_for_everything(page: str) -> None:
    assert "a &lt;b&gt;note&lt;/b&gt;" in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("<img ") == page.count('alt="') > 3
    assert 'alt=""' not in page
    assert page.count("<th ") == page.count('scope="')
    for section in (
        "summary",
        "towers",
        "scores",
        "taylor",
        "seasons",
        "soil",
        "parameters",
        "notes",
        "ground",
    ):
        assert f'<a href="#{section}">' in page
        assert f'<section id="{section}">' in page


def test_the_page_says_what_the_scores_are(page: str) -> None:
    found = made_calibration()
    row = next(
        r
        for r in score_rows(found.months)
        if (r["site_id"], r["use"], r["variable"]) == ("US-Ivo", "left_out", "nep")
    )
    cell = f"{row['before']['r2']:.2f} → {row['after']['r2']:.2f}"
    assert f"US-Ivo (wet tundra): R² of NEP {cell} in years left out" in page
    inside = share_inside([r for r in score_rows(found.months) if r["use"] == "left_out"])
    assert inside is not None
    assert f"{100 * inside[0]:.0f} % of 42 observations lie inside the 90 % interval" in page
    assert "279 Ivotuk" in page


def test_a_calibration_without_intervals_has_the_same_page_every_time() -> None:
    months = made_months(interval=False)
    found = made_calibration(months[(months["site_id"] == "US-Ivo") & (months["variable"] == "nee")])
    page = made_page(found)
    assert "lie inside the 90 % interval" not in page
    assert made_page(found) == page


def published(folder: Path) -> Path:
    months = made_months()
    months.to_csv(folder / "calibration-months.csv", index=False)
    held = {**made_calibration().communities["wet_tundra"]}
    (folder / "calibration.json").write_text(json.dumps({"wet_tundra": held}), encoding="utf-8")
    (folder / "calibrated.yaml").write_text("parameters: {}\norganic_soil: {}\n", encoding="utf-8")
    return folder


def test_a_published_calibration_is_read(tmp_path: Path) -> None:
    found = read_calibration(published(tmp_path))
    assert found.community_of() == {"US-Atq": "wet_tundra", "US-Ivo": "wet_tundra"}
    assert set(found.months["variable"]) == {"gpp", "nep", "tsoil"}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no calibrated.yaml.*Run `talik tem calibrate`"):
        read_calibration(tmp_path)
    folder = published(tmp_path)
    made_months().drop(columns=["before", "use"]).to_csv(folder / "calibration-months.csv", index=False)
    with pytest.raises(InputError, match=r"no column use, before"):
        read_calibration(folder)
    (folder / "calibration.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"is not JSON"):
        read_calibration(folder)


def made_ground() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "site_id": ["US-Atq", "US-Atq", "US-Ivo"],
            "station": ["U3 Atqasuk", "U3 Atqasuk", "279 Ivotuk"],
            "distance_km": [2.3, 2.3, 1.0],
            "variable": [ACTIVE_LAYER, ACTIVE_LAYER, TEMPERATURE],
            "depth_m": [np.nan, np.nan, 0.25],
            "year": [2002, 2003, 2003],
            "value": [0.4, 0.5, -2.0],
            "source": ["alt", "alt", "magt"],
        }
    )


def made_prediction(bottom: bool = False) -> Predicted:
    """Three years, one start, two towers: soil temperature month + 100 year + depth, thaw 0.01 month + 0.05 year."""
    year, month = np.arange(3.0)[:, None], np.arange(12.0)
    edges = np.concatenate([[0.0], np.cumsum(SOIL_THICKNESS_M)])
    middle = 0.5 * (edges[1:] + edges[:-1])
    tsoil = np.broadcast_to(
        (month + 100.0 * year)[:, :, None, None, None] + middle[:, None, None], (3, 12, middle.size, 1, 2)
    )
    thaw = np.broadcast_to((0.01 * month + 0.05 * year)[..., None, None], (3, 12, 1, 2))
    thaw = np.full_like(thaw, SOIL_THICKNESS_M.sum()) if bottom else thaw
    nothing = np.zeros(0)
    return Predicted(*(nothing,) * 3, tsoil, thaw, *(nothing,) * 3)  # type: ignore[arg-type]


def test_the_model_beside_the_ground_is_the_deepest_thaw_and_the_mean_of_the_year_at_the_depth() -> None:
    found = beside_model(made_ground(), made_prediction(), {"US-Atq": 0, "US-Ivo": 1}, 2001)
    assert found == pytest.approx([0.11 + 0.05, 0.11 + 0.10, 5.5 + 200.0 + 0.25])


def test_where_the_model_has_no_permafrost_an_active_layer_has_no_score() -> None:
    table = made_ground()
    table["before"] = beside_model(table, made_prediction(bottom=True), {"US-Atq": 0, "US-Ivo": 1}, 2001)
    table["after"] = beside_model(table, made_prediction(), {"US-Atq": 0, "US-Ivo": 1}, 2001)
    assert table["before"].isna().tolist() == [True, True, False]
    assert for_scores(table)["variable"].tolist() == [TEMPERATURE]
    assert without_permafrost(table) == [
        "US-Atq: no permafrost in the model before calibration in 2 of 2 measured active layers, which have no score."
    ]


def test_stations_near_towers_are_those_of_the_tables(shared: Path) -> None:
    folder = shared / "data/permafrost-cci-validation"
    rows, notes = ground_near(folder, [ATQASUK, IVOTUK], (2001, 2016))
    assert notes == []
    raw = pd.read_csv(folder / "alt_insitu_1997-2019.csv.gz")
    for site, code in (("US-Atq", "U3"), ("US-Ivo", "U26")):
        thickness = rows[(rows["site_id"] == site) & (rows["variable"] == ACTIVE_LAYER)]
        mine = raw[(raw["code"].str.strip() == code) & raw["year"].between(2001, 2016)]
        assert dict(zip(thickness["year"], thickness["value"], strict=True)) == pytest.approx(
            dict(zip(mine["year"], mine["alt_cm"] / 100.0, strict=True))
        )
        assert (thickness["distance_km"] < 3.0).all()
    warm = rows[rows["variable"] == TEMPERATURE]
    boreholes = pd.read_parquet(folder / "magt_insitu_depths_1980-2018.parquet")
    boreholes = boreholes[
        boreholes["cci_id"].isin([279, 280, 349, 350]) & boreholes["year"].between(2001, 2016)
    ]
    assert set(warm["site_id"]) == {"US-Ivo"}
    assert len(warm) == boreholes["magt_degC"].notna().sum()
    assert warm["value"].sum() == pytest.approx(boreholes["magt_degC"].sum())
    assert sorted(warm["depth_m"].unique()) == pytest.approx(sorted(boreholes["depth_cm"].unique() / 100.0))
    # CALM numbers the names of G1 from year to year
    zackenberg = ground_near(folder, [t for t in PUBLISHED_TOWERS if t.site == "GL-ZaH"], (2001, 2016))[0]
    assert set(zackenberg["station"]) == {"G1", "G2"}
    none, told = ground_near(folder, [ATQASUK], (2001, 2016), within_km=1.0)
    assert none.empty
    assert told == [
        f"No {kind} within 1 km of a tower in 2001-2016." for kind in ("active layers", "ground temperatures")
    ]


def test_a_folder_without_observations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither alt_insitu.* nor magt_insitu"):
        ground_near(tmp_path, [ATQASUK], (2001, 2016))
