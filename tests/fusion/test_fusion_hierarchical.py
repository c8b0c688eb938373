"""The population of pixels: conjugate answers, limits that hold a shared truth, what is not trusted."""

from __future__ import annotations

import dataclasses
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.integrate import quad
from scipy.stats import norm
from tests.fusion.products import half_degree, made_up
from tests.fusion.worlds import coverage_of_shared

from talik.errors import InputError
from talik.fusion.dependence import chosen_sums
from talik.fusion.figures import regional_assumptions
from talik.fusion.hierarchical import HyperPrior, Shared, population, shared_members
from talik.fusion.parameters import SHAREABLE, P, bounds_of
from talik.fusion.posts import fusion_posts
from talik.fusion.regional import Assumptions, pixel_areas, pixel_grid, regional_table
from talik.fusion.settings import Regions
from talik.fusion.shared import shared_parameters
from talik.fusion.summary import summarise
from talik.fusion.switches import BEST, REPRODUCE

FIRST, NOISE = 2.0, 0.6
"""Sd of the first prior of a pixel and of what it observed."""


def normal_world(pixels: int, spread: float, rng: np.random.Generator, members: int = 300):
    """Truth, observations, members and their log first prior; the first prior is N(0, FIRST)."""
    truth = 0.7 + spread * rng.standard_normal(pixels)
    seen = truth + NOISE * rng.standard_normal(pixels)
    keep = FIRST**2 / (FIRST**2 + NOISE**2)
    values = keep * seen[:, None] + np.sqrt(keep) * NOISE * rng.standard_normal((pixels, members))
    return truth, seen, values, -0.5 * (values / FIRST) ** 2


def wide(mean: np.ndarray) -> np.ndarray:
    return norm.logpdf(mean, scale=FIRST).sum(axis=1)


def drawn_sum(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return chosen_sums(values[None], np.ones((1, len(values))), chosen)[0, 0]


def test_normal_pixels_of_known_spread_have_the_conjugate_answer():
    """mu | data is normal; each truth shrinks to mu by spread^2 / (spread^2 + noise^2)."""
    spread, pixels = 0.5, 40
    errors = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        _, seen, values, first = normal_world(pixels, spread, rng)
        found = population(values[..., None], first, HyperPrior(wide, (spread, 1e-2)), rng, 4000)
        variance = spread**2 + NOISE**2
        precision = pixels / variance + 1 / FIRST**2
        mean, sd = seen.sum() / variance / precision, precision**-0.5
        shrink = spread**2 / variance
        of_sum = float(np.sum(shrink * seen + (1 - shrink) * mean))
        sd_sum = np.sqrt(pixels * shrink * NOISE**2 + (pixels * (1 - shrink) * sd) ** 2)
        total = drawn_sum(values, found.chosen)
        errors.append(
            [
                (found.mean.mean() - mean) / sd,
                found.mean.std() / sd - 1,
                (total.mean() - of_sum) / sd_sum,
                total.std() / sd_sum - 1,
            ]
        )
        assert found.reason == ""
    mean_off, sd_off, sum_off, sum_sd_off = np.array(errors).T
    assert np.abs([mean_off.mean(), sum_off.mean()]).max() < 0.15
    assert np.abs([mean_off, sum_off]).max() < 0.5
    assert np.abs([sd_off.mean(), sum_sd_off.mean()]).max() < 0.05


def test_unknown_spread_is_that_of_a_grid():
    """Posterior of ln spread and mean by brute force from the marginal likelihood of the observations."""
    rng = np.random.default_rng(3)
    _, seen, values, first = normal_world(60, 0.8, rng)
    found = population(values[..., None], first, HyperPrior(wide), rng, 4000)
    log_spread, mean = np.meshgrid(np.linspace(-3, 1.5, 181), np.linspace(-0.5, 2, 201), indexing="ij")
    total = norm.logpdf(log_spread, np.log(0.5), 0.7) + norm.logpdf(mean, scale=FIRST)
    width = np.sqrt(np.exp(2 * log_spread) + NOISE**2)
    for one in seen:
        total += norm.logpdf(one, mean, width)
    share = np.exp(total - total.max())
    share /= share.sum()
    for values_found, grid in ((np.log(found.spread), log_spread), (found.mean, mean)):
        expected = np.sum(share * grid)
        sd = np.sqrt(np.sum(share * (grid - expected) ** 2))
        assert abs(values_found.mean() - expected) < 0.35 * sd
        assert values_found.std() == pytest.approx(sd, rel=0.12)


@pytest.mark.science
def test_limits_of_a_sum_hold_the_truth_where_an_error_is_shared_and_those_of_independence_do_not():
    """Of 60 worlds with true limits of 95 %, fewer than 88 % hold the truth by chance in 1 of 100."""
    found = coverage_of_shared(replicates=60, noise=1.2)
    assert found["trusted and held"] >= 88
    assert found["independent"] < 50


def test_pixels_without_data_give_back_the_prior():
    """Members of the first prior: every population is as likely as before."""
    rng = np.random.default_rng(2)
    values = rng.normal(0, FIRST, (30, 400))
    found = population(values[..., None], -0.5 * (values / FIRST) ** 2, HyperPrior(wide), rng, 4000)
    few = HyperPrior(wide)
    assert np.median(found.spread) == pytest.approx(few.spread[0], rel=0.6)
    assert abs(found.mean.mean()) < 0.7 * FIRST
    assert found.mean.std() == pytest.approx(FIRST, rel=0.4)


def test_members_that_the_population_leaves_too_few_of_are_not_trusted():
    rng = np.random.default_rng(0)
    _, _, values, first = normal_world(40, 0.02, rng, members=50)
    narrow = population(values[..., None], first, HyperPrior(wide, (0.02, 0.1)), rng, 1000)
    assert re.search(r"of 40 pixels keep fewer than 10 effective members", narrow.reason)
    assert narrow.effective.min() < 10
    _, _, values, first = normal_world(4, 0.5, rng)
    few = population(values[..., None], first, HyperPrior(wide), rng, 1000)
    assert "4 pixels, fewer than 10" in few.reason


def test_every_draw_is_one_member_of_each_pixel_and_the_seed_decides():
    rng = np.random.default_rng(1)
    _, _, values, first = normal_world(12, 0.5, rng, members=60)
    one, two = (
        population(values[..., None], first, HyperPrior(wide), np.random.default_rng(5), 1700) for _ in "ab"
    )
    assert one.chosen.shape == (12, 1700)
    assert one.chosen.max() < 60
    np.testing.assert_array_equal(one.chosen, two.chosen)


@settings(max_examples=30)
@given(low=st.floats(1e-4, 1.0), ratio=st.floats(1.5, 1e4), share=st.floats(0.001, 0.999))
def test_scale_goes_there_and_back(low: float, ratio: float, share: float):
    of = Shared("x", low, low * ratio)
    x = np.array([low * ratio**share])
    np.testing.assert_allclose(of.value(of.scaled(x)), x, rtol=1e-9)


def test_first_prior_is_flat_in_ln_x_times_the_gaussian():
    """Its density in y integrates like that in ln x over the same interval."""
    of = Shared("ra_gpp", 0.2, 0.8, (0.54, 0.12))
    edges = np.array([0.25, 0.4, 0.6, 0.79])
    in_y = [
        quad(lambda y: float(np.exp(of.log_prior(np.array(y)))), *of.scaled(np.array(pair)))[0]
        for pair in pairwise(edges)
    ]
    in_x = [quad(lambda x: np.exp(-0.5 * ((x - 0.54) / 0.12) ** 2) / x, *pair)[0] for pair in pairwise(edges)]
    np.testing.assert_allclose(np.array(in_y) / sum(in_y), np.array(in_x) / sum(in_x), rtol=1e-6)
    y, first, prior = shared_members([of], edges[None, :, None])
    np.testing.assert_allclose(prior.log_mean(y[0]), first[0])


def test_shared_parameters_are_those_of_the_switches():
    ra, theta, soil = shared_parameters(REPRODUCE)
    assert (ra.low, ra.high, ra.gaussian) == (0.2, 0.8, (0.46, 0.12))
    assert (theta.low, theta.high, theta.gaussian) == (0.019, 0.08, None)
    assert soil.gaussian == (0.01, 0.05)
    assert shared_parameters(dataclasses.replace(BEST, ra_gpp=None))[0].gaussian is None
    with pytest.raises(InputError, match="day_onset cannot be shared; choose from k_litter_to_som"):
        shared_parameters(BEST, ["day_onset"])
    with pytest.raises(ValidationError, match="shared: wood_start: unknown; known are: k_litter_to_som"):
        Regions(cell_degrees=0.5, shared=("wood_start",))
    with pytest.raises(ValidationError, match="names a parameter twice"):
        Regions(cell_degrees=0.5, shared=(SHAREABLE[0],) * 2)
    with pytest.raises(InputError, match=r"ra_gpp runs 0\.1\.\.0\.1; its bounds are 0\.2\.\.0\.8"):
        ra.scaled(np.array([0.1]))


def test_what_has_no_population_is_named():
    prior, rng = HyperPrior(wide), np.random.default_rng(0)
    with pytest.raises(InputError, match=r"values \(3, 4\), first prior \(3, 4\)"):
        population(np.zeros((3, 4)), np.zeros((3, 4)), prior, rng, 100)
    with pytest.raises(InputError, match=r"not finite\. Leave pixels"):
        population(np.full((3, 4, 1), np.nan), np.zeros((3, 4)), prior, rng, 100)


@pytest.fixture(scope="module")
def drawn_together() -> pd.DataFrame:
    """Pixels whose respiration follows their temperature exponent, with a spread between pixels."""
    ensemble = made_up(*half_degree(3, 4), members=300)
    rng = np.random.default_rng(7)
    theta = shared_parameters(BEST, ["temperature_exponent"])[0]
    y = rng.normal(0.5, 0.8, (12, 1)) + 0.7 * rng.standard_normal((12, 300))
    ensemble.parameters[:, :, P.THETA] = theta.value(y)
    low, high = bounds_of("c1")
    assert (ensemble.parameters[..., P.THETA] < high[P.THETA]).all()
    assert (ensemble.parameters[..., P.THETA] > low[P.THETA]).all()
    summary = summarise(ensemble)
    areas = pixel_areas(summary, pixel_grid(summary, 0.5))
    how = Assumptions(lengths_km=(1000.0,), alphas=(0.25,), draws=2000, shared=(theta,))
    return regional_table(summary, areas, variables=["nee", "fFire", "nbp"], assumptions=how)


def test_the_table_has_its_row_and_components_add_up(drawn_together: pd.DataFrame):
    told = drawn_together.attrs["hierarchical"]
    assert told["reason"] == ""
    row = drawn_together[drawn_together["method"] == "hierarchical"].set_index("variable")
    assert row["mean"]["nbp"] == pytest.approx(-row["mean"]["nee"] - row["mean"]["fFire"])
    assert row.loc["nee", "error"] > 0
    assert row.loc["nee", "q2.5"] < row.loc["nee", "mean"] < row.loc["nee", "q97.5"]
    (theta,) = told["parameters"]
    assert theta["name"] == "temperature_exponent"
    assert 0.019 < theta["low"] < theta["median"] < theta["high"] < 0.08
    assert "hierarchical (" in fusion_posts(drawn_together, "pixels")[0].note
    figure = regional_assumptions(drawn_together, "pixels", "nee")
    assert "hierarchical" in [text.get_text() for text in figure.axes[0].get_yticklabels()]


def test_a_row_that_cannot_be_trusted_is_empty_with_the_reason():
    summary = summarise(made_up(*half_degree(2, 3), members=50))
    areas = pixel_areas(summary, pixel_grid(summary, 0.5))
    how = Assumptions(lengths_km=(1000.0,), alphas=(0.25,), draws=1000, shared=shared_parameters(BEST))
    table = regional_table(summary, areas, assumptions=how)
    assert "6 pixels, fewer than 10" in table.attrs["hierarchical"]["reason"]
    row = table[table["method"] == "hierarchical"]
    assert len(row) == 7
    assert row[["mean", "q2.5", "q97.5", "error"]].isna().all(axis=None)
    assert table[table["method"] != "hierarchical"]["mean"].notna().all()
    assert "hierarchical not to be trusted here" in fusion_posts(table, "pixels")[0].note
