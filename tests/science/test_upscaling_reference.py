"""The reference forest on the real ABCflux v1 tables, against runs of R ranger and scikit-learn that we did not make.

R baseline: ranger, 500 trees, mtry 6, node size 5, 152 folds, two runs with other seeds. The rows of
loso_scores.csv: scikit-learn, 300 fully grown trees, a third of the predictors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talik.upscaling.evaluate import evaluate
from talik.upscaling.folds import leave_groups_out
from talik.upscaling.forest import Forest
from talik.upscaling.training import Training, prepare

pytestmark = pytest.mark.science


def table(shared: Path, flux: str) -> Training:
    rows = pd.read_csv(shared / "data" / "abcflux-v1-ml" / f"{flux}_1km.csv.gz")
    return prepare(rows, f"{flux}_obs", "site_fold", list(rows.columns[7:]))


@pytest.fixture(scope="module")
def brute(shared: Path) -> dict[str, object]:
    training = table(shared, "nee")
    folds = leave_groups_out(training.data.groups)
    # 250 of the 500 trees: half the time, and the scores move less than the tolerances
    return evaluate(training, Forest(mtry=6, trees=250), folds, threads=2)[0]


def test_leave_one_site_out_agrees_with_r(brute: dict) -> None:
    assert brute["n_rows"] == 4467
    assert brute["n_sites"] == 152
    assert brute["pooled"]["r2_cor"] == pytest.approx(0.439, abs=0.01)
    assert brute["pooled"]["nse"] == pytest.approx(0.437, abs=0.01)
    assert brute["pooled"]["rmse"] == pytest.approx(25.2, abs=0.25)
    assert brute["pooled"]["mae"] == pytest.approx(14.52, abs=0.15)
    assert brute["pooled"]["mbe"] == pytest.approx(1.18, abs=0.25)
    assert brute["fold_mean"]["rmse"] == pytest.approx(19.3, abs=0.3)
    assert brute["fold_mean"]["r2_cor"] == pytest.approx(0.617, abs=0.01)
    assert brute["fold_mean"]["n_r2"] == 143


def test_fast_route_agrees_with_brute_force(shared: Path, brute: dict) -> None:
    training = table(shared, "nee")
    folds = leave_groups_out(training.data.groups)
    fast = evaluate(training, Forest(mtry=6), folds, threads=2, fast=True)[0]
    assert fast["pooled"]["rmse"] == pytest.approx(brute["pooled"]["rmse"], rel=0.02)
    assert fast["pooled"]["r2_cor"] == pytest.approx(brute["pooled"]["r2_cor"], abs=0.015)


def test_trees_have_as_many_nodes_as_in_r(shared: Path) -> None:
    fitted = Forest(mtry=6, trees=50).fit(table(shared, "nee").data, 448, 2)
    assert fitted.trees.n_nodes / 50 == pytest.approx(3005, rel=0.005)


@pytest.mark.parametrize("flux", ["nee", "gpp", "reco"])
def test_scikit_learn_rows(shared: Path, flux: str) -> None:
    scores = pd.read_csv(shared / "data" / "abcflux-v1-ml" / "loso_scores.csv")
    row = scores[
        scores.table.str.lower().eq(f"{flux}_1km") & scores.model.str.startswith("RandomForest")
    ].iloc[0]
    training = table(shared, flux)
    folds = leave_groups_out(training.data.groups)
    found = evaluate(training, Forest(trees=300, node_size=1), folds, threads=2, fast=True)[0]["pooled"]
    assert found["n"] == row.n
    assert found["nse"] == pytest.approx(row.r2, abs=0.01)
    assert found["r2_cor"] == pytest.approx(row.r2corr, abs=0.01)
    assert found["rmse"] == pytest.approx(row.rmse, abs=0.35)
    assert found["mae"] == pytest.approx(row.mae, abs=0.4)


def test_site_coverage_in_each_biome(shared: Path) -> None:
    """Conformal intervals of 80 and 95 % cover within 3 points of that at left-out sites of both biomes."""
    from talik.upscaling.inputs import read_training

    path = shared / "data" / "abcflux-v2-apr2024" / "site_months.parquet"
    grid = shared / "data" / "climatology-biome4-05deg" / "biome4_climatology_40-90N_0.5deg.nc"
    training = read_training(path, flux="nee", grids=[f"{grid}:tas,pr,sunshine"], located=True)
    folds = leave_groups_out(np.arange(training.n_sites)[training.data.groups] % 10)
    found = evaluate(training, Forest(trees=100), folds, threads=2)[0]["coverage"]
    for level in ("0.8", "0.95"):
        for biome in ("Boreal", "Tundra"):
            assert found[level][biome]["n_sites"] > 100
            assert found[level][biome]["sites"] == pytest.approx(float(level), abs=0.03)
