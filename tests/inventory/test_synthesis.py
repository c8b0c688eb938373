"""Wetland-class synthesis: statsmodels and scipy as oracles, resampling by hand, and the real site table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.multicomp import pairwise_tukeyhsd

from talik.errors import InputError
from talik.inventory.synthesis import SynthesisSettings, _resampled, analysis, synthesis
from talik.sources.wetland_ch4 import CLASSES, read_wetland_ch4

QUICK = SynthesisSettings(resamples=1000)


def made_up(seed: int = 1, count: int = 90) -> pd.DataFrame:
    """Unbalanced sites of four classes and two data sets with unlike class shares."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["A", "B", "C", "PermBog"], count, p=[0.4, 0.3, 0.2, 0.1])
    level = pd.Series({"A": 60.0, "B": 30.0, "C": 25.0, "PermBog": 4.0})
    which = np.where(rng.random(count) < np.where(kind == "A", 0.8, 0.3), "x", "y")
    flux = level[kind].to_numpy() * rng.lognormal(0, 0.7, count) + 5 * (which == "x")
    return pd.DataFrame({"flux": flux, "class": kind, "dataset": which, "site": rng.integers(0, 25, count)})


def site_table(shared: Path) -> pd.DataFrame:
    """The BAWLD-CH4 wetland rows."""
    path = shared / "data/bawld-ch4-wetlands/bawld_ch4_wetland_flux_and_cell_cover.csv.gz"
    table = read_wetland_ch4(path).table
    names = {code: name for name, code in CLASSES.items()}
    return table.assign(site=table["site_id"], **{"class": table["class"].map(names)})


def growing_season(shared: Path) -> pd.DataFrame:
    return site_table(shared).rename(columns={"ch4_mean": "flux"})


def annual(shared: Path) -> pd.DataFrame:
    """Annual fluxes, g CH4 m-2 yr-1 in the table, as means of the day."""
    table = site_table(shared)
    return table.assign(flux=table["ch4_annual"] * 1000 / 365.25)[table["ch4_annual"].notna()]


def test_type_two_table_is_that_of_statsmodels() -> None:
    table = made_up()
    for transform in ("log10", "none"):
        found = analysis(table, SynthesisSettings(transform=transform))
        y = np.log10(table["flux"] + 10) if transform == "log10" else table["flux"]
        fit = ols("y ~ C(kind) + C(dataset)", table.assign(y=y, kind=table["class"])).fit()
        oracle = sm.stats.anova_lm(fit, typ=2)
        for term, row in zip(found.terms, ("C(kind)", "C(dataset)"), strict=True):
            expected = oracle.loc[row]
            assert term.sum_of_squares == pytest.approx(expected["sum_sq"])
            assert (term.df, term.f, term.p) == pytest.approx(tuple(expected[["df", "F", "PR(>F)"]]))
        assert found.residual_df == fit.df_resid
        assert found.residual_sum_of_squares == pytest.approx(oracle.loc["Residual", "sum_sq"])


def test_adjusted_means_are_predictions_at_equal_weight_of_data_sets() -> None:
    table = made_up()
    found = analysis(table, QUICK)
    fit = ols(
        "y ~ C(kind) + C(dataset)", table.assign(y=np.log10(table["flux"] + 10), kind=table["class"])
    ).fit()
    for name, level in found.adjusted.items():
        at = fit.predict(pd.DataFrame({"kind": [name] * 2, "dataset": ["x", "y"]}))
        assert level == pytest.approx(at.mean())
        assert found.adjusted_flux[name] == pytest.approx(10 ** at.mean() - 10)
    # and their pairwise t-tests, before Tukey's correction
    for pair in found.pairs:
        test = fit.t_test_pairwise("C(kind)", method="bonferroni").result_frame
        key = f"{pair.second}-{pair.first}"
        t = abs(test.loc[key, "t"])
        assert -pair.difference == pytest.approx(test.loc[key, "coef"])
        assert pair.p == pytest.approx(
            stats.studentized_range.sf(t * np.sqrt(2), 4, found.residual_df), rel=1e-6
        )


def test_one_data_set_is_tukey_kramer() -> None:
    table = made_up().drop(columns="dataset")
    found = synthesis(table, QUICK).rows.analysis
    y = np.log10(table["flux"] + 10)
    oracle = pairwise_tukeyhsd(y, table["class"].to_numpy(str))
    groups = [y[table["class"] == name] for name in sorted(table["class"].unique())]
    assert (found.terms[0].f, found.terms[0].p) == pytest.approx(tuple(stats.f_oneway(*groups)))
    assert len(found.terms) == 1
    tukey = stats.tukey_hsd(*groups)
    names = list(found.adjusted)
    for pair, mean, limits in zip(found.pairs, oracle.meandiffs, oracle.confint, strict=True):
        assert pair.difference == pytest.approx(-mean)
        assert (-pair.high, -pair.low) == pytest.approx(tuple(limits), abs=1e-4)
        assert pair.p == pytest.approx(
            tukey.pvalue[names.index(pair.first), names.index(pair.second)], abs=1e-8
        )
    rank = stats.kruskal(*(table["flux"][table["class"] == name] for name in names))
    assert (found.kruskal_h, found.kruskal_p) == pytest.approx((rank.statistic, rank.pvalue))


@settings(max_examples=20)
@given(
    st.lists(st.tuples(st.floats(-5, 500), st.integers(0, 4)), min_size=1, max_size=12), st.integers(0, 99)
)
def test_resampled_means_and_medians_by_repeating_rows(rows: list[tuple[float, int]], seed: int) -> None:
    table = pd.DataFrame(rows, columns=["flux", "site"]).astype({"site": str}).sort_values("flux")
    counts = np.random.default_rng(seed).integers(0, 3, (6, 5))
    means, medians = _resampled(table, pd.DataFrame(counts, columns=list("01234")))
    for k, count in enumerate(counts):
        values = np.repeat(table["flux"], count[table["site"].astype(int)])
        if len(values):
            assert means[k] == pytest.approx(values.mean(), abs=1e-9)
            assert medians[k] == pytest.approx(values.median())
        else:
            assert np.isnan(means[k])
            assert np.isnan(medians[k])


def test_limits_over_sites_are_wider_where_sites_are_alike_inside() -> None:
    rng = np.random.default_rng(5)
    site = np.repeat(np.arange(40), 6)
    flux = 50 + np.repeat(rng.normal(0, 10, 40), 6) + rng.normal(0, 0.1, 240)
    table = pd.DataFrame({"flux": flux, "class": np.where(site < 20, "A", "PermBog"), "site": site})
    found = synthesis(table, QUICK)
    low, high = found.rows.classes["A"].mean_limits[1:]
    sd_of_site_means = pd.Series(flux[:120]).groupby(site[:120]).mean().std()
    assert high - low == pytest.approx(2 * 1.96 * sd_of_site_means / np.sqrt(20), rel=0.25)
    assert found.rows.analysis.residual_df == 238
    assert found.sites.analysis.residual_df == 38
    assert found.rows.analysis.terms[0].f > 4 * found.sites.analysis.terms[0].f


def test_ratios_to_a_reference() -> None:
    found = synthesis(made_up(), QUICK)
    by_name = {r.name: r for r in found.rows.ratios}
    classes = found.rows.classes
    assert set(by_name) == {"A", "B", "C"}
    assert by_name["A"].of_means == pytest.approx(classes["A"].mean / classes["PermBog"].mean)
    assert by_name["A"].of_medians == pytest.approx(classes["A"].median / classes["PermBog"].median)
    low, high = by_name["A"].of_means_limits[1:]
    assert low < by_name["A"].of_means < high
    assert any("No ratios to UpTundra" in note for note in found.notes)


def test_a_reference_that_is_not_above_zero_has_no_ratio() -> None:
    table = made_up()
    table.loc[table["class"] == "PermBog", "flux"] = -0.5
    found = synthesis(table, QUICK)
    assert np.isnan(found.rows.ratios[0].of_means)
    assert found.rows.ratios[0].of_means_limits is None
    assert found.to_dict()["rows"]["ratios"][0]["of_means"] is None


def test_growing_season_of_the_real_table(shared: Path) -> None:
    table = growing_season(shared)
    found = synthesis(table)
    published = {  # rows, mean, median
        "Marshes": (33, 171.6, 106.0),
        "PermWet": (109, 81.5, 65.0),
        "Fen": (109, 79.6, 54.0),
        "Bog": (86, 43.5, 24.6),
        "PermBog": (80, 7.8, 2.3),
    }
    for name, (rows, mean, median) in published.items():
        row = found.rows.classes[name]
        assert row.rows == rows
        assert row.mean == pytest.approx(mean, abs=0.05)
        assert row.median == pytest.approx(median, abs=0.05)
    both = found.rows.analysis
    assert both.values == 417
    assert "2 rows without a flux are left out." in found.notes
    assert [(t.name, t.df) for t in both.terms] == [("class", 4), ("dataset", 1)]
    assert both.residual_df == 411
    assert found.sites.analysis.residual_df == found.sites.analysis.values - 6
    clean = table[table["flux"].notna()]
    fit = ols(
        "y ~ C(kind) + C(dataset)", clean.assign(y=np.log10(clean["flux"] + 10), kind=clean["class"])
    ).fit()
    oracle = sm.stats.anova_lm(fit, typ=2)
    assert [t.f for t in both.terms] == pytest.approx(oracle["F"].tolist()[:2])
    # numbers of docs/science/wetland-synthesis.md
    assert [t.f for t in both.terms] == pytest.approx([69.2, 1.01], rel=0.01)
    assert [t.f for t in found.sites.analysis.terms] == pytest.approx([50.32, 0.284], rel=0.01)
    assert found.sites.analysis.residual_df == 191
    fen = next(r for r in found.rows.ratios if r.name == "Fen")
    assert fen.of_means == pytest.approx(10.2, abs=0.05)
    assert fen.of_means_limits[1:] == pytest.approx((5.4, 19.7), rel=0.02)
    json.dumps(found.to_dict(), allow_nan=False)


def test_annual_fluxes_of_the_real_table(shared: Path) -> None:
    found = synthesis(annual(shared))
    assert {name: row.rows for name, row in found.rows.classes.items()} == {
        "Bog": 6,
        "Fen": 15,
        "Marshes": 5,
        "PermBog": 12,
        "PermWet": 16,
    }
    grams = {name: row.mean * 0.36525 for name, row in found.rows.classes.items()}
    assert grams == pytest.approx(
        {"Marshes": 27.4, "Fen": 14.0, "PermWet": 7.7, "Bog": 7.2, "PermBog": 0.67}, abs=0.06
    )
    both, sites = found.rows.analysis, found.sites.analysis
    assert (both.values, both.residual_df, sites.residual_df) == (54, 48, 26)
    assert (both.terms[0].f, sites.terms[0].f) == pytest.approx((10.35, 7.54), abs=0.005)
    p = {(pair.first, pair.second): pair.p for pair in sites.pairs}
    assert p["Fen", "PermBog"] < 0.01 > p["Marshes", "PermBog"]
    assert min(p["Bog", "PermBog"], p["Bog", "PermWet"], p["Fen", "PermWet"], p["Marshes", "PermWet"]) > 0.05


def test_same_seed_same_limits() -> None:
    table = made_up()
    first = synthesis(table, QUICK)
    assert first.to_dict() == synthesis(table.sample(frac=1, random_state=3), QUICK).to_dict()
    other = synthesis(table, SynthesisSettings(resamples=1000, seed=1))
    assert other.rows.classes["A"].mean_limits != first.rows.classes["A"].mean_limits


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.drop(columns="site"), "column 'site' is missing"),
        (lambda t: t.assign(site=None), "column 'site' is empty in 90 rows"),
        (lambda t: t.assign(flux="much"), "holds no numbers"),
        (lambda t: t.assign(flux=np.inf), "holds infinite values"),
        (lambda t: t.assign(flux=-20.0), r"log10\(flux \+ 10\) needs more than 0"),
        (lambda t: t[t["class"] == "A"], "1 classes with a flux"),
        (lambda t: t.assign(dataset=t["class"]), "cannot be told apart"),
        (lambda t: t.groupby("class").head(1).drop(columns="dataset"), "no degrees of freedom"),
    ],
)
def test_bad_tables_stop(change: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        synthesis(change(made_up()), QUICK)  # type: ignore[operator]
