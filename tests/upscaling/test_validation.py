"""Scores, folds and conformal intervals against scikit-learn, hand calculation and simulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from talik.errors import ConfigError, InputError
from talik.upscaling import scores
from talik.upscaling.conformal import (
    calibrate,
    classes,
    measured_coverage,
    quantile_levels,
    score,
    site_quantile,
)
from talik.upscaling.distances import arc_km, site_clusters, unit_vectors
from talik.upscaling.evaluate import evaluate, hold_out, tune_mtry
from talik.upscaling.folds import forward_chain, leave_groups_out, year_blocks
from talik.upscaling.forest import Forest, QuantileForest
from talik.upscaling.gaussian_process import GaussianProcess
from talik.upscaling.training import Training, prepare


def noisy(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    o = rng.normal(3, 5, n)
    return o, 0.6 * o + rng.normal(1, 2, n)


def test_pooled_scores_are_those_of_scikit_learn() -> None:
    o, p = noisy()
    found = scores.pooled(o, p)
    assert found["nse"] == pytest.approx(metrics.r2_score(o, p))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(o, p))
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(o, p))
    assert found["mbe"] == pytest.approx((p - o).mean())
    assert found["r2_cor"] == pytest.approx(np.corrcoef(o, p)[0, 1] ** 2)
    slope, intercept = np.polyfit(p, o, 1)
    assert found["slope"] == pytest.approx(slope)
    assert found["intercept"] == pytest.approx(intercept)


def test_bias_is_seen_by_nse_and_not_by_correlation() -> None:
    o, _ = noisy()
    found = scores.pooled(o, 2 * o + 100)
    assert found["r2_cor"] == pytest.approx(1)
    assert found["nse"] < 0
    assert found["mbe"] > 0


def test_fold_means_by_hand() -> None:
    o = np.array([1.0, 2, 3, 5, 5, 9])
    p = np.array([1.0, 2, 4, 4, 6, 0])
    fold = np.array([0, 0, 0, 1, 1, 2])
    found = scores.fold_mean(o, p, fold)
    assert found["rmse"] == pytest.approx((np.sqrt(1 / 3) + 1 + 9) / 3)
    r2 = np.corrcoef([1, 2, 3], [1, 2, 4])[0, 1] ** 2
    assert found["r2_cor"] == pytest.approx(
        r2
    )  # the second fold's observations do not vary, the third has one row
    assert (found["n_folds"], found["n_r2"]) == (3, 1)
    assert scores.pooled(o[:1], p[:1])["nse"] is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_parts_of_skill_add_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    o, p = noisy(80, seed)
    sites, months = rng.integers(0, 6, 80), rng.integers(1, 5, 80).astype(float)
    found = scores.skill_split(o, p, sites, months)
    assert sum(part["share"] for part in found.values()) == pytest.approx(1)
    assert sum(part["error_share"] for part in found.values()) == pytest.approx(1)
    sse = sum((1 - part["nse"]) * part["share"] for part in found.values() if part["nse"] is not None)
    assert 1 - sse == pytest.approx(scores.pooled(o, p)["nse"])


def test_skill_is_put_where_it_belongs() -> None:
    rng = np.random.default_rng(0)
    site, month = np.repeat(np.arange(8), 36), np.tile(np.arange(1, 13), 24).astype(float)
    offset, season = rng.normal(0, 5, 8)[site], 10 * np.cos(month / 6 * np.pi)
    offset = offset - offset.mean()
    o = offset + season + rng.normal(0, 2, len(site))
    found = scores.skill_split(o, season, site, month)
    assert found["mean_season"]["nse"] > 0.9
    assert found["between_sites"]["nse"] == pytest.approx(0, abs=0.05)
    assert found["interannual"]["nse"] == pytest.approx(0, abs=1e-9)


def test_paired_comparison() -> None:
    rng = np.random.default_rng(0)
    sites = np.repeat(np.arange(40), 10)
    o = rng.normal(size=400)
    error = rng.normal(size=400)
    found = scores.paired_by_site(o, o + 0.5 * error, o + error, sites, draws=500, rng=rng)
    assert found["rmse_ratio"] == pytest.approx(0.5)
    assert found["rmse_ratio_5"] == pytest.approx(0.5)
    assert found["share_of_sites_better"] == 1
    assert found["wilcoxon_p"] < 1e-6
    same = scores.paired_by_site(o, o + error, o + error, sites, draws=50, rng=rng)
    assert same["wilcoxon_p"] == 1


def test_groups_left_out_and_years() -> None:
    groups = np.array([2, 0, 2, 1, 0])
    folds = leave_groups_out(groups)
    for train, test in folds.held:
        assert len(set(groups[test])) == 1
        assert not set(groups[test]) & set(groups[train])
        assert len(train) + len(test) == 5
    with pytest.raises(InputError, match="one group"):
        leave_groups_out(np.zeros(4, int))
    years = np.array([2001, 2001, 2002, 2003, 2003, 2004, np.nan])
    blocks = year_blocks(years, 3)
    assert sorted(np.concatenate([t for _, t in blocks.held])) == [0, 1, 2, 3, 4, 5]
    for train, test in blocks.held:
        assert not set(years[train]) & set(years[test])
    for train, test in forward_chain(years, 3).held:
        assert years[train].max() < years[test].min()
    assert "1 rows without a year" in blocks.note
    with pytest.raises(InputError, match="at least two"):
        year_blocks(np.full(5, 2001.0), 3)


def test_clusters_are_no_wider_than_asked_and_apart_from_each_other() -> None:
    rng = np.random.default_rng(0)
    lat, lon = rng.uniform(60, 62, 60), rng.uniform(20, 24, 60)
    label = site_clusters(lat, lon, 50.0)
    chord = np.sqrt(((unit_vectors(lat, lon)[:, None] - unit_vectors(lat, lon)[None]) ** 2).sum(-1))
    distance = arc_km(chord)
    same = label[:, None] == label[None]
    assert distance[same].max() <= 50
    for a in np.unique(label):  # complete linkage: no two clusters could be joined
        for b in np.unique(label):
            if a < b:
                assert distance[np.ix_((label == a) | (label == b), (label == a) | (label == b))].max() > 50
    at_one_place = site_clusters(np.array([60.0, 60, 61]), np.array([5.0, 5, 5]), 0.0)
    assert at_one_place.tolist() == [0, 0, 1]
    quarter = arc_km(np.sqrt(((unit_vectors([0.0], [0.0]) - unit_vectors([90.0], [0.0])) ** 2).sum()))
    assert quarter == pytest.approx(np.pi / 2 * 6371.0088)


def slow_quantile(values: np.ndarray, sites: np.ndarray, level: float) -> float:
    names = np.unique(sites)
    mass = [(v, 1 / ((sites == s).sum() * (len(names) + 1))) for v, s in zip(values, sites, strict=True)]
    reached = 0.0
    for v, m in sorted(mass):
        reached += m
        if reached >= level - 1e-12:
            return v
    return np.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.8, 0.95]))
def test_site_quantile(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    sites = rng.integers(0, rng.integers(2, 30), 60)
    values = rng.normal(size=60)
    assert site_quantile(values, sites, level) == slow_quantile(values, sites, level)
    assert site_quantile(values, sites, len(np.unique(sites)) / (len(np.unique(sites)) + 1) + 1e-6) == np.inf


def test_new_sites_are_covered_as_promised() -> None:
    """Many worlds of exchangeable sites with unequal records: coverage of a new site's rows is at least nominal."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1500):
        size = rng.integers(1, 30, 21)
        sites = np.repeat(np.arange(21), size)
        values = np.abs(rng.normal(0, 2, 21)[sites] + rng.normal(size=len(sites)))
        q = site_quantile(values[sites > 0], sites[sites > 0], 0.8)
        covered.append(np.mean(values[sites == 0] <= q))
    assert np.mean(covered) >= 0.8 - 3 * np.std(covered) / np.sqrt(1500)
    assert np.mean(covered) <= 0.8 + 1 / 21 + 3 * np.std(covered) / np.sqrt(1500)


def test_coverage_is_measured_without_the_site_itself() -> None:
    rng = np.random.default_rng(1)
    sites = np.repeat(np.arange(30), 12)
    rows = pd.DataFrame(
        {"biome": np.where(sites < 15, "Boreal", "Tundra"), "month": np.tile(np.arange(1, 13), 30)}
    )
    observed = rng.normal(size=360) * np.where(sites < 15, 1, 5)
    raw = np.zeros((360, 6))
    found = measured_coverage(observed, raw, sites, rows)
    for level in ("0.5", "0.8"):
        for biome in ("all", "Boreal", "Tundra"):
            assert found[level][biome]["sites"] == pytest.approx(float(level), abs=0.09)
    assert found["0.8"]["Tundra"]["width"] > 3 * found["0.8"]["Boreal"]["width"]
    # a site far outside all others is never covered, however large its own scores
    observed[sites == 3] = 1e6
    again = measured_coverage(observed, raw, sites, rows)
    assert again["0.8"]["Boreal"]["sites"] <= 14 / 15
    assert found["0.5"]["all"]["n_sites"] == 30


def test_too_few_sites_fall_back_to_coarser_classes_then_to_infinity() -> None:
    rows = pd.DataFrame({"biome": ["Boreal"] * 40 + ["Tundra"] * 2, "month": [7] * 42})
    sites = np.arange(42)
    fine, coarse = classes(rows)
    values = np.linspace(0, 1, 42)[:, None]
    widening = calibrate(values, sites, fine, coarse, (0.8,))
    assert np.isinf(widening.by_class["Tundra"][0])
    assert widening.of(fine, coarse)[-1, 0] == widening.by_class["all"][0]
    assert widening.of(fine, coarse)[0, 0] == widening.by_class["Boreal, summer"][0]
    few = calibrate(values[:2], sites[:2], fine[:2], coarse[:2], (0.8,))
    assert np.isinf(few.of(fine[:2], coarse[:2])).all()
    assert score(np.array([5.0]), np.array([1.0]), np.array([3.0])) == 2
    assert quantile_levels((0.8,)) == pytest.approx((0.1, 0.9))


@pytest.fixture(scope="module")
def training() -> Training:
    rng = np.random.default_rng(0)
    site, month = np.repeat(np.arange(20), 24), np.tile(np.arange(1, 13), 40)
    warm = -np.cos((month - 0.5) / 6 * np.pi) + rng.normal(0, 0.2, 480)
    table = pd.DataFrame(
        {
            "site_id": site,
            "month": month,
            "warm": warm,
            "noise": rng.normal(size=480),
            "biome": np.where(site % 2, "Boreal", "Tundra"),
            "nee": -20 * np.maximum(warm, 0) + rng.normal(0, 2, 20)[site] + rng.normal(0, 1, 480),
        }
    )
    return prepare(table, "nee", "site_id", ["month", "warm", "noise"])


def test_summary_is_plain_json_and_adds_up(training: Training) -> None:
    folds = leave_groups_out(training.data.groups)
    found, held = evaluate(training, QuantileForest(trees=60), folds)
    json.dumps(found, allow_nan=False)
    assert found["pooled"]["n"] == found["n_rows"] == 480
    assert sum(s["n"] for s in found["groups"]["month"].values()) == 480
    assert list(found["groups"]["month"]) == [str(m) for m in range(1, 13)]
    assert sum(s["n"] for s in found["groups"]["departure"].values()) == 480
    assert found["coverage"]["0.8"]["all"]["sites"] == pytest.approx(0.8, abs=0.1)
    table = held.table(training)
    assert table.observed.tolist() == training.data.y.tolist()
    assert {"site_id", "biome", "month", "predicted"} <= set(table.columns)


def test_tuning_picks_the_smallest(training: Training) -> None:
    folds = leave_groups_out(training.data.groups)
    for criterion in ("fold_mean", "pooled"):
        best, tried = tune_mtry(training, Forest(trees=30), folds, criterion=criterion)
        assert [t["mtry"] for t in tried] == [2, 3]
        assert best.mtry == min(tried, key=lambda t: t[criterion])["mtry"]


def test_fast_route_is_for_forests_and_sites(training: Training) -> None:
    folds = leave_groups_out(training.data.groups)
    with pytest.raises(ConfigError, match="fast route"):
        evaluate(training, GaussianProcess(), folds, fast=True)


def test_an_interrupted_validation_goes_on_and_forgets_when_done(training: Training, tmp_path: Path) -> None:
    tmp_path = tmp_path / "folds"
    folds = leave_groups_out(training.data.groups)
    learner = Forest(trees=10)
    whole = hold_out(training, learner, folds, 1)
    told: list[int] = []

    def stop(done: int, of: int) -> None:
        told.append(done)
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold_out(training, learner, folds, 1, keep=tmp_path, listen=stop)
    kept = sorted(tmp_path.rglob("*.npy"))
    assert len(kept) == 2
    before = kept[0].stat().st_mtime_ns
    seen: list[int] = []

    def look(done: int, of: int) -> None:
        seen.append(done)
        assert kept[0].stat().st_mtime_ns == before  # not made again

    again = hold_out(training, learner, folds, 1, keep=tmp_path, listen=look)
    assert seen == [8, 16, 20]
    assert again.predicted.tobytes() == whole.predicted.tobytes()
    assert not tmp_path.exists()
    with pytest.raises(KeyboardInterrupt):
        hold_out(training, learner, folds, 1, keep=tmp_path, listen=stop)
    other = hold_out(training, learner, folds, 2, keep=tmp_path)
    assert other.predicted.tobytes() != whole.predicted.tobytes()
    assert len(list(tmp_path.rglob("*.npy"))) == 2
