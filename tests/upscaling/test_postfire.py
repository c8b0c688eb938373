"""Post-fire bias: planted coefficients, refusals, and the application by a slow independent computation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talik.errors import InputError
from talik.upscaling.postfire import (
    annual_correction,
    burn_exposure,
    burned_rows,
    fit_postfire,
    month_correction,
)

PLANTED = {5: (12.0, -1.2), 6: (30.0, -4.0), 7: (25.0, -2.7)}


def held_out(seed: int = 0, sites: int = 40) -> pd.DataFrame:
    """Held-out predictions at burned sites with planted bias in three months, none elsewhere, and other rows."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(sites):
        burn, start = rng.integers(1996, 2012), rng.integers(2001, 2008)
        years = np.arange(start, start + rng.integers(1, 12))
        year, month = (v.ravel() for v in np.meshgrid(years, np.arange(1, 13)))
        since = year - burn
        level, trend = rng.normal(0, 3), rng.normal(0, 0.3)
        first = np.array([PLANTED.get(m, (0.0, 0.0))[0] for m in month])
        second = np.array([PLANTED.get(m, (0.0, 0.0))[1] for m in month])
        predicted = rng.normal(-20, 15, year.size)
        observed = predicted + first + level + (second + trend) * since + rng.normal(0, 4, year.size)
        frames.append(
            pd.DataFrame(
                {
                    "site_id": f"s{i:02d}",
                    "year": year,
                    "month": month,
                    "observed": observed,
                    "predicted": predicted,
                }
            ).assign(disturbance="Fire", disturb_year=float(burn))
        )
    table = pd.concat(frames, ignore_index=True)
    others = table.assign(site_id=table["site_id"] + "x", observed=1e6)
    harvested = others.assign(disturbance="Harvest")
    unknown = others.assign(site_id=others["site_id"] + "y", disturb_year=np.nan)
    untouched = others.assign(site_id=others["site_id"] + "z", disturbance=None)
    return pd.concat([table, harvested, unknown, untouched], ignore_index=True)


def test_planted_coefficients_come_back_and_other_months_are_screened_out() -> None:
    bias = fit_postfire(held_out())
    for month, planted in PLANTED.items():
        found = bias.months[month - 1]
        assert found.used
        assert found.fit is not None
        errors = np.sqrt(np.diag(found.fit.cov_beta))
        assert np.all(np.abs(found.fit.beta - planted) < 3 * errors)
        assert errors[0] < 2.5
        assert errors[1] < 0.25
    table = bias.table()
    assert table.loc[5, "last_positive_year"] in (8, 9, 10)
    used = set(table.index[table["used"]])
    assert set(PLANTED) <= used
    assert len(used) <= 4  # each of nine empty months has 5 % or less to pass
    assert table.loc[~table["used"], "reason"].str.contains("not used: p =").all()


def test_rows_kept_are_burned_known_and_zero_to_eighteen_years_old() -> None:
    table = held_out()
    rows = burned_rows(table)
    kept = 0
    for row in table.itertuples():
        since = row.year - row.disturb_year
        if row.disturbance == "Fire" and since >= 0 and since <= 18:
            kept += 1
    assert len(rows) == kept
    assert rows["bias"].abs().max() < 1e3
    assert rows["years_since_fire"].between(0, 18).all()


def test_bias_is_observed_minus_predicted() -> None:
    one = pd.DataFrame(
        {"site_id": ["a"], "year": [2010], "month": [6], "observed": [5.0], "predicted": [-20.0]}
    ).assign(disturbance="Fire", disturb_year=2004.0)
    np.testing.assert_array_equal(burned_rows(one)[["years_since_fire", "bias"]], [[6.0, 25.0]])


def test_few_sites_or_rows_are_refused_with_the_reason() -> None:
    table = held_out()
    two = table[table["site_id"].isin(["s00", "s01"])]
    assert all("2 burned sites, at least 3" in m.reason for m in fit_postfire(two).months)
    empty = fit_postfire(table[table["disturbance"] == "Harvest"])
    assert all(m.fit is None and not m.used and "0 burned sites" in m.reason for m in empty.months)
    assert not empty.table()["used"].any()
    single = table[table["disturbance"] == "Fire"].drop_duplicates(["site_id", "month"])
    assert all("no degree of freedom" in m.reason for m in fit_postfire(single).months)
    burned = table[(table["disturbance"] == "Fire") & table["disturb_year"].notna()]
    same = burned.assign(disturb_year=burned["year"] - 4.0)
    assert all("same number of years" in m.reason for m in fit_postfire(same).months)
    exact = burned.assign(observed=burned["predicted"] + 2.0 * (burned["year"] - burned["disturb_year"]))
    assert all("exact line" in m.reason for m in fit_postfire(exact).months)


BIAS = fit_postfire(held_out(sites=15))


def slow_correction(fractions, years, target, beta) -> float:
    """One pixel: walk back from the latest burn, and never count more ground than there is."""
    left, total = 1.0, 0.0
    for year in sorted(years, reverse=True):
        since = target - year
        if since < 0 or since > 18:
            continue
        share = min(fractions[list(years).index(year)], left)
        left -= share
        total += share * (beta[0] + beta[1] * since)
    return total


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_application_agrees_with_a_walk_over_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    years = np.sort(rng.choice(np.arange(1998, 2024), 6, replace=False))
    fractions = rng.random((6, 3, 2)) * (rng.random((6, 3, 2)) < 0.6)
    bias = BIAS
    exposure = burn_exposure(fractions, years, 2020)
    value, deviation = month_correction(bias, 6, exposure)
    fit = bias.months[5].fit
    assert fit is not None
    for i, j in np.ndindex(3, 2):
        assert value[i, j] == pytest.approx(
            slow_correction(fractions[:, i, j], years, 2020, fit.beta), abs=1e-9
        )
        pair = exposure[:, i, j]
        assert deviation[i, j] == pytest.approx(np.sqrt(pair @ fit.cov_beta @ pair), abs=1e-9)
    assert exposure[0].max() <= 1 + 1e-12
    # a region is its summed exposure
    area = rng.random((3, 2))
    region, _ = month_correction(bias, 6, (exposure * area).sum(axis=(1, 2)))
    assert region == pytest.approx((value * area).sum(), rel=1e-9, abs=1e-9)


def test_ground_burned_twice_counts_at_its_latest_burn() -> None:
    np.testing.assert_allclose(burn_exposure([1.0, 0.4], [2004, 2018], 2020), [1.0, 0.6 * 16 + 0.4 * 2])
    np.testing.assert_array_equal(burn_exposure([0.5, 0.5], [2001, 2021], 2020), [0.0, 0.0])
    np.testing.assert_array_equal(
        burn_exposure([[0.5, np.nan]], [2010], 2020), [[0.5, np.nan], [5.0, np.nan]]
    )


def test_deviation_is_that_of_drawn_coefficients() -> None:
    bias = fit_postfire(held_out())
    exposure = burn_exposure([[0.2], [0.5]], [2006, 2015], 2020)
    rng = np.random.default_rng(0)
    total = np.zeros(20_000)
    for month in bias.table().query("used").index:
        fit = bias.months[month - 1].fit
        assert fit is not None
        total += rng.multivariate_normal(fit.beta, fit.cov_beta, total.size) @ exposure[:, 0]
    value, deviation = annual_correction(bias, exposure)
    assert value[0] == pytest.approx(total.mean(), abs=5 * deviation[0] / np.sqrt(total.size))
    assert deviation[0] == pytest.approx(total.std(), rel=0.03)
    np.testing.assert_array_equal(month_correction(bias, 1, exposure), np.zeros((2, 1)))


def test_real_sites_show_a_sink_overestimated_after_fire_in_june_and_july(shared: Path) -> None:
    """Against the mean of other sites of the biome: positive at first, falling, for 5 to 12 years as in the paper."""
    root = shared / "data" / "abcflux-v2-apr2024"
    sites = pd.read_csv(root / "sites.csv.gz")[["site_no", "disturbance", "disturb_year"]]
    table = pd.read_parquet(root / "site_months_mean.parquet").merge(sites, on="site_no")
    table = table.rename(columns={"site_no": "site_id", "nee": "observed"}).dropna(subset=["observed"])
    table["disturbance"] = table["disturbance"].replace("Wildfire", "Fire")
    cell, own = ["biome", "month"], ["biome", "month", "site_id"]
    total, n = (
        table.groupby(cell)["observed"].transform(how) - table.groupby(own)["observed"].transform(how)
        for how in ("sum", "count")
    )
    bias = fit_postfire(table.assign(predicted=total / n))
    found = bias.table()
    assert (found["sites"] >= 8).all()
    assert found.loc[[6, 7], "used"].all()
    assert (found.loc[[6, 7], "intercept"] > 20).all()
    assert found.loc[[6, 7], "last_positive_year"].between(5, 12).all()


@pytest.mark.parametrize(
    ("fractions", "years", "message"),
    [
        ([0.1, 0.2], [2010], "ascending burn years"),
        ([0.1, 0.2], [2012, 2010], "ascending burn years"),
        ([10.0, 20.0], [2010, 2012], "shares of the cell"),
        ([-0.1, 0.2], [2010, 2012], "shares of the cell"),
    ],
)
def test_refuses_fractions_it_cannot_read(fractions, years, message: str) -> None:
    with pytest.raises(InputError, match=message):
        burn_exposure(fractions, years, 2020)


def test_refuses_tables_without_burn_year_or_with_doubled_months() -> None:
    table = held_out(sites=3)
    with pytest.raises(InputError, match=r"columns \['disturb_year'\] are missing"):
        fit_postfire(table.drop(columns="disturb_year"))
    with pytest.raises(InputError, match="occur twice, first s00"):
        fit_postfire(pd.concat([table, table.iloc[[0]]]))
