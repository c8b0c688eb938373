"""Scores by formula and against published numbers, sampling told for every site, ranking that knows how sure it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from talik.compare import Pairs, pair_months, rank_models, site_skill, spatial_skill, taylor
from talik.compare.scores import (
    bias_score,
    departure,
    iav_score,
    mean_cycle,
    overall,
    phase_score,
    phase_shift,
    rmse_score,
    spatial_score,
)
from talik.errors import CoverageError, FluxError, InputError, UnitsError

_spec = importlib.util.spec_from_file_location("compare_worlds", Path(__file__).with_name("worlds.py"))
worlds = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(worlds)
monthly, COARSE = worlds.monthly, worlds.COARSE
UNITS = "g m-2 month-1"

PUBLISHED = [  # bias, RMSE, seasonal cycle, spatial distribution, interannual, overall
    (0.363, 0.257, 0.731, 0.996, 0.551, 0.526),
    (0.360, 0.247, 0.725, 0.996, 0.519, 0.516),
    (0.336, 0.233, 0.720, 0.997, 0.485, 0.501),
    (0.745, 0.597, 0.929, 0.971, 0.823, 0.777),
    (0.745, 0.593, 0.929, 0.971, 0.822, 0.776),
    (0.740, 0.590, 0.930, 0.973, 0.837, 0.777),
]
"""Relative humidity against ERA, globally and over North America of CLM4.5SP, CLM4SP and CLM5SP, as ILAMB prints them:
webext.cgd.ucar.edu/I20TR/_build_set2F/Forcings/SurfaceRelativeHumidity/ERA/ERA.html, read in November 2026."""


@pytest.mark.parametrize("row", PUBLISHED)
def test_overall_score_is_that_of_ilamb_pages(row):
    parts = dict(zip(("bias", "rmse", "phase", "spatial", "iav"), (np.array([v]) for v in row), strict=False))
    assert overall(parts)[0] == pytest.approx(row[-1], abs=0.0015)


def test_overall_score_leaves_out_what_is_not_there():
    parts = {"bias": np.array([0.5, np.nan]), "rmse": np.array([0.8, 0.8]), "iav": np.array([np.nan, np.nan])}
    np.testing.assert_allclose(overall(parts), [(0.5 + 2 * 0.8) / 3, 0.8])
    np.testing.assert_allclose(overall(parts, {"bias": 1.0}), [0.5, np.nan])
    with pytest.raises(
        InputError, match=r"expected weights of bias, rmse, phase, iav, spatial, .*found \{'speed'"
    ):
        overall(parts, {"speed": 1.0})
    with pytest.raises(InputError, match="0 or more and one above 0"):
        overall(parts, {"bias": -1.0, "rmse": 1.0})


def test_scores_of_sines_in_closed_form():
    """o = sin: c = sqrt(1/2). m = a sin shifted by k months plus b: bias b, centred error by the law of cosines."""
    t = np.arange(48)
    month = t % 12 + 1
    o = np.sin(2 * np.pi * t / 12)
    for a, k, b in ((1.0, 0, 0.0), (2.0, 3, 0.4), (0.5, 6, -1.0), (1.5, -2, 0.1)):
        m = a * np.sin(2 * np.pi * (t - k) / 12) + b
        c = np.sqrt(0.5)
        centred = np.sqrt(0.5 * (1 + a**2 - 2 * a * np.cos(2 * np.pi * k / 12)))
        assert bias_score(o, m) == pytest.approx(np.exp(-abs(b) / c))
        assert rmse_score(o, m) == pytest.approx(np.exp(-centred / c))
        assert phase_shift(mean_cycle(o, month), mean_cycle(m, month)) == k
        assert phase_score(k) == pytest.approx((1 + np.cos(2 * np.pi * k / 12)) / 2)
        found = taylor(o, m)
        np.testing.assert_allclose(
            [found.sd_ratio, found.r, found.error],
            [a, np.cos(2 * np.pi * k / 12), centred / c],
            atol=1e-9,
        )
    assert phase_score(0) == 1.0
    assert phase_score(6) == pytest.approx(0.0)
    assert phase_shift(o[:12], np.roll(o[:12], 2), peak="min") == 2
    with pytest.raises(InputError, match="expected peak 'max' or 'min'; found 'top'"):
        phase_shift(o[:12], o[:12], peak="top")


def test_interannual_departure_of_alternating_years():
    """Years that alternate by +-d about any cycle depart by d; a model of twice that scores exp(-1)."""
    month = np.tile(np.arange(1, 13), 4)
    sign = np.repeat([1.0, -1.0, 1.0, -1.0], 12)
    cycle = np.random.default_rng(0).normal(size=12)[month - 1]
    v = departure(cycle + 3.0 * sign, month), departure(cycle + 6.0 * sign, month)
    assert v == pytest.approx((3.0, 6.0))
    assert iav_score(*v) == pytest.approx(np.exp(-1.0))
    assert np.isnan(iav_score(0.0, 1.0))


@given(st.integers(0, 5000))
def test_taylor_is_that_of_scipy_and_obeys_the_law_of_cosines(seed):
    rng = np.random.default_rng(seed)
    o, m = rng.normal(size=(2, 20)) * [[3.0], [0.2]] + [[50.0], [-7.0]]
    m[3] = np.nan
    found = taylor(o, m)
    keep = np.isfinite(m)
    assert found.n == 19
    assert found.r == pytest.approx(stats.pearsonr(o[keep], m[keep]).statistic)
    assert found.error**2 == pytest.approx(1 + found.sd_ratio**2 - 2 * found.sd_ratio * found.r, abs=1e-9)


def test_spatial_score_limits():
    assert spatial_score(1.0, 1.0) == pytest.approx(1.0)
    assert spatial_score(1.0, -1.0) == pytest.approx(0.0)
    assert spatial_score(2.0, 0.5) == pytest.approx(
        spatial_score(0.5, 0.5)
    )  # too much or too little is as bad
    assert spatial_score(2.0, 1.0) == pytest.approx(0.64)
    assert spatial_score(0.0, 0.3) == 0.0


TIME = xr.date_range("2001-01-01", periods=48, freq="MS")
SECONDS = xr.DataArray(TIME, dims="time").dt.days_in_month.values * 86400.0


def world(amount, hole=None, **more):
    """A model whose amount (month,) + lat + lon / 100 in g m-2 month-1 tells the cell it was read from."""
    place = COARSE.y[:, None] + COARSE.x[None, :] / 100.0
    values = (np.asarray(amount, float)[:, None, None] + place) / 1000.0 / SECONDS[:, None, None]
    if hole is not None:
        values[:, hole] = np.nan
    return monthly(values, COARSE, TIME, **more)


def towers(places, amount=None, months=48):
    amount = np.zeros(48) if amount is None else amount
    rows = []
    for name, lat, lon in places:
        rows += [(name, lat, lon, int(t.year), int(t.month), amount[k]) for k, t in enumerate(TIME[:months])]
    return pd.DataFrame(rows, columns=["site_id", "lat", "lon", "year", "month", "nee"])


def test_every_site_is_told_its_cell_and_distance():
    hole = np.zeros(COARSE.shape, bool)
    hole[2, :10] = True  # 62.5 N west of 130 W
    places = [("in", 51.0, 13.0), ("near", 62.4, -131.0), ("far", 62.5, -160.0), ("seam", 52.0, 179.9)]
    table = towers(places)
    late = towers([("late", 57.0, 3.0)])
    late["year"] += 30
    pairs = pair_months(world(np.zeros(48), hole), pd.concat([table, late]), units=UNITS, max_km=200.0)
    sites = pairs.sites.set_index("site_id")
    assert sites["status"].to_dict() == {
        "far": "no data within 200 km",
        "in": "cell of the site",
        "late": "no month in the model",
        "near": "nearest cell with data",
        "seam": "cell of the site",
    }
    assert sites["n_matched"].to_dict() == {"far": 0, "in": 48, "late": 0, "near": 48, "seam": 48}
    read = pairs.rows.groupby("site_id")["modelled"].first()
    assert read["in"] == pytest.approx(52.5 + 0.125)
    assert read["near"] == pytest.approx(62.5 - 1.275)
    assert read["seam"] == pytest.approx(52.5 + 1.775)

    def haversine(a, b, c, d):
        a, b, c, d = np.radians([a, b, c, d])
        h = np.sin((c - a) / 2) ** 2 + np.cos(a) * np.cos(c) * np.sin((d - b) / 2) ** 2
        return 2 * 6371.0088 * np.arcsin(np.sqrt(h))

    assert sites.loc["near", "distance_km"] == pytest.approx(haversine(62.4, -131.0, 62.5, -127.5), rel=1e-9)
    assert sites.loc["far", "distance_km"] > 500
    assert sites.loc[["far"], ["cell_lat", "cell_lon"]].isna().all(axis=None)
    own = pair_months(world(np.zeros(48), hole), table, units=UNITS, max_km=0.0).sites.set_index("site_id")
    assert own.loc["near", "status"] == "no data within 0 km"


def test_a_site_without_a_position_keeps_a_row_and_has_no_pair():
    table = pd.concat([towers([("in", 51.0, 13.0)]), towers([("nowhere", np.nan, np.nan)])])
    pairs = pair_months(world(np.zeros(48)), table, units=UNITS)
    sites = pairs.sites.set_index("site_id")
    assert sites["status"].to_dict() == {"in": "cell of the site", "nowhere": "no position"}
    assert sites["n_matched"].to_dict() == {"in": 48, "nowhere": 0}


def test_lazy_and_plain_models_give_the_same_pairs():
    table = towers([("a", 51.0, 13.0), ("b", 71.0, -100.0)], np.arange(48.0))
    plain = world(np.arange(48.0))
    lazy = plain.chunk({"time": 5})
    one, two = (pair_months(ds, table, units=UNITS) for ds in (plain, lazy))
    pd.testing.assert_frame_equal(one.rows, two.rows)
    assert len(one.rows) == 96
    np.testing.assert_allclose(
        one.rows.groupby("site_id")["modelled"].first(), [52.5 + 0.125, 72.5 - 0.975], rtol=1e-9
    )


def test_what_cannot_be_paired_is_refused():
    table = towers([("a", 51.0, 13.0)])
    model = world(np.zeros(48))
    with pytest.raises(UnitsError, match="'nee': expected units 'g m-2 month-1'; found 'g m-2 d-1'"):
        pair_months(model, table, units="g m-2 d-1")
    with pytest.raises(InputError, match="columns lat missing"):
        pair_months(model, table.drop(columns="lat"), units=UNITS)
    with pytest.raises(InputError, match="two rows in one month"):
        pair_months(model, pd.concat([table, table]), units=UNITS)
    with pytest.raises(FluxError, match="'fire_removed'"):
        pair_months(world(np.zeros(48), approach="inversion"), table, units=UNITS)
    members = model.assign(nee=model["nee"].expand_dims(member=[0, 1]).assign_attrs(model["nee"].attrs))
    with pytest.raises(FluxError, match="select one of member first"):
        pair_months(members, table, units=UNITS)
    table["year"] += 40
    with pytest.raises(CoverageError, match="no month of 1 sites in the model"):
        pair_months(model, table, units=UNITS)


def test_skill_of_a_shifted_and_stretched_model():
    """Model = 2 x observation two months later + 3: all numbers are known."""
    t = np.arange(48)
    o = -40 * np.cos(2 * np.pi * (t - 6) / 12)
    year = np.repeat([0.0, 1.0, -1.0, 0.5], 12)
    m = 2 * -40 * np.cos(2 * np.pi * (t - 8) / 12) + 3 + 2 * year
    place = 52.5 + 0.125
    table = towers([("a", 51.0, 13.0)], o + year + place)
    model = world(m)
    skill = site_skill(pair_months(model, table, units=UNITS)).iloc[0]
    assert skill["bias"] == pytest.approx(12 * (3 + year.mean()))
    assert skill["observed"] == pytest.approx(12 * (place + year.mean()))
    assert skill["amplitude_ratio"] == pytest.approx(2.0)
    assert skill["phase_shift"] == 2
    assert skill["cycle_r"] == pytest.approx(np.cos(np.pi / 3))
    assert skill["iav_ratio"] == pytest.approx(2.0)
    assert skill["r_years"] == pytest.approx(1.0)
    assert skill["phase_score"] == pytest.approx(0.75)
    assert skill["iav_score"] == pytest.approx(np.exp(-1))
    assert skill["rmse"] == pytest.approx(np.sqrt(((m - o - year) ** 2).mean()))


def test_short_records_keep_a_row():
    course = np.random.default_rng(0).normal(size=48) + np.arange(48.0)
    table = pd.concat(
        [
            towers([("summer", 51.0, 13.0)], months=8),
            towers([("year", 52.0, 14.0)], np.arange(48.0), months=12),
            towers([("two", 52.0, 14.0)], course, months=24),
            towers([("three", 52.0, 14.0)], course, months=36),
        ]
    )
    found = site_skill(pair_months(world(np.arange(48.0)), table, units=UNITS)).set_index("site_id")
    assert found.loc["summer", "status"] == "no whole seasonal cycle in common"
    assert np.isnan(found.loc["summer", "bias"])
    assert found.loc["summer", "rmse"] > 0
    assert found.loc["year", "status"] == "cell of the site"
    assert found.loc["year", "bias"] == pytest.approx(12 * 52.625)
    assert found["n_years"].fillna(0).to_dict() == {"summer": 0, "three": 3, "two": 2, "year": 1}
    assert found["iav_score"].notna().to_dict() == {
        "summer": False,
        "three": True,
        "two": False,
        "year": False,
    }


def skills(n=25):
    """Three models at the same sites: perfect, noisy, and wrong in season."""
    rng = np.random.default_rng(3)
    month = np.tile(np.arange(1, 13), 4)
    out = {}
    truth = [
        -30 * np.sin(2 * np.pi * (month - 4) / 12) + rng.normal() * 5 + rng.normal(size=48) for _ in range(n)
    ]
    for name, change in (
        ("good", lambda o: o + np.random.default_rng(1).normal(size=48) * 1),
        ("noisy", lambda o: o + np.random.default_rng(2).normal(size=48) * 12),
        ("late", lambda o: np.roll(o, 4) + 8),
    ):
        rows = pd.concat(
            [
                pd.DataFrame(
                    {
                        "site_id": f"s{k:02d}",
                        "year": np.repeat([2001, 2002, 2003, 2004], 12),
                        "month": month,
                        "observed": o,
                        "modelled": change(o),
                    }
                )
                for k, o in enumerate(truth)
            ]
        )
        sites = pd.DataFrame({"site_id": sorted(set(rows["site_id"])), "status": "cell of the site"})
        out[name] = site_skill(Pairs(rows, sites))
    return out


def test_ranking_and_how_sure_it_is():
    found = skills()
    ranks = rank_models(found, n_resamples=300)
    assert ranks["model"].tolist() == ["good", "noisy", "late"]
    for row in ranks.itertuples():
        skill = found[row.model]
        place = spatial_skill(skill)
        parts = {k: np.array([skill[f"{k}_score"].mean()]) for k in ("bias", "rmse", "phase", "iav")}
        parts["spatial"] = np.array([2 * (1 + place.r) / (place.sd_ratio + 1 / place.sd_ratio) ** 2])
        np.testing.assert_allclose(row.spatial, parts["spatial"][0])
        weights = {"bias": 1, "rmse": 2, "phase": 1, "iav": 1, "spatial": 1}
        want = sum(weights[k] * v[0] for k, v in parts.items()) / 6
        assert row.overall == pytest.approx(want)
        assert row.low < row.overall < row.high
    assert ranks["first"].tolist() == [1.0, 0.0, 0.0]
    assert ranks["beats_next"].iloc[:2].min() > 0.95
    pd.testing.assert_frame_equal(ranks, rank_models(found, n_resamples=300))
    same = rank_models({"one": found["good"], "two": found["good"].copy()}, n_resamples=50)
    assert same["beats_next"].iloc[0] == 0.0  # a draw is no win


def test_only_common_sites_rank_and_the_others_are_counted():
    found = skills()
    found["late"] = found["late"].assign(
        observed=found["late"]["observed"].where(found["late"]["site_id"] > "s04")
    )
    ranks = rank_models(found, n_resamples=50).set_index("model")
    assert ranks["n_sites"].tolist() == [20] * 3
    assert ranks["n_left_out"].to_dict() == {"good": 5, "noisy": 5, "late": 0}
    few = {n: s.iloc[:2] for n, s in found.items()}
    with pytest.raises(CoverageError, match="0 sites with a whole seasonal cycle in all models"):
        rank_models(few)
    with pytest.raises(InputError, match="at least one model"):
        rank_models({})


def test_a_record_too_short_for_variability_does_not_win():
    """A score that one model lacks counts for none: the same model with and without it is as good."""
    sites = pd.DataFrame(
        {
            "site_id": list("abcde"),
            "observed": [-10.0, -30.0, -50.0, -20.0, 5.0],
            "modelled": [-12.0, -20.0, -40.0, -30.0, 0.0],
            **{f"{s}_score": [0.9, 0.8, 0.7, 0.8, 0.9] for s in ("bias", "rmse", "phase")},
            "iav_score": 0.1,
        }
    )
    ranks = rank_models({"long": sites, "short": sites.assign(iav_score=np.nan)}, n_resamples=200)
    assert ranks["overall"].nunique() == 1
    assert list(ranks["first"]) == [0.5, 0.5]
