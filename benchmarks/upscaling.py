"""Skill of every learner on the real site tables: `python -m benchmarks.upscaling OUT.json [nee gpp reco ch4]`.

Needs the real data (TALIK_SHARED or ../shared). About an hour on two cores for everything; results are appended to
OUT.json one by one, and what is there is not computed again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from talik.files import write_text
from talik.rng import named_rng
from talik.upscaling import scores
from talik.upscaling.design import make_folds
from talik.upscaling.evaluate import evaluate
from talik.upscaling.inputs import read_training
from talik.upscaling.learners import make_learner
from talik.upscaling.training import Training, prepare

LEARNERS = ("forest", "extra-trees", "gaussian-process", "boosting", "stack", "quantile-forest")
DESIGNS = ("loso", "knndm")
CH4_GRIDS = (
    ("climatology-biome4-05deg/biome4_climatology_40-90N_0.5deg.nc", "tas,pr,sunshine,tmin_abs"),
    ("permafrost-cci-validation/permafrost_cci_grid_0.5deg.nc", "permafrost_fraction_median"),
    ("hwsd-topsoil-05deg/hwsd_topsoil_40-90N_0.5deg.nc", "sand,clay,organic_carbon"),
)


def shared() -> Path:
    """Folder of the real data."""
    return Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared")) / "data"


def v1_table(flux: str, *, located: bool) -> Training:
    """The authors' 1 km table of a flux with its own predictors; `located` rows have a matched position."""
    folder = shared() / "abcflux-v1-ml"
    table = pd.read_csv(folder / f"{flux}_1km.csv.gz")
    predictors = list(table.columns[7:])
    if located:
        sites = pd.read_csv(folder / "sites.csv").rename(columns={"latitude": "lat", "longitude": "lon"})
        table = table.merge(sites[["site", "lat", "lon"]], on="site").dropna(subset=["lat", "lon"])
    return prepare(table.reset_index(drop=True), f"{flux}_obs", "site_fold", predictors)


def v2_table(flux: str) -> Training:
    """ABCflux v2 with predictors taken from 0.5 degree grids at the sites."""
    grids = [f"{shared() / file}:{names}" for file, names in CH4_GRIDS]
    path = shared() / "abcflux-v2-apr2024" / "site_months.parquet"
    first = read_training(path, flux=flux, grids=grids, located=True)
    names = [*first.schema.names, "vegetation"]
    return read_training(path, flux=flux, grids=grids, located=True, predictors=names)


def training_of(case: str, design: str) -> Training:
    """The table of a case: nee, gpp, reco (version 1), ch4 or v2-nee, v2-gpp, v2-reco (version 2)."""
    if case in ("nee", "gpp", "reco"):
        return v1_table(case, located=design == "knndm")
    return v2_table(case.removeprefix("v2-"))


def settings_of(case: str, learner: str, n_predictors: int) -> dict[str, int]:
    """mtry of the reference: 6 for NEE (the R baseline), a third of the predictors elsewhere."""
    if learner in ("forest", "quantile-forest"):
        return {"mtry": 6 if case == "nee" else max(1, n_predictors // 3)}
    return {}


def main() -> None:
    out = Path(sys.argv[1])
    cases = sys.argv[2:] or ["nee", "gpp", "reco", "ch4"]
    results = json.loads(out.read_text()) if out.exists() else {}
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for case in cases:
        for design in DESIGNS:
            training = training_of(case, design)
            folds = make_folds(training, design)
            reference = None
            for name in LEARNERS:
                key = f"{case} {design} {name}"
                kept = folder / f"{key.replace(' ', '_')}.npy"
                if key not in results:
                    learner = make_learner(name, settings_of(case, name, training.data.x.shape[1]))
                    summary, held = evaluate(training, learner, folds, threads=threads)
                    np.save(kept, held.predicted)
                    results[key] = summary
                predicted = np.load(kept)
                reference = predicted if reference is None else reference
                if name != LEARNERS[0]:
                    results[key]["against_forest"] = scores.paired_by_site(
                        training.data.y, predicted, reference, training.data.groups,
                        draws=4000, rng=named_rng(448, "paired"),
                    )  # fmt: skip
                write_text(out, json.dumps(results, indent=1))
                pooled, fold = results[key]["pooled"], results[key]["fold_mean"]
                told = results[key].get("against_forest", {})
                print(
                    f"{key}: n {pooled['n']} sites {results[key]['n_sites']} r2 {pooled['r2_cor']:.3f} "
                    f"nse {pooled['nse']:.3f} rmse {pooled['rmse']:.3f} mbe {pooled['mbe']:.2f} "
                    f"fold rmse {fold['rmse']:.2f} cpu {results[key]['cpu_seconds']:.0f} s "
                    + " ".join(f"{k} {v:.4g}" for k, v in told.items()),
                    flush=True,
                )


if __name__ == "__main__":
    main()
